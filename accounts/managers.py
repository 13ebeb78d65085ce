"""The manager of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.base_user import BaseUserManager

from core.text import fold

if TYPE_CHECKING:
    from accounts.models import User


class UserManager(BaseUserManager["User"]):
    """A manager that finds users by the folded form of their name."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username_folded=fold(username or ""))
