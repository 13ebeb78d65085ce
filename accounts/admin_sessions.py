"""The ends of sessions in the admin: by age, and when they are not used.

Django's session ends with a new password, another role and a sign-out everywhere by its hash (accounts.models.User).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.admin_base import SIGNED_IN_AT

# The session's key for the time of its last use, a Unix timestamp.
USED_AT = "used_at"
# How often the use of a session is recorded. Each record is a write.
RECORD_EVERY = timedelta(minutes=1)
# Clocks of machines differ by less. A session with a time further in the future counts as expired.
CLOCK_DIFFERENCE = timedelta(minutes=1)


class AdminSessionMiddleware:
    """Middleware that ends sessions after MAIM_ADMIN_SESSION_HOURS, and after MAIM_ADMIN_IDLE_MINUTES without use."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        session = request.session
        if SESSION_KEY in session:
            if _is_over(session):
                session.flush()
            elif not _is_within(session, USED_AT, RECORD_EVERY):
                session[USED_AT] = timezone.now().timestamp()
        return self.get_response(request)


def begin(session: SessionBase) -> None:
    """Let the times of a session begin now."""
    session[SIGNED_IN_AT] = session[USED_AT] = timezone.now().timestamp()


def _is_over(session: SessionBase) -> bool:
    is_young = _is_within(session, SIGNED_IN_AT, settings.ADMIN_SESSION_AGE)
    return not (is_young and _is_within(session, USED_AT, settings.ADMIN_IDLE_TIME))


def _is_within(session: SessionBase, name: str, duration: timedelta) -> bool:
    """Return whether the timestamp under a key is within a duration of now. A missing one is not."""
    if name not in session:
        return False
    passed = timezone.now().timestamp() - session[name]
    return bool(-CLOCK_DIFFERENCE.total_seconds() <= passed < duration.total_seconds())
