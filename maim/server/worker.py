"""What a Granian worker loads: the application, and what makes the worker end when it should."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time

from maim.http.surfaces import SURFACES
from maim.wsgi import application, static_files

log = logging.getLogger("maim.server")


def end_with_parent() -> None:
    """Ends this process when its parent is gone: a worker would outlive a master that was killed.

    Checked once a second by a thread; SIGTERM, so that requests in flight are still answered.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(1)
        _end()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def relay_signals() -> None:
    """Hands SIGTERM to the main thread when the kernel gave it to another.

    Python runs signal handlers in the main thread, and Granian's sleeps without end. A thread that is
    being created may take a signal for the whole process (Argon2 creates dozens for a hash), and then
    nothing would wake the sleeper: the worker would neither stop nor finish, and be killed in the end.
    """
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)
    signal.set_wakeup_fd(sending, warn_on_full_buffer=False)

    def relay() -> None:
        while os.read(receiving, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass
        _end()

    threading.Thread(target=relay, name="signal-relay", daemon=True).start()


def _end() -> None:
    """SIGTERM, to the main thread itself."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)


def _announce(name: str) -> None:
    surface = next(surface for surface in SURFACES if surface.name == name)
    static_files()
    end_with_parent()
    relay_signals()
    log.info("%s worker %d serves %s:%d", name, os.getpid(), surface.bind.host, surface.bind.port)


def public() -> object:
    """The application factory of the public surface's workers."""
    _announce("public")
    return application


def internal() -> object:
    """The application factory of the internal surface's workers."""
    _announce("internal")
    return application
