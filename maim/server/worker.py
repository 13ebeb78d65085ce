"""What a Granian worker loads: the application, and a watch on the process that started it."""

from __future__ import annotations

import logging
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
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _announce(name: str) -> None:
    surface = next(surface for surface in SURFACES if surface.name == name)
    static_files()
    end_with_parent()
    log.info("%s worker %d serves %s:%d", name, os.getpid(), surface.bind.host, surface.bind.port)


def public() -> object:
    """The application factory of the public surface's workers."""
    _announce("public")
    return application


def internal() -> object:
    """The application factory of the internal surface's workers."""
    _announce("internal")
    return application
