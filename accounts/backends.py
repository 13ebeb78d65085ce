from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from accounts import services
from accounts.models import User
from accounts.operator_roles import ALLOWED
from accounts.services import BadCredentials
from core.http.request_context import RequestContext


class AccountBackend(ModelBackend):
    """A backend for the admin: a login with the API's rules and throttle, and permissions by the operator's role."""

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

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return no permissions, because operators have those of their role only."""
        return set()

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return the permissions of the operator's role."""
        return set(ALLOWED.get(user_obj.operator_role, ()))
