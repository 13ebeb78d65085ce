"""The subcommands of `manage.py agents` that find, create, change and delete agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from agent_config.schema import NAMES
from agent_config.secrets import masked
from agents import services
from agents.access import agents_for
from agents.models import Agent, AgentStatus
from agents.serializers.agents import (
    AgentDeletionResponse,
    AgentUpdateRequest,
    InternalAgentCreateRequest,
    InternalAgentResponse,
    internal_agent,
)
from core import counts
from core.changes import change_all
from core.commands.formatting import quota_text, rate_limit_text, time_text
from core.commands.options import add_dry_run, add_json, add_limits, add_page, add_yes, validated_data
from core.commands.subcommands import AddSubcommand, Options
from core.counts import Kind
from core.keyset import read_page
from core.naming import begins_with
from core.text import fold_name
from tenants.management.lookup import name_and_id

if TYPE_CHECKING:
    from agents.management.commands.agents import Command

HEADER = ["ID", "NAME", "TENANT", "STATUS", "VERSION", "CREATED"]
# The options that set the API's fields; errors name them in place of the fields.
OPTIONS = {"template_id": "--template", "tags": "--tag"} | {
    name: f"--{name.replace('_', '-')}" for name in ("description", "status", "config_schema", "rate_limit", "quota")
}


class AgentRows:
    """The subcommands, which act and write as their command does."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def add_to(self, add: AddSubcommand) -> None:
        """Add the subcommands to the parser of the command."""
        found = add("list", self.list, "Lists agents, newest first; with --name by name")
        found.add_argument("--tenant", metavar="TENANT", help="id or name")
        found.add_argument("--status", choices=AgentStatus.values)
        found.add_argument("--name", metavar="TEXT", help="those whose name begins with it")
        add_page(found)
        add_json(found)

        show = add("show", self.show, "Shows an agent")
        _add_agent(show)
        add_json(show)

        create = add("create", self.create, "Creates an agent, whose config is that of the layers below it")
        create.add_argument("name", metavar="NAME", help="unique in the tenant")
        create.add_argument("--tenant", required=True, metavar="TENANT", help="id or name")
        _add_settings(create, may_end=False)

        update = add("update", self.update, "Changes an agent; a text that is empty empties the field")
        _add_agent(update)
        update.add_argument("--name", metavar="NAME", help="a new name")
        update.add_argument("--status", choices=AgentStatus.values)
        _add_settings(update, may_end=True)

        suspend = add("suspend", self.suspend, "Makes agents inactive: none of their keys is good any more")
        resume = add("resume", self.resume, "Makes inactive agents active again")
        delete = add("delete", self.delete, "Deletes agents with their keys, config and its versions")
        for change in (suspend, resume, delete):
            change.add_argument("agents", nargs="+", metavar="AGENT", help="id, name, or TENANT/AGENT")
            add_dry_run(change)
            add_json(change)
        add_yes(delete)

    # ---- the subcommands

    def list(self, options: Options) -> None:
        rows = agents_for(self._command.actor).select_related("tenant")
        if options["tenant"] is not None:
            rows = rows.filter(tenant=self._command.lookup.tenant(options["tenant"]))
        else:  # the order of the index of all tenants' agents
            rows = rows.order_by("-created_at", "-name_folded", "-id")
        if options["status"] is not None:
            rows = rows.filter(status=options["status"])
        if options["name"] is not None:
            rows = rows.filter(begins_with("name_folded", fold_name(options["name"])))
            rows = rows.order_by("name_folded", "created_at", "id")
        page = read_page(rows, after=options["after"], limit=options["limit"])
        self._command.write_page(page, options, header=HEADER, row=_row, document=_documents)

    def show(self, options: Options) -> None:
        self._write(self._command.lookup.agent(options["agent"]), options)

    def create(self, options: Options) -> None:
        tenant = self._command.lookup.tenant(options["tenant"])
        values = validated_data(InternalAgentCreateRequest, {**options, "tenant_id": tenant.id})
        del values["tenant_id"]
        actor = self._command.actor
        made = self._command.change(lambda: services.create_agent(actor=actor, tenant=tenant, **values), options)
        self._write(made, options)

    def update(self, options: Options) -> None:
        agent = self._command.lookup.agent(options["agent"])
        changes: Any = validated_data(AgentUpdateRequest, options)
        actor = self._command.actor
        changed = self._command.change(
            lambda: services.update_agent(actor=actor, agent=agent, changes=changes), options
        )
        self._write(changed, options)

    def suspend(self, options: Options) -> None:
        self._set_status(AgentStatus.INACTIVE, options)

    def resume(self, options: Options) -> None:
        self._set_status(AgentStatus.ACTIVE, options)

    def delete(self, options: Options) -> None:
        agents, out, actor = self._agents(options), self._command.out, self._command.actor
        if not options["json"]:
            rows = [[agent.id, agent, agent.tenant, _number_of_keys(agent)] for agent in agents]
            out.tell_table(["ID", "NAME", "TENANT", "KEYS"], rows)
        if options["dry_run"]:
            out.tell("A dry run: nothing was written.")
        else:
            self._command.confirm(f"Delete {len(agents)} agents with their keys?", options)
            change_all(agents, lambda agent: services.delete_agent(actor=actor, agent=agent))
        if options["json"]:
            deleted = [{"id": agent.id} for agent in agents]
            out.json({"items": AgentDeletionResponse(deleted, many=True).data})
        elif not options["dry_run"]:
            out.text("\n".join(f"deleted {agent.id}" for agent in agents))

    # ---- shared steps

    def _agents(self, options: Options) -> Sequence[Agent]:
        """Return the agents that are named, without duplicates."""
        found = [self._command.lookup.agent(text) for text in options["agents"]]
        return list({agent.id: agent for agent in found}.values())

    def _set_status(self, status: AgentStatus, options: Options) -> None:
        agents, actor = self._agents(options), self._command.actor

        def set_status(agent: Agent) -> Agent:
            return services.update_agent(actor=actor, agent=agent, changes={"status": status})

        changed = self._command.change(lambda: change_all(agents, set_status), options)
        if options["json"]:
            self._command.out.json({"items": _documents(changed)})
        else:
            self._command.out.table(HEADER, [_row(agent) for agent in changed])

    def _write(self, agent: Agent, options: Options) -> None:
        if not options["json"]:
            self._command.out.record(_members(agent))
        elif options.get("dry_run"):  # what is not stored has no warnings yet
            self._command.out.json(_documents([agent])[0])
        else:
            self._command.out.json(InternalAgentResponse(agent).data)


def _add_agent(parser: CommandParser) -> None:
    parser.add_argument("agent", metavar="AGENT", help="id, name, or TENANT/AGENT")


def _add_settings(parser: CommandParser, *, may_end: bool) -> None:
    parser.add_argument("--description", metavar="TEXT")
    parser.add_argument("--template", dest="template_id", metavar="ID", help="the template that it is based on")
    parser.add_argument("--tag", dest="tags", action="append", metavar="TAG", help="may be given several times")
    parser.add_argument("--config-schema", choices=NAMES, help="by default the tenant's")
    add_limits(parser, may_end=may_end)
    add_dry_run(parser)
    add_json(parser)


def _number_of_keys(agent: Agent) -> int:
    return counts.total(Kind.KEYS, [agent.tenant_id], agent_id=agent.id)


def _row(agent: Agent) -> list[Any]:
    created = time_text(agent.created_at)
    return [agent.id, agent, agent.tenant, agent.status, agent.config_version, created]


def _members(agent: Agent) -> list[tuple[str, Any]]:
    """Return an agent for a record. Its config is what `agents export` writes."""
    return [
        ("id", agent.id),
        ("name", agent),
        ("tenant", name_and_id(agent.tenant)),
        ("status", agent.status),
        ("description", agent.description),
        ("template", agent.template_id),
        ("tags", ", ".join(agent.tags)),
        ("config version", agent.config_version),
        ("config schema", agent.config_schema),
        ("rate limit", rate_limit_text(agent.rate_limit)),
        ("quota", quota_text(agent.quota)),
        ("keys", _number_of_keys(agent)),
        ("created", time_text(agent.created_at)),
        ("updated", time_text(agent.updated_at)),
    ]


def _documents(agents: Sequence[Agent]) -> list[dict[str, Any]]:
    """Return agents as in the list of /api/v2/agents, without the warnings about their configs."""
    return [internal_agent(agent, masked(agent.config)) for agent in agents]
