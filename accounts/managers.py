from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.base_user import BaseUserManager
from django.core.exceptions import ValidationError

from maim.common.actor import command_actor
from maim.common.errors import Invalid
from maim.common.text import fold

if TYPE_CHECKING:
    from accounts.models import User


class UserManager(BaseUserManager["User"]):
    """Finds people by the folded form of their name; makes superusers for `createsuperuser`."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username_folded=fold(username or ""))

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> User:
        """What `manage.py createsuperuser` calls; raises Django's ValidationError, which it prints."""
        from accounts import services  # the services build on the models, which have this manager

        try:
            return services.create_user(
                actor=command_actor("createsuperuser"),
                username=username,
                password=password,
                email=fields.get("email"),
                superuser=True,
            )
        except Invalid as error:
            raise ValidationError({key: list(texts) for key, texts in error.errors.items()}) from error
