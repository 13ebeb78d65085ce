from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import services as accounts
from accounts.models import User
from accounts.operator_roles import OperatorRole
from core.changes import change_all
from core.commands.formatting import time_text
from core.commands.options import add_dry_run, add_json, add_page, add_yes
from core.commands.subcommands import Options, SubcommandsCommand
from core.http.responses import utc_text
from core.keyset import read_page
from core.naming import begins_with
from core.text import fold
from tenants import members
from tenants.management.lookup import TenantLookup
from tenants.models import Membership, Role

HEADER = ["ID", "NAME", "E-MAIL", "STATUS", "OPERATOR", "CREATED"]
LONGEST_PASSWORD = 1024
OPTION_NAMES = {"username": "NAME", "email": "--email", "password": "the password", "role": "ROLE"}


class Command(SubcommandsCommand):
    """Management of users, through the services that the API and the admin call."""

    help = (
        "Finds, creates and deactivates users, sets their roles in tenants, and ends their sessions. Users go by id, "
        "name or e-mail address."
    )
    option_names = OPTION_NAMES
    lookup: TenantLookup

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        found = add("list", self.list, "Lists users, newest first; with --name by name")
        state = found.add_mutually_exclusive_group()
        state.add_argument(
            "--active", action="store_true", dest="is_active", default=None, help="those who may sign in"
        )
        state.add_argument("--inactive", action="store_false", dest="is_active", default=None, help="deactivated ones")
        found.add_argument("--operators", action="store_true", help="those who may sign in to the admin")
        found.add_argument("--tenant", metavar="TENANT", help="those who have a role in it: its id or name")
        found.add_argument("--name", metavar="TEXT", help="those whose name begins with it")
        add_page(found)
        add_json(found)

        show = add("show", self.show, "Shows a user: how they sign in, and their roles in tenants")
        _add_user(show)
        add_json(show)

        create = add("create", self.create, "Creates a user, who has no tenant yet")
        create.add_argument("username", metavar="NAME")
        create.add_argument("--email", metavar="ADDRESS")
        create.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from standard input; without one nobody signs in before `changepassword`",
        )
        create.add_argument("--operator", choices=OperatorRole.values, help="the role in the admin; without it, none")
        add_dry_run(create)
        add_json(create)

        deactivate = add(
            "deactivate",
            self.deactivate,
            "Ends users' sessions, keeps them from signing in, and revokes their access tokens for good",
        )
        activate = add("activate", self.activate, "Lets deactivated users sign in again")
        end = add(
            "end-sessions",
            self.end_sessions,
            "Ends all sessions of users, in the API and in the admin; they may sign in again",
        )
        for change in (deactivate, activate, end):
            change.add_argument("users", nargs="+", metavar="USER", help="id, name or e-mail address")
            add_dry_run(change)
            add_json(change)
        add_yes(deactivate)

        set_role = add("set-role", self.set_role, "Gives a user a role in a tenant; owner hands the tenant over")
        remove_role = add("remove-role", self.remove_role, "Takes a user's role in a tenant away")
        for change in (set_role, remove_role):
            _add_user(change)
            change.add_argument("tenant", metavar="TENANT", help="id or name")
            add_dry_run(change)
            add_json(change)
        set_role.add_argument("role", choices=Role.values)

    def prepare(self) -> None:
        self.lookup = TenantLookup(self.actor)

    # ---- the subcommands

    def list(self, options: Options) -> None:
        rows = User.objects.order_by("-created_at", "-id")
        if options["is_active"] is not None:
            rows = rows.filter(is_active=options["is_active"])
        if options["operators"]:
            rows = rows.filter(is_staff=True)
        if options["tenant"] is not None:
            rows = rows.filter(memberships__tenant=self.lookup.tenant(options["tenant"]))
        if options["name"] is not None:
            rows = rows.filter(begins_with("username_folded", fold(options["name"]))).order_by("username_folded")
        page = read_page(rows, after=options["after"], limit=options["limit"])
        self.write_page(
            page, options, header=HEADER, row=_row, document=lambda users: [_document(user) for user in users]
        )

    def show(self, options: Options) -> None:
        self._show(self.lookup.user(options["user"]), options)

    def create(self, options: Options) -> None:
        # Hashed before the transaction, in which it would keep other writers waiting.
        user = accounts.new_user(
            username=options["username"],
            password=_read_password() if options["password_stdin"] else None,
            email=options["email"],
        )
        role = options["operator"] and OperatorRole(options["operator"])
        self.change(lambda: accounts.add_user(actor=self.actor, user=user, operator_role=role), options)
        if options["json"]:
            self.out.json(_document(user))
            return
        self.out.record(_members(user))
        if not user.has_usable_password() and not options["dry_run"]:
            self.out.tell(f"They have no password yet: manage.py changepassword {user}")

    def deactivate(self, options: Options) -> None:
        users = self._users(options)
        if not options["dry_run"] and not options["yes"]:
            self.out.tell_table(HEADER, [_row(user) for user in users])
            self.confirm(f"Deactivate {len(users)} users, and revoke their access tokens for good?", options)
        self._change(users, self._set_active(is_active=False), options)

    def activate(self, options: Options) -> None:
        self._change(self._users(options), self._set_active(is_active=True), options)

    def end_sessions(self, options: Options) -> None:
        users = self._users(options)

        def end(user: User) -> User:
            return accounts.end_all_sessions(actor=self.actor, user_id=user.pk)

        self._change(users, end, options)

    def set_role(self, options: Options) -> None:
        user, tenant = self.lookup.user(options["user"]), self.lookup.tenant(options["tenant"])
        role = Role(options["role"])
        self.change(lambda: members.set_member(actor=self.actor, tenant=tenant, user_id=user.id, role=role), options)
        told = {"user_id": user.id, "tenant_id": tenant.id, "role": role.value}
        if options["json"]:
            self.out.json(told)
        else:
            self.out.record([("user", user), ("tenant", tenant), ("role", role.value)])

    def remove_role(self, options: Options) -> None:
        user, tenant = self.lookup.user(options["user"]), self.lookup.tenant(options["tenant"])
        self.change(lambda: members.remove_member(actor=self.actor, tenant=tenant, user_id=user.id), options)
        if options["json"]:
            self.out.json({"user_id": user.id, "tenant_id": tenant.id, "role": None})
        else:
            self.out.record([("user", user), ("tenant", tenant), ("role", None)])

    # ---- shared steps

    def _users(self, options: Options) -> Sequence[User]:
        """Return the users that are named, without duplicates."""
        found = [self.lookup.user(text) for text in options["users"]]
        return list({user.id: user for user in found}.values())

    def _set_active(self, *, is_active: bool) -> Callable[[User], User]:
        return lambda user: accounts.update_user(actor=self.actor, user_id=user.id, changes={"is_active": is_active})

    def _change(self, users: Sequence[User], change: Callable[[User], User], options: Options) -> None:
        changed = self.change(lambda: change_all(users, change), options)
        if options["json"]:
            self.out.json({"items": [_document(user) for user in changed]})
        else:
            self.out.table(HEADER, [_row(user) for user in changed])

    def _show(self, user: User, options: Options) -> None:
        methods = accounts.methods_of(user)
        memberships = _memberships(user)
        if options["json"]:
            roles = [
                {"tenant_id": each.tenant_id, "tenant_name": each.tenant.tenant_name, "role": each.role}
                for each in memberships
            ]
            self.out.json({**_document(user), "second_factors": methods, "memberships": roles})
            return
        self.out.record(
            [
                *_members(user),
                ("has a password", "yes" if user.has_usable_password() else "no"),
                ("second factors", ", ".join(methods)),
                ("sessions", user.token_sessions.count()),
                ("access tokens", user.personal_tokens.count()),
            ]
        )
        if memberships:
            self.out.text("")
            rows = [[each.tenant_id, each.tenant, each.tenant.status, each.role] for each in memberships]
            self.out.table(["TENANT ID", "TENANT", "STATUS", "ROLE"], rows)


def _add_user(parser: CommandParser) -> None:
    parser.add_argument("user", metavar="USER", help="id, name or e-mail address")


def _read_password() -> str:
    """Return the password that standard input begins with. Raise CommandError if there is none."""
    if sys.stdin.isatty():
        raise CommandError("--password-stdin reads no password at a terminal, where it would show; use changepassword")
    password = sys.stdin.readline(LONGEST_PASSWORD + 2).rstrip("\r\n")
    if not password:
        raise CommandError("There is no password on standard input")
    return password


def _memberships(user: User) -> Sequence[Membership]:
    return list(Membership.objects.filter(user=user).select_related("tenant").order_by("created_at", "id"))


def _status(user: User) -> str:
    return "active" if user.is_active else "inactive"


def _operator_role(user: User) -> str:
    return user.operator_role or "no"


def _row(user: User) -> list[Any]:
    return [user.id, user, user.email, _status(user), _operator_role(user), time_text(user.created_at)]


def _members(user: User) -> list[tuple[str, Any]]:
    """Return a user for a record."""
    address = f"{user.email} ({'confirmed' if user.email_verified else 'not confirmed'})" if user.email else None
    return [
        ("id", user.id),
        ("name", user),
        ("e-mail", address),
        ("status", _status(user)),
        ("operator", _operator_role(user)),
        ("created", time_text(user.created_at)),
    ]


def _document(user: User) -> dict[str, Any]:
    """Return a user as a JSON object: that of the API with what only operators see."""
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "is_active": user.is_active,
        "email_verified": user.email_verified,
        "operator_role": user.operator_role,
        "created_at": utc_text(user.created_at),
    }
