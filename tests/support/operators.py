"""Operators in the admin: a client for its pages and forms."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse

from accounts import admin_sessions
from accounts import services as accounts
from accounts.models import User
from accounts.operator_roles import OperatorRole
from core.models import AuditEntry
from tests.support.client import SurfaceClient
from tests.support.people import OPERATOR, PASSWORD

Fields = dict[str, list[str]]


@dataclass(frozen=True)
class Operator:
    """An operator, signed in through the admin's own page."""

    user: User
    client: SurfaceClient

    def begin_session(self) -> None:
        """Start the session anew, so that it does not expire although the operator signed in long ago."""
        session = self.client.session
        admin_sessions.begin(session)
        session.save()

    def get(self, path: str, **query: str) -> Any:
        """Return a page, which must exist."""
        response = self.client.get(path, query)
        assert response.status_code == 200, response.content
        return response

    def submit(self, path: str, **changes: Any) -> Any:
        """Open a page's form, change some fields, and send all of them, as a browser would."""
        return self.client.post(path, {**form_of(self.get(path)), **changes})

    def add(self, model: type[Model], **fields: Any) -> Any:
        """Send the form for a new row."""
        return self.submit(url(model, "add"), **fields)

    def change(self, row: Model, **fields: Any) -> Any:
        """Change fields of a row in its form."""
        return self.submit(url(row, "change"), **fields)

    def delete(self, row: Model) -> Any:
        """Delete a row, and confirm that."""
        return self.submit(url(row, "delete"))

    def act(self, action: str, *rows: Model) -> Any:
        """Run an action of the list on some rows."""
        fields = {"action": action, "index": "0", "_selected_action": [row.pk for row in rows]}
        return self.client.post(url(type(rows[0])), fields)

    def audit_of(self, action: str) -> AuditEntry:
        """Return the one audit entry of an action, which must name the operator."""
        entry = AuditEntry.objects.get(action=action, actor_kind="operator")
        assert (entry.actor_id, entry.actor_label) == (self.user.pk, self.user.username)
        assert entry.request_id
        assert entry.address == "127.0.0.1"
        return entry


def sign_in(username: str, *, is_superuser: bool = True, role: OperatorRole | None = None) -> Operator:
    """Create and sign in an operator, who is an admin or, without `is_superuser`, a viewer, unless a role is given."""
    role = role or (OperatorRole.ADMIN if is_superuser else OperatorRole.VIEWER)
    user = accounts.create_user(actor=OPERATOR, username=username, password=PASSWORD, operator_role=role)
    client = SurfaceClient()
    response = client.post("/admin/login/?next=/admin/", {"username": username, "password": PASSWORD})
    assert response.status_code == 302, response.content
    return Operator(user, client)


def url(subject: Model | type[Model], page: str = "changelist", *more: object) -> str:
    """Return the URL of a page of a model or of a row, whose further parts are `more`."""
    arguments = [quote(subject.pk), *more] if isinstance(subject, Model) else more
    return reverse(f"admin:{subject._meta.app_label}_{subject._meta.model_name}_{page}", args=arguments)


def errors_of(response: Any) -> dict[str, list[str]]:
    """Return the errors of a page's form, by field. Fail for anything but the form's page, such as a redirect."""
    assert response.status_code == 200, response.status_code
    found: dict[str, list[str]] = response.context_data["errors"].data and dict(
        response.context_data["adminform"].form.errors
    )
    assert found, "the form has no errors"
    return found


def form_of(response: Any) -> Fields:
    """Return the fields of the page's main form, as a browser would send them unchanged."""
    parser = _FormParser()
    parser.feed(response.content.decode())
    return parser.fields


class _FormParser(HTMLParser):
    """A parser of the fields of all forms that are sent to their own page."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: Fields = {}
        self._inside = False
        self._textarea: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        name = values.get("name")
        if tag == "form":
            self._inside = (values.get("action") or "?").startswith("?")
        elif not self._inside:
            return
        elif tag == "input" and name and values.get("type") not in ("submit", "button"):
            if values.get("type") != "checkbox" or "checked" in values:
                self._add(name, values.get("value") or ("on" if values.get("type") == "checkbox" else ""))
        elif tag == "textarea" and name:
            self._textarea = name
            self.fields[name] = [""]
        elif tag == "select" and name:
            self._select = name
        elif tag == "option" and self._select and "selected" in values:
            self._add(self._select, values.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = None
        elif tag == "select":
            self._select = None
        elif tag == "form":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            # Browsers ignore the line break that Django writes after the tag.
            before = self.fields[self._textarea][0]
            self.fields[self._textarea] = [before + (data if before else data.removeprefix("\r\n").removeprefix("\n"))]

    def _add(self, name: str, value: str) -> None:
        self.fields.setdefault(name, []).append(value)


def inputs_of(field: str, limits: dict[str, Any]) -> dict[str, str]:
    """Return the inputs of a form for a rate limit or a quota."""
    return {f"{field}_{name}": str(value) for name, value in limits.items()}
