"""The comparison of a declaration with the database.

Every difference is found by the functions with which the services change a row, on a copy that is not stored. So a
plan knows what they will refuse, and has no change where they would write none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from agent_config.schema import DEFAULT
from agent_config.updates import apply_tenant_update
from agents.fields import AGENT_FIELDS
from agents.models import Agent, AgentStatus
from agents.services.config_writes import AgentConfigWrite
from apikeys.fields import KEY_FIELDS
from apikeys.models import ApiKey
from core import counts
from core.actor import Actor
from core.counts import Kind
from core.errors import DomainError, Invalid
from core.text import fold, fold_name
from provisioning.changes import Change, FieldChange, Sign, changed_fields, config_changes
from provisioning.declaration import Declaration, DeclaredAgent, DeclaredKey, DeclaredTenant
from provisioning.plans import AgentPlan, KeyPlan, MemberPlan, Plan, TenantPlan
from provisioning.yaml_file import InvalidFile, Place, Problem
from tenants.fields import TENANT_FIELDS
from tenants.models import Membership, Tenant, TenantType
from tenants.templates import templates_below

# The version number of a config is no field of the file.
_AGENT_STATE = tuple(name for name in AGENT_FIELDS.names if name not in ("config", "config_version"))


def make_plan(declaration: Declaration, *, actor: Actor, prune: bool, issue: bool) -> Plan:
    """Compare a declaration with the database.

    With `prune`, what the lists of the file do not name is removed. Without `issue`, new keys are skipped. Raise
    InvalidFile with everything that cannot be.
    """
    planner = _Planner(declaration, actor=actor, prune=prune, issue=issue)
    tenants = [plan for declared in declaration.tenants if (plan := planner.tenant(declared)) is not None]
    planner.check_distinct(tenants)
    if planner.problems:
        raise InvalidFile(*sorted(planner.problems, key=lambda problem: problem.line or 0))
    return Plan(declaration, tenants, planner.warnings)


class _Planner:
    def __init__(self, declaration: Declaration, *, actor: Actor, prune: bool, issue: bool) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._declaration = declaration
        self._actor = actor
        self._prune = prune
        self._issue = issue

    # ---- problems

    def _refuse(self, place: Place, sentence: object) -> None:
        self.problems.append(self._declaration.problem(place, sentence))

    @contextmanager
    def _collected(self, place: Place) -> Iterator[None]:
        """Collect the errors of what a service would refuse."""
        try:
            yield
        except Invalid as error:
            for path, sentences in error.errors.items():
                for sentence in sentences:
                    self._refuse((*place, *_steps(path, place)), sentence)
        except DomainError as error:
            self._refuse(place, error.detail)

    def check_distinct(self, plans: Sequence[TenantPlan]) -> None:
        """Refuse a tenant that the file names twice, by its id and by its name."""
        seen = set[str]()
        for plan in plans:
            if plan.row is not None and plan.row.pk in seen:
                self._refuse(plan.declared.place, _("the file has this twice"))
            elif plan.row is not None:
                seen.add(plan.row.pk)

    # ---- tenants

    def tenant(self, declared: DeclaredTenant) -> TenantPlan | None:
        """Return the plan of a tenant; None if it cannot be found or made."""
        owner = None if declared.owner is None else self._user(declared.owner, (*declared.place, "owner"))
        if declared.owner is not None and owner is None:
            return None
        if declared.id is None:
            scope = "" if owner is None else owner.pk
            row = Tenant.objects.filter(owner_scope=scope, name_folded=fold_name(declared.name)).first()
        else:
            row = Tenant.objects.filter(pk=declared.id).first()
            if row is None:
                self._refuse((*declared.place, "id"), _("there is no tenant with this id"))
                return None
        target, plan = self._compare_tenant(declared, row, owner)
        self._members(plan)
        self._agents(plan, target)
        with self._collected(declared.place):
            plan.check_limits(target)
        return plan

    def _compare_tenant(
        self, declared: DeclaredTenant, row: Tenant | None, owner: User | None
    ) -> tuple[Tenant, TenantPlan]:
        """Return the tenant as it is to be, and its plan without what is in it."""
        target = Tenant(owner=owner, owner_scope="" if owner is None else owner.pk) if row is None else copy(row)
        changes = dict(declared.changes)
        if row is None:
            changes.setdefault("tenant_type", TenantType.ENTERPRISE.value)
        before = None if row is None else TENANT_FIELDS.audit_state(row)
        config_before = (row and row.tenant_config) or {}
        with self._collected(declared.place):
            target.change_name(changes["tenant_name"])
            TENANT_FIELDS.assign(target, changes, skip=("tenant_name", "tenant_config"))
            if "tenant_config" in changes:
                target.tenant_config, found = apply_tenant_update(
                    target.tenant_config,
                    changes["tenant_config"],
                    templates=templates_below(target),
                    schema_name=target.config_schema or DEFAULT,
                    may_move_secrets=self._actor.is_trusted,
                )
                self._warn(declared.place, found)
        fields = changed_fields(before, TENANT_FIELDS.audit_state(target), changes.keys() - {"tenant_config"})
        place = (*declared.place, "tenant_config")
        fields += self._config_changes("tenant_config", config_before, target.tenant_config or {}, place)
        if owner is not None and (row is None or row.owner_id != owner.pk):
            former = None if row is None or row.owner is None else row.owner.username
            fields.insert(0, FieldChange("owner", former, owner.username))
        change = _change("tenant", (declared.name,), declared.place, fields, is_new=row is None)
        return target, TenantPlan(declared, row, change, _differing(changes, fields), owner)

    # ---- people

    def _user(self, text: str, place: Place) -> User | None:
        """Return the user of this name or confirmed address. Refuse a text that names nobody, or two people."""
        rows = User.objects.filter(Q(username_folded=fold(text)) | Q(email_folded=fold(text)))
        # An address that nobody has confirmed may be another person's.
        found = [row for row in rows if row.username_folded == fold(text) or row.email_verified]
        if len(found) == 1:
            return found[0]
        if found:
            self._refuse(place, _("this is the username of one person, and the e-mail address of another"))
        elif rows:
            self._refuse(place, _("nobody has confirmed this e-mail address; name the user by their username"))
        else:
            self._refuse(place, _("there is no user of this name or e-mail address"))
        return None

    def _members(self, plan: TenantPlan) -> None:
        if plan.declared.members is None:
            return
        rows = [] if plan.row is None else Membership.objects.filter(tenant=plan.row).select_related("user")
        stored = {row.user_id: row for row in rows}
        owner_id = plan.owner.pk if plan.owner is not None else plan.row and plan.row.owner_id
        named = set[str]()
        for declared in plan.declared.members:
            user = self._user(declared.user, (*declared.place, "user"))
            if user is None:
                continue
            if user.pk == owner_id:
                self._refuse(declared.place, _("this is the tenant's owner, who is no further member"))
                continue
            if user.pk in named:
                self._refuse(declared.place, _("the file has this twice"))
            named.add(user.pk)
            row = stored.get(user.pk)
            fields = [FieldChange("role", row and row.role, declared.role)]
            is_same = row is not None and row.role == declared.role
            path = (plan.declared.name, user.username)
            change = None if is_same else _change("member", path, declared.place, fields, is_new=row is None)
            plan.members.append(MemberPlan(declared, user, change))
        if self._prune:
            kept = {*named, owner_id}
            for row in stored.values():
                if row.user_id not in kept:
                    path = (plan.declared.name, row.user.username)
                    plan.removed.append((Change(Sign.REMOVE, "member", path, plan.declared.place), row))

    # ---- agents

    def _agents(self, plan: TenantPlan, tenant: Tenant) -> None:
        if plan.declared.agents is None:
            return
        folded = {fold_name(agent.name) for agent in plan.declared.agents}
        rows = Agent.objects.in_tenants([tenant.pk]).order_by("name_folded", "pk")
        stored = list(rows if self._prune else rows.filter(name_folded__in=folded))
        by_name = {agent.name_folded: agent for agent in stored}
        for agent in stored:
            if agent.name_folded not in folded:
                keys = counts.total(Kind.KEYS, [tenant.pk], agent_id=agent.pk)
                note = _("with its %(number)d keys") % {"number": keys} if keys else ""
                change = Change(Sign.REMOVE, "agent", (plan.declared.name, agent.name), plan.declared.place, note=note)
                plan.removed.append((change, agent))
        for declared in plan.declared.agents:
            plan.agents.append(self._agent(plan, tenant, declared, by_name.get(fold_name(declared.name))))
        self._keys(plan, tenant)

    def _agent(self, plan: TenantPlan, tenant: Tenant, declared: DeclaredAgent, row: Agent | None) -> AgentPlan:
        target = Agent() if row is None else copy(row)
        target.tenant = tenant
        write = AgentConfigWrite(target, actor=self._actor)
        with self._collected(declared.place):
            target.change_name(declared.name)
            AGENT_FIELDS.assign(target, declared.changes, skip=("name", "config"))
            if row is None or row.template_id != target.template_id:
                write.check_template()
        if "config" in declared.changes:
            with self._collected((*declared.place, "config")):
                write.apply(declared.changes["config"], replace=True)
                self._warn((*declared.place, "config"), target.found_warnings or ())
        before = None if row is None else AGENT_FIELDS.audit_state(row)
        names = declared.changes.keys() & set(_AGENT_STATE)
        fields = changed_fields(before, AGENT_FIELDS.audit_state(target), names)
        place = (*declared.place, "config")
        fields += self._config_changes("config", {} if row is None else row.config, target.config, place)
        change = _change("agent", (plan.declared.name, declared.name), declared.place, fields, is_new=row is None)
        return AgentPlan(declared, row, change, _differing(declared.changes, fields))

    # ---- keys

    def _keys(self, plan: TenantPlan, tenant: Tenant) -> None:
        names = {fold_name(key.name) for agent in plan.agents for key in agent.declared.keys or ()}
        condition = Q(name_folded__in=names)
        if self._prune:
            listed = [agent.row.pk for agent in plan.agents if agent.row and agent.declared.keys is not None]
            condition |= Q(agent__in=listed)
        rows = ApiKey.objects.in_tenants([tenant.pk]).filter(condition).select_related("agent").order_by("pk")
        leaving = {row.pk for _change, row in plan.removed}
        by_name: dict[str, ApiKey] = {}
        for row in rows:
            if row.name_folded in names:
                by_name[row.name_folded] = row
            else:
                path = (plan.declared.name, row.agent.name, row.name)
                plan.removed.append((Change(Sign.REMOVE, "key", path, plan.declared.place), row))
        for agent in plan.agents:
            for declared in agent.declared.keys or ():
                row_or_none = by_name.get(fold_name(declared.name))
                if row_or_none is not None and row_or_none.agent_id in leaving:
                    row_or_none = None
                agent.keys.append(self._key(plan, agent, declared, row_or_none))

    def _key(self, plan: TenantPlan, agent: AgentPlan, declared: DeclaredKey, row: ApiKey | None) -> KeyPlan:
        if row is not None and (agent.row is None or row.agent_id != agent.row.pk):
            sentence = _("the tenant has a key of this name already, of the agent %(name)s")
            self._refuse((*declared.place, "name"), sentence % {"name": row.agent.name})
        target = ApiKey() if row is None else copy(row)
        with self._collected(declared.place):
            target.change_name(declared.name)
            KEY_FIELDS.assign(target, declared.changes, skip=("name",))
        before = None if row is None else KEY_FIELDS.audit_state(row)
        fields = changed_fields(before, KEY_FIELDS.audit_state(target), declared.changes.keys())
        path = (plan.declared.name, agent.declared.name, declared.name)
        change = _change("key", path, declared.place, fields, is_new=row is None)
        if row is None:
            status = agent.changes.get("status", agent.row.status if agent.row else AgentStatus.ACTIVE)
            if status == AgentStatus.ARCHIVED:
                self._refuse(declared.place, _("An archived agent gets no new keys"))
            if not self._issue:
                note = _("not issued, because its secret has nowhere to go: --secrets-file or --secrets-to")
                change = Change(Sign.SKIP, "key", path, declared.place, note=note)
        return KeyPlan(declared, row, change, _differing(declared.changes, fields))

    # ---- configs

    def _config_changes(
        self, name: str, before: dict[str, Any], after: dict[str, Any], place: Place
    ) -> list[FieldChange]:
        return config_changes(name, before, after, lambda config: self._declaration.substitution.hidden(config, place))

    def _warn(self, place: Place, found: Sequence[Any]) -> None:
        for warning in found:
            here = (*place, *_steps(warning.path, place))
            self.warnings.append(self._declaration.problem(here, warning.message))


def _change(
    kind: str, path: tuple[str, ...], place: Place, fields: list[FieldChange], *, is_new: bool
) -> Change | None:
    if not fields and not is_new:
        return None
    return Change(Sign.ADD if is_new else Sign.CHANGE, kind, path, place, fields)


def _differing(changes: dict[str, Any], fields: Sequence[FieldChange]) -> dict[str, Any]:
    """Return the declared fields that differ from the stored ones. That of a config names a pointer after it."""
    names = {change.name.partition(" ")[0] for change in fields}
    return {name: value for name, value in changes.items() if name in names}


def _steps(path: str, place: Place) -> Place:
    """Return the steps of a path in an error, such as `config_overrides.model.models[0].name`."""
    steps: list[str | int] = []
    for part in path.replace("[", ".[").split("."):
        index = part[1:-1] if part.startswith("[") else ""
        steps.append(int(index) if index.isdecimal() else part)
    if steps == ["tenant_name"]:
        return ("name",)
    # The config itself is named by some errors, and its members by others.
    return tuple(steps[1:] if place and steps[:1] == [place[-1]] else steps)
