"""The importer of users."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from accounts import bulk_import
from accounts import services as accounts
from accounts.models import User
from core.actor import Actor
from core.text import fold, name_error, unique_name
from legacy import names
from legacy.importers.base import ChangedObject, Importer, SourceObject, chunked, differing_fields, row_updates
from legacy.importers.fields import check_id, read_time
from legacy.parsing import Row, parse_bool, parse_text
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from tenants.bulk_import import give_to_owners

_MAX_NAME_LENGTH = 100


class UserImporter(Importer[User, User]):
    """An importer of users, who belong to no tenant, so that `tenant_ids` is empty."""

    name = "users"
    model = User

    def __init__(self, snapshot: Snapshot) -> None:
        people = "SELECT id, username, email FROM people WHERE id <> '' ORDER BY created_at, id"
        self._new_names = names.names_for_duplicates(
            (("", row["id"], _name(row).text) for row in snapshot.rows(people)),
            max_length=_MAX_NAME_LENGTH,
            fold=fold,
        )
        self._ids_with_shared_email = names.later_duplicates(
            (("", row["id"], _address(row)) for row in snapshot.rows(people) if _address(row)), fold=fold
        )

    def read(
        self, snapshot: Snapshot, tenant_ids: Collection[str], report: Report
    ) -> Iterator[list[SourceObject[User]]]:
        def convert(row: Row) -> SourceObject[User] | None:
            notes = report.notes_for(self.name, row["id"], None)
            return _user(
                row,
                notes,
                other_name=self._new_names.get(row["id"]),
                shares_email=row["id"] in self._ids_with_shared_email,
            )

        return chunked(snapshot.rows("SELECT * FROM people ORDER BY id"), convert)

    def ids_with_owner(self, snapshot: Snapshot, tenant_ids: Collection[str]) -> Iterator[tuple[str, str | None]]:
        return ((row["id"], None) for row in snapshot.rows("SELECT id FROM people"))

    def count(self, snapshot: Snapshot) -> int:
        return snapshot.fetch_number("SELECT count(*) FROM people")

    def ids_with_same_names(self, objects: Sequence[SourceObject[User]]) -> set[str]:
        usernames = Q(username_folded__in=[one.target.username_folded for one in objects])
        emails = Q(email_folded__in=[one.target.email_folded for one in objects if one.target.email_folded])
        others = User.objects.exclude(pk__in=[one.object_id for one in objects])
        return set(others.filter(usernames | emails).values_list("pk", flat=True))

    def resolve_conflicts(
        self, objects: Sequence[SourceObject[User]], report: Report, *, to_delete: Collection[str]
    ) -> None:
        """Rename users whose name is taken, and drop e-mail addresses that are taken.

        A user who is to be removed conflicts, too: the account is only deactivated, and keeps its name.
        """
        others = User.objects.exclude(pk__in=[one.object_id for one in objects])
        taken = set(
            others.filter(username_folded__in=[one.target.username_folded for one in objects]).values_list(
                "username_folded", flat=True
            )
        )
        emails = [one.target.email_folded for one in objects if one.target.email_folded]
        taken_emails = set(others.filter(email_folded__in=emails).values_list("email_folded", flat=True))

        def is_free(name: str) -> bool:
            needed = {other.target.username_folded for other in objects}
            return fold(name) not in needed and not others.filter(username_folded=fold(name)).exists()

        for one in objects:
            notes, user = report.notes_for(self.name, one.object_id, None), one.target
            if user.username_folded in taken:
                other_name = unique_name(user.username, one.object_id, is_free, max_length=_MAX_NAME_LENGTH, fold=fold)
                _rename(user, other_name, "another user of maim has this name", notes)
            if user.email_folded in taken_emails:
                user.set_email(None)
                notes.add(Reason.BAD_EMAIL, "another user of maim has this address; it was left out")

    def save(
        self, *, actor: Actor, new: Sequence[SourceObject[User]], changed: Sequence[ChangedObject[User, User]]
    ) -> None:
        for one in changed:
            if not one.has_new_secret:  # maim may have changed or rehashed it
                one.source.target.password = one.existing.password
        bulk_import.import_users(actor=actor, new=[one.target for one in new], changed=row_updates(changed))
        give_to_owners(actor=actor, user_ids=[one.object_id for one in new])

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        """Deactivate users. They keep what they own and did."""
        for user in User.objects.filter(pk__in=object_ids, is_active=True):
            accounts.update_user(actor=actor, user_id=user.id, changes={"is_active": False})

    def differences(self, existing: User, source: SourceObject[User]) -> list[str]:
        """Return the differing fields.

        A password that was changed or rehashed in maim is no difference. Neither is an address that was left out
        because another user of maim has it.
        """
        differ = set(
            differing_fields(existing, source.target, ("username", "email", "password", "is_active", "created_at"))
        )
        if not bulk_import.is_former(existing.password):
            differ.discard("password")
        if existing.email is None and User.objects.filter(email_folded=source.target.email_folded).exists():
            differ.discard("email")
        return sorted(differ)


def _user(row: Row, notes: Notes, *, other_name: str | None, shares_email: bool) -> SourceObject[User] | None:
    if not check_id(row["id"], notes):
        return None
    user = User(
        id=row["id"], is_active=parse_bool(row.get("is_active", 1)), created_at=read_time(row, "created_at", notes)
    )
    name = _name(row)
    user.set_username(name.text)
    if name.problem:
        notes.add(Reason.RENAMED, f"{name.problem}; signs in as {name.text}")
    if other_name:
        _rename(user, other_name, "an earlier user has this name", notes)
    user.set_email(_email(row, notes, is_shared=shares_email))
    hashed = str(row.get("hashed_password") or "")
    password = bulk_import.former_password(hashed)
    if password is None:
        user.set_unusable_password()
        notes.add(Reason.BAD_PASSWORD, "not a bcrypt hash; the user cannot sign in until an operator sets a password")
    else:
        user.password = password
    source_values = {
        "username": user.username,
        "email": user.email,
        "is_active": user.is_active,
        "created_at": user.created_at,
    }
    return SourceObject(user.id, None, user, source_values, secret=hashed)


def _rename(user: User, other_name: str, why: str, notes: Notes) -> None:
    former = user.username
    user.set_username(other_name)
    notes.add(Reason.RENAMED, f"{why}: {former} signs in as {user.username}")


def _email(row: Row, notes: Notes, *, is_shared: bool) -> str | None:
    email = _address(row)
    if not email:
        return None
    try:
        validate_email(email)
    except ValidationError:
        notes.add(Reason.BAD_EMAIL, f"{email[:100]!a} is not a valid address; it was left out")
        return None
    if name_error(email):
        notes.add(Reason.BAD_EMAIL, f"{email[:100]!a} has control or invisible characters; it was left out")
        return None
    if is_shared or len(email) > 254 or len(fold(email)) > 700:
        notes.add(Reason.BAD_EMAIL, f"{email[:100]} is too long, or an earlier user has it; it was left out")
        return None
    return email


def _name(row: Row) -> names.ValidName:
    return names.valid_name(
        parse_text(row["username"]), row["id"], max_length=_MAX_NAME_LENGTH, fold=fold, printable=True
    )


def _address(row: Row) -> str:
    return (parse_text(row["email"]) or "").strip()
