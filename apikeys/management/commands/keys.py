from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.core.management.base import CommandError, CommandParser

from agents.models import Agent
from apikeys import permissions, queries, services, verification
from apikeys.access import keys_for
from apikeys.management import options as arguments
from apikeys.management.formatting import key_record, key_table, verdict_document, verdict_record
from apikeys.management.lookup import KeyLookup
from apikeys.models import ApiKey
from apikeys.serializers.keys import AgentKeyCreateRequest, KeyDeletionResponse, KeyResponse, with_secret
from apikeys.services import IssuedKey
from core.actor import Actor, command_actor
from core.commands.exit_codes import EXPECTED_ERRORS, ExitCode, command_error
from core.commands.formatting import format_json
from core.commands.options import add_json
from core.commands.subcommands import Options, SubcommandsCommand
from core.db import transactional_and_propagated
from core.errors import Unavailable
from tenants.models import Tenant

EXIT_CODES = (
    "Exit status: 0, it is done, or the key is good; 1, a rule or the input forbids it, and nothing has changed; "
    "2, the command line is wrong; 3, what was named does not exist or is ambiguous, and nothing has changed; "
    "4, the key that was verified is not good, or lacks the permission; 5, the database does not answer."
)
LONGEST_LINE = 10_000

R = TypeVar("R")


class Command(SubcommandsCommand):
    """Management of API keys, through the services that the API calls.

    Only `issue` and `rotate` write a secret to standard output. None is read from the command line, where other people
    on the machine can see it.
    """

    help = "Issues, finds, changes and verifies API keys. Agents, tenants and keys go by their id or their name."
    exit_codes = EXIT_CODES
    actor: Actor
    lookup: KeyLookup

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        issue = add("issue", self.issue, "Issues a key; its secret is shown this once")
        issue.add_argument("agent", metavar="AGENT", help="id, name, or TENANT/AGENT")
        arguments.add_issue_options(issue)
        arguments.add_secret_output(issue)

        found = add("list", self.list, "Lists keys, newest first")
        arguments.add_owners(found)
        arguments.add_list_options(found)
        add_json(found)

        show = add("show", self.show, "Shows a key")
        arguments.add_keys(show, several=False)
        add_json(show)

        rotate = add("rotate", self.rotate, "Gives keys new secrets, which are shown this once")
        arguments.add_keys(rotate)
        arguments.add_grace(rotate)
        arguments.add_secret_output(rotate)

        disable = add("disable", self.disable, "Disables keys: no verification of them succeeds any more")
        enable = add("enable", self.enable, "Enables keys that were disabled")
        delete = add("delete", self.delete, "Deletes keys for good")
        for change in (disable, enable, delete):
            arguments.add_keys(change)
            add_json(change)
        delete.add_argument("--yes", action="store_true", help="do not ask")

        verify = add("verify", self.verify, "Judges a key, which is read from standard input; counts no use")
        arguments.add_verify_options(verify)
        add_json(verify)

    def handle(self, *args: Any, **options: Any) -> None:
        self.actor = command_actor(f"keys {options['subcommand']}")
        self.lookup = KeyLookup(self.actor)
        try:
            options["handler"](options)
        except EXPECTED_ERRORS as error:
            raise command_error(error, arguments.OPTIONS) from error

    # ---- the subcommands

    def issue(self, options: Options) -> None:
        agent = self.lookup.agent(options["agent"])
        request = AgentKeyCreateRequest(data=arguments.issue_data(options))
        request.is_valid(raise_exception=True)
        issued = services.issue_key(actor=self.actor, agent=agent, **request.validated_data)
        if options["json"]:
            self.stdout.write(format_json(with_secret(KeyResponse, issued)))
        else:
            self._write_secrets([issued], options)

    def list(self, options: Options) -> None:
        tenant, agent = self._owners(options)
        rows = queries.filter_keys(
            keys_for(self.actor).select_related("tenant", "agent"),
            tenant_id=tenant.id if tenant else None,
            agent_id=agent.id if agent else None,
            status=options["status"],
            q=options["q"],
            expires_within_days=options["expires_within_days"],
            never_used=options["never_used"] or None,
            unused_since=options["unused_since"],
        )
        total, keys = rows.count(), rows[: options["limit"]]
        if options["json"]:
            self.stdout.write(format_json({"items": KeyResponse(keys, many=True).data, "total": total}))
            return
        self.stdout.write(key_table(keys))
        if total > len(keys):
            self._tell(f"{len(keys)} of {total} keys; --limit shows more")

    def show(self, options: Options) -> None:
        (key,) = self._keys(options)
        self.stdout.write(format_json(KeyResponse(key).data) if options["json"] else key_record(key))

    def rotate(self, options: Options) -> None:
        def rotate(key: ApiKey) -> IssuedKey:
            return services.rotate_key(actor=self.actor, key=key, grace_seconds=options["grace_seconds"])

        issued = _for_all(self._keys(options), rotate)
        if options["json"]:
            self.stdout.write(format_json({"items": [with_secret(KeyResponse, one) for one in issued]}))
        else:
            self._write_secrets(issued, options)

    def disable(self, options: Options) -> None:
        self._change(options, lambda key: services.disable_key(actor=self.actor, key=key))

    def enable(self, options: Options) -> None:
        self._change(options, lambda key: services.enable_key(actor=self.actor, key=key))

    def delete(self, options: Options) -> None:
        keys = self._keys(options)
        if not options["yes"]:
            self._confirm_deleting(keys)
        _for_all(keys, lambda key: services.delete_key(actor=self.actor, key=key))
        if options["json"]:
            deleted = KeyDeletionResponse([{"api_key_id": key.id} for key in keys], many=True)
            self.stdout.write(format_json({"items": deleted.data}))
        else:
            self.stdout.write("\n".join(f"deleted {key.id}" for key in keys))

    def verify(self, options: Options) -> None:
        if options["typed"]:
            raise CommandError(
                "The key is read from standard input: on the command line others could see it",
                returncode=ExitCode.USAGE,
            )
        requirement = None if options["permission"] is None else permissions.parse(options["permission"])
        verdict = verification.verify(_read_secret(), options["client_ip"])
        if verdict.code == verification.UNAVAILABLE:
            raise Unavailable
        shown = verdict_document(verdict, requirement)
        self.stdout.write(format_json(shown) if options["json"] else verdict_record(shown))
        if shown["code"] != verification.VALID:
            sys.exit(ExitCode.NO)  # the answer is no, which is not an error

    # ---- shared steps

    def _owners(self, options: Options) -> tuple[Tenant | None, Agent | None]:
        tenant = None if options["tenant"] is None else self.lookup.tenant(options["tenant"])
        agent = None if options["agent"] is None else self.lookup.agent(options["agent"], tenant)
        return tenant, agent

    def _keys(self, options: Options) -> Sequence[ApiKey]:
        """Return the keys that are named, without duplicates."""
        owners = self._owners(options)
        found = [self.lookup.key(text, *owners) for text in options["keys"]]
        return list({key.id: key for key in found}.values())

    def _change(self, options: Options, change: Callable[[ApiKey], ApiKey]) -> None:
        changed = _for_all(self._keys(options), change)
        if options["json"]:
            self.stdout.write(format_json({"items": KeyResponse(changed, many=True).data}))
        else:
            self.stdout.write(key_table(changed))

    def _write_secrets(self, issued: Sequence[IssuedKey], options: Options) -> None:
        if options["quiet"]:
            self.stdout.write("\n".join(one.secret for one in issued))
            return
        self.stdout.write("\n\n".join(key_record(one.key, one.secret) for one in issued))
        self._tell("A key is shown in full this one time.")

    def _confirm_deleting(self, keys: Sequence[ApiKey]) -> None:
        """Ask at the terminal, on standard error. Raise CommandError unless the answer is yes."""
        if not sys.stdin.isatty():
            raise CommandError("Deleting wants --yes where there is no terminal to ask at")
        self._tell(key_table(keys))
        self._tell("Delete for good? [y/N] ", ending="")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was deleted")

    def _tell(self, text: str, ending: str = "\n") -> None:
        """Write a message to people, which is neither output nor an error, to standard error."""
        self.stderr.write(text, ending=ending, style_func=str)
        self.stderr.flush()


@transactional_and_propagated
def _for_all(keys: Sequence[ApiKey], change: Callable[[ApiKey], R]) -> Sequence[R]:
    """Change all the keys or none, in one transaction, which waits for the lease only once."""
    return [change(key) for key in keys]


def _read_secret() -> str:
    """Return the secret to verify, typed unseen at a terminal, or else a line of standard input."""
    secret = getpass.getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline(LONGEST_LINE)
    if not secret.strip():
        raise CommandError("There is no key on standard input")
    return secret.strip()
