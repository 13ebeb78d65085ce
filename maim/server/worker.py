"""What a Granian worker loads: the application, and what makes the worker end when it should."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time

from core.http.surfaces import INTERNAL, PUBLIC, Surface
from maim.server.rsgi import InternalApplication
from maim.wsgi import application, static_files

log = logging.getLogger("maim.server")

# More allocations than by Python's default, which a busy worker reaches every few requests.
GC_THRESHOLD = 50_000
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


def end_with_parent() -> None:
    """Ends this process when its parent is gone: a worker would outlive a master that was killed.

    Checked once a second by a thread; SIGTERM, so that requests in flight are still answered.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def answer_sigterm_once() -> None:
    """Has the SIGTERM handler, which Granian sets later, called once, by a thread that waits for the signal.

    Python runs handlers in the main thread, and neither suits Granian's, which sleeps without end there. A
    thread that is just being created may take the signal (Argon2 creates dozens for a hash), and nothing
    wakes the sleeper. And a second signal while its handler runs locks it up. Ctrl-C, which reaches every
    process of a terminal, is for the supervisor to answer.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Threads and processes started from here on inherit this.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

    def answer() -> None:
        signum = signal.sigwait({signal.SIGTERM})
        handler = signal.getsignal(signum)
        if not callable(handler):
            os._exit(0)  # Granian has not begun: there is nothing to finish
        handler(signum, None)

    threading.Thread(target=answer, name="sigterm", daemon=True).start()


def leave_sigterm_to_the_loop() -> None:
    """Undoes, for a worker with an event loop, what it inherited of `answer_sigterm_once`.

    A loop is woken by a signal whichever thread takes it, and answers one at a time.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def public() -> object:
    """The application factory of the public surface's workers."""
    answer_sigterm_once()
    _begin(PUBLIC)
    return application


def internal() -> object:
    """The application factory of the internal surface's workers."""
    leave_sigterm_to_the_loop()
    _begin(INTERNAL)
    return InternalApplication(INTERNAL)


def _begin(surface: Surface) -> None:
    end_with_parent()
    static_files()
    # What is there now is there to stay: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    log.info("%s worker %d serves %s:%d", surface.name, os.getpid(), surface.bind.host, surface.bind.port)
