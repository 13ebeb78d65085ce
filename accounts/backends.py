from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from accounts import services
from accounts.models import User
from accounts.services import BadCredentials
from core.http.request_context import RequestContext


class AccountBackend(ModelBackend):
    """A backend for the admin's login with the same rules and throttle as the API."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user, or None. Raise TooMany and Unavailable, which the admin's form shows."""
        if username is None or password is None:
            return None
        address = RequestContext.of(request).address if request is not None else ""
        try:
            return services.authenticate(username=username, password=password, address=address)
        except BadCredentials:
            return None
