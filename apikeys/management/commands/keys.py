from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import QuerySet

from agents.models import Agent
from apikeys import permissions, queries, services, verification
from apikeys.access import get_secret, keys_for
from apikeys.keyformat import MalformedKey
from apikeys.management import options as arguments
from apikeys.management.formatting import KEY_HEADER, key_members, key_row, verdict_document, verdict_members
from apikeys.management.lookup import KeyLookup
from apikeys.management.secrets import issue_and_show, issue_into, read_secret
from apikeys.models import ApiKey
from apikeys.serializers.keys import AgentKeyCreateRequest, KeyDeletionResponse, KeyResponse, with_secret
from apikeys.services import IssuedKey
from core.changes import change_all
from core.commands.exit_codes import ExitCode
from core.commands.files import SecretFile
from core.commands.options import add_dry_run, add_json, add_yes, validated_data
from core.commands.subcommands import Options, SubcommandsCommand
from core.errors import Unavailable
from core.keyset import read_page
from tenants.models import Tenant
from tenants.roles import Access

EXIT_CODES = (
    "Exit status: 0, it is done, or the key is good; 1, a rule or the input forbids it, and nothing has changed; "
    "2, the command line is wrong; 3, what was named does not exist or is ambiguous, and nothing has changed; "
    "4, the key that was verified is not good, or lacks the permission; 5, the database does not answer."
)


class Command(SubcommandsCommand):
    """Management of API keys, through the services that the API calls.

    Only `issue` and `rotate` write a secret. None is read from the command line, where other people on the machine can
    see it.
    """

    help = (
        "Issues, finds, changes and verifies API keys. Agents, tenants and keys go by their id or their name, keys by "
        "the masked secret, too."
    )
    exit_codes = EXIT_CODES
    option_names = arguments.OPTIONS
    lookup: KeyLookup

    def add_arguments(self, parser: CommandParser) -> None:
        add = self.subcommand_adder(parser)
        issue = add("issue", self.issue, "Issues a key; its secret is shown this once")
        issue.add_argument("agent", metavar="AGENT", help="id, name, or TENANT/AGENT")
        arguments.add_issue_options(issue)
        arguments.add_secret_output(issue)
        add_dry_run(issue)

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
        add_dry_run(rotate)

        disable = add("disable", self.disable, "Disables keys: no verification of them succeeds any more")
        enable = add("enable", self.enable, "Enables keys that were disabled")
        delete = add("delete", self.delete, "Deletes keys for good")
        for change in (disable, enable, delete):
            arguments.add_keys(change)
            add_json(change)
            add_dry_run(change)
        add_yes(delete)

        report = add(
            "report-leaked", self.report_leaked, "Ends a leaked secret, which is read from standard input, for good"
        )
        arguments.add_typed(report)
        report.add_argument("--where", metavar="TEXT", help="where it was seen; the audit log and its owner are told")
        add_json(report)
        add_dry_run(report)
        add_yes(report)

        verify = add("verify", self.verify, "Judges a key, which is read from standard input; counts no use")
        arguments.add_verify_options(verify)
        add_json(verify)

    def prepare(self) -> None:
        self.lookup = KeyLookup(self.actor)

    # ---- the subcommands

    def issue(self, options: Options) -> None:
        agent = self.lookup.agent(options["agent"])
        values = validated_data(AgentKeyCreateRequest, arguments.issue_data(options))
        self._write_secrets(options, lambda: [services.issue_key(actor=self.actor, agent=agent, **values)])

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
        page = read_page(_ordered(rows, tenant or agent), after=options["after"], limit=options["limit"])
        self.write_page(page, options, header=KEY_HEADER, row=key_row, document=_documents)

    def show(self, options: Options) -> None:
        (key,) = self._keys(options)
        if options["json"]:
            self.out.json(KeyResponse(key).data)
        else:
            self.out.record(key_members(key))

    def rotate(self, options: Options) -> None:
        rotate = partial(services.rotate_key, actor=self.actor, grace_seconds=options["grace_seconds"])
        keys = self._keys(options)
        self._write_secrets(options, lambda: change_all(keys, lambda key: rotate(key=key)))

    def disable(self, options: Options) -> None:
        self._change(options, lambda key: services.disable_key(actor=self.actor, key=key))

    def enable(self, options: Options) -> None:
        self._change(options, lambda key: services.enable_key(actor=self.actor, key=key))

    def delete(self, options: Options) -> None:
        keys = self._keys(options)
        if not options["yes"] and not options["dry_run"]:
            self.out.tell_table(KEY_HEADER, [key_row(key) for key in keys])
            self.confirm(f"Delete {len(keys)} keys for good?", options)
        delete = partial(services.delete_key, actor=self.actor)
        self.change(lambda: change_all(keys, lambda key: delete(key=key)), options)
        if options["json"]:
            deleted = KeyDeletionResponse([{"api_key_id": key.id} for key in keys], many=True)
            self.out.json({"items": deleted.data})
        else:
            self.out.text("\n".join(f"deleted {key.id}" for key in keys))

    def report_leaked(self, options: Options) -> None:
        arguments.refuse_typed(options)
        try:
            secret = get_secret(self.actor, read_secret(), Access.READ)
        except MalformedKey as error:
            raise CommandError(f"That is no key of maim: {error}") from error
        key = self.lookup.key(secret.key_id)
        self.confirm(f"End the secret of {key} ({key.id}) that ends in {secret.hint} for good?", options)
        report = partial(services.report_leak, actor=self.actor, secret=secret, where=options["where"])
        self.change(report, options)
        if options["json"]:
            self.out.json(KeyResponse(key).data)
        else:
            self.out.record(key_members(key))

    def verify(self, options: Options) -> None:
        arguments.refuse_typed(options)
        requirement = None if options["permission"] is None else permissions.parse(options["permission"])
        verdict = verification.verify(read_secret(), options["client_ip"])
        if verdict.code == verification.UNAVAILABLE:
            raise Unavailable
        shown = verdict_document(verdict, requirement)
        if options["json"]:
            self.out.json(shown)
        else:
            self.out.record(verdict_members(shown))
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
        keys = self._keys(options)
        self._write_keys(self.change(lambda: change_all(keys, change), options), options)

    def _write_keys(self, keys: Sequence[ApiKey], options: Options) -> None:
        if options["json"]:
            self._write_documents(_documents(keys), options)
        else:
            self.out.table(KEY_HEADER, [key_row(key) for key in keys])

    def _write_documents(self, documents: Sequence[Any], options: Options) -> None:
        """Write the one new key of `issue`, or the items of a subcommand that names several."""
        self.out.json({"items": documents} if "keys" in options else documents[0])

    def _write_secrets(self, options: Options, issue: Callable[[], Sequence[IssuedKey]]) -> None:
        """Issue secrets, and write them once: to the file of `--secret-file`, or else to standard output."""
        if options["dry_run"]:
            issued = self.change(issue, options)
            self._write_keys([one.key for one in issued], options)
        elif options["secret_file"] is not None:
            with SecretFile(options["secret_file"]) as file:
                issued = issue_into(file, issue)
            self._write_keys([one.key for one in issued], options)
        else:
            issue_and_show(issue, partial(self._show_secrets, options=options))
            if not options["quiet"] and not options["json"]:
                self.out.tell("A key is shown in full this one time.")

    def _show_secrets(self, issued: Sequence[IssuedKey], options: Options) -> None:
        if options["quiet"]:
            self.out.text("\n".join(one.secret for one in issued))
        elif options["json"]:
            self._write_documents([with_secret(KeyResponse, one) for one in issued], options)
        else:
            for number, one in enumerate(issued):
                self.out.text("\n" if number else "", ending="")
                self.out.record(key_members(one.key, one.secret))
        self.out.flush()


def _documents(keys: Sequence[ApiKey]) -> Sequence[Any]:
    return list(KeyResponse(keys, many=True).data)


def _ordered(rows: QuerySet[ApiKey], owner: Tenant | Agent | None) -> QuerySet[ApiKey]:
    """Return the keys, newest first. Those of all tenants are in the order of an index of their own."""
    return rows if owner is not None else rows.order_by("-created_at", "-name_folded", "-id")
