"""People."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from accounts import bulk_import
from accounts import services as accounts
from accounts.models import User
from core.actor import Actor
from core.text import fold, name_error
from legacy import names, values
from legacy.importers.base import Changed, Found, Kind, differing, in_chunks, is_good_id, made_at, rows_wanted
from legacy.reports import Notes, Reason, Report
from legacy.snapshot import Snapshot
from legacy.values import Row
from tenants.bulk_import import give_to_owners

_MOST = 100


class Users(Kind[User, User]):
    """They belong to no tenant: `tenants` is empty."""

    name = "users"
    model = User

    def __init__(self, old: Snapshot) -> None:
        people = "SELECT id, username, email FROM people WHERE id <> '' ORDER BY created_at, id"
        self._namesakes = names.of_later_namesakes(
            (("", row["id"], _name(row).text) for row in old.rows(people)),
            most=_MOST,
            fold=fold,
        )
        self._sharing = names.later_namesakes(
            (("", row["id"], _address(row)) for row in old.rows(people) if _address(row)), fold=fold
        )

    def found(self, old: Snapshot, tenants: Collection[str], report: Report) -> Iterator[list[Found[User]]]:
        def convert(row: Row) -> Found[User] | None:
            notes = report.about(self.name, row["id"], None)
            return _user(row, notes, other_name=self._namesakes.get(row["id"]), shares_email=row["id"] in self._sharing)

        return in_chunks(old.rows("SELECT * FROM people ORDER BY id"), convert)

    def places(self, old: Snapshot, tenants: Collection[str]) -> Iterator[tuple[str, str | None]]:
        return ((row["id"], None) for row in old.rows("SELECT id FROM people"))

    def number(self, old: Snapshot) -> int:
        return old.number("SELECT count(*) FROM people")

    def name_holders(self, found: Sequence[Found[User]]) -> set[str]:
        usernames = Q(username_folded__in=[one.wanted.username_folded for one in found])
        emails = Q(email_folded__in=[one.wanted.email_folded for one in found if one.wanted.email_folded])
        others = User.objects.exclude(pk__in=[one.object_id for one in found])
        return set(others.filter(usernames | emails).values_list("pk", flat=True))

    def fit_in(self, found: Sequence[Found[User]], report: Report, *, leaving: Collection[str]) -> None:
        """Who is leaving stays, without access, and keeps the name."""
        ids = [one.object_id for one in found]
        others = User.objects.exclude(pk__in=ids)
        taken = set(
            others.filter(username_folded__in=[one.wanted.username_folded for one in found]).values_list(
                "username_folded", flat=True
            )
        )
        emails = [one.wanted.email_folded for one in found if one.wanted.email_folded]
        used = set(others.filter(email_folded__in=emails).values_list("email_folded", flat=True))

        def is_free(name: str) -> bool:
            wanted = {other.wanted.username_folded for other in found}
            return fold(name) not in wanted and not others.filter(username_folded=fold(name)).exists()

        for one in found:
            notes, user = report.about(self.name, one.object_id, None), one.wanted
            if user.username_folded in taken:
                other_name = names.distinct(user.username, one.object_id, is_free, most=_MOST, fold=fold)
                _rename(user, other_name, "somebody else here has this name", notes)
            if user.email_folded in used:
                user.set_email(None)
                notes.found(Reason.BAD_EMAIL, "somebody else here has this address; it was left out")

    def adopt(self, *, actor: Actor, new: Sequence[Found[User]], changed: Sequence[Changed[User, User]]) -> None:
        for one in changed:
            if not one.has_new_secret:  # it may have been changed here, or hashed anew
                one.found.wanted.password = one.stored.password
        bulk_import.import_users(actor=actor, new=[one.wanted for one in new], changed=rows_wanted(changed))
        give_to_owners(actor=actor, user_ids=[one.object_id for one in new])

    def remove(self, *, actor: Actor, object_ids: Collection[str]) -> None:
        """Deactivates them: what they own, and what they did, stays theirs."""
        for user in User.objects.filter(pk__in=object_ids, is_active=True):
            accounts.update_user(actor=actor, user_id=user.id, changes={"is_active": False})

    def differences(self, stored: User, found: Found[User]) -> list[str]:
        """A password that was changed here, or hashed anew when somebody signed in, is no difference; neither is an
        address that was left out because somebody else here has it."""
        differ = set(differing(stored, found.wanted, ("username", "email", "password", "is_active", "created_at")))
        if not bulk_import.is_former(stored.password):
            differ.discard("password")
        if stored.email is None and User.objects.filter(email_folded=found.wanted.email_folded).exists():
            differ.discard("email")
        return sorted(differ)


def _user(row: Row, notes: Notes, *, other_name: str | None, shares_email: bool) -> Found[User] | None:
    if not is_good_id(row["id"], notes):
        return None
    user = User(
        id=row["id"], is_active=values.flag(row.get("is_active", 1)), created_at=made_at(row, "created_at", notes)
    )
    name = _name(row)
    user.set_username(name.text)
    if name.problem:
        notes.found(Reason.RENAMED, f"{name.problem}; signs in as {name.text}")
    if other_name:
        _rename(user, other_name, "somebody before has this name", notes)
    user.set_email(_email(row, notes, is_shared=shares_email))
    hashed = str(row.get("hashed_password") or "")
    password = bulk_import.former_password(hashed)
    if password is None:
        user.set_unusable_password()
        notes.found(Reason.BAD_PASSWORD, "it is no bcrypt hash; they cannot sign in until an operator sets a password")
    else:
        user.password = password
    told = {
        "username": user.username,
        "email": user.email,
        "is_active": user.is_active,
        "created_at": user.created_at,
    }
    return Found(user.id, None, user, told, secret=hashed)


def _rename(user: User, other_name: str, why: str, notes: Notes) -> None:
    former = user.username
    user.set_username(other_name)
    notes.found(Reason.RENAMED, f"{why}: {former} signs in as {user.username}")


def _email(row: Row, notes: Notes, *, is_shared: bool) -> str | None:
    email = _address(row)
    if not email:
        return None
    try:
        validate_email(email)
    except ValidationError:
        notes.found(Reason.BAD_EMAIL, f"{email[:100]!a} is no address; it was left out")
        return None
    if name_error(email):
        notes.found(Reason.BAD_EMAIL, f"{email[:100]!a} has control or invisible characters; it was left out")
        return None
    if is_shared or len(email) > 254 or len(fold(email)) > 700:
        notes.found(Reason.BAD_EMAIL, f"{email[:100]} is too long, or somebody before has it; it was left out")
        return None
    return email


def _name(row: Row) -> names.Name:
    return names.kept(values.text(row["username"]), row["id"], most=_MOST, fold=fold, printable=True)


def _address(row: Row) -> str:
    return (values.text(row["email"]) or "").strip()
