"""The applications that workers load, and the handling of signals and of a dead parent."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVarTuple

import uvloop
from granian import loops

from core.http.surfaces import INTERNAL, PUBLIC, Surface
from maim.server.rsgi import Application, InternalApplication
from maim.wsgi import static_files

log = logging.getLogger("maim.server")

# Higher than Python's default, which a busy worker reaches every few requests.
GC_THRESHOLD = 50_000
# A fifth of Python's default: how long a thread of the internal surface may keep the interpreter from another.
SWITCH_SECONDS = 0.001
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_Ts = TypeVarTuple("_Ts")


def end_with_parent() -> None:
    """End this process when its parent is gone, because a worker outlives a killed main process.

    A thread checks once a second. It sends SIGTERM, so that requests under way are still answered.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def answer_sigterm_once() -> None:
    """Call the SIGTERM handler, which Granian sets later, once from a thread that waits for the signal.

    Python runs handlers in the main thread, where Granian sleeps without end. A thread that is just being created may
    take the signal (Argon2 creates dozens for a hash), and then nothing wakes the main thread. A second signal while
    the handler runs deadlocks. Ctrl-C reaches every process of a terminal and is handled by the supervisor.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Later threads and processes inherit this mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def answer() -> None:
        signum = signal.sigwait({signal.SIGTERM})
        handler = signal.getsignal(signum)
        if not callable(handler):
            os._exit(0)  # Granian has not started, so there is nothing to finish
        handler(signum, None)

    threading.Thread(target=answer, name="sigterm", daemon=True).start()


def leave_sigterm_to_the_loop() -> None:
    """Undo the effects of `answer_sigterm_once`, which a worker inherits from its group's process.

    A signal wakes an event loop whichever thread takes it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


class OneSignalLoop(uvloop.Loop):
    """An event loop that calls the handler of a signal once.

    Granian's handler sends to a queue of one place, whose reader then waits for the interpreter's lock. So the third
    of several signals in quick succession would wait for the reader, with the lock held: the worker would never end.
    """

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Call `callback` at the first signal, and ignore the rest."""

        def at_the_first() -> None:
            super(OneSignalLoop, self).add_signal_handler(sig, lambda: None)
            callback(*args)

        super().add_signal_handler(sig, at_the_first)


@loops.register("uvloop")
def _loop() -> OneSignalLoop:
    """Return the loop that a worker runs in place of Granian's own."""
    loop = OneSignalLoop()
    asyncio.set_event_loop(loop)
    return loop


def public() -> Application:
    """Return the application of the public surface's workers."""
    _start(PUBLIC)
    return Application(PUBLIC)


def internal() -> InternalApplication:
    """Return the application of the internal surface's workers."""
    _start(INTERNAL)
    # Otherwise each query of a batch's thread waits up to 5 ms for the interpreter while the event loop is busy.
    sys.setswitchinterval(SWITCH_SECONDS)
    return InternalApplication()


def _start(surface: Surface) -> None:
    leave_sigterm_to_the_loop()
    end_with_parent()
    static_files()
    # Objects from before now stay forever, so the collector need not look at them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    log.info("%s worker %d serves %s:%d", surface.name, os.getpid(), surface.bind.host, surface.bind.port)
