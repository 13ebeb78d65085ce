"""The sidebar of the operators' admin: what needs attention, and the lists in the order of work."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext_lazy as _

from apikeys.attention import EXPIRES_WITHIN
from dashboard import gauges
from dashboard.gauges import GaugeName
from operations.services import NOTICED_FOR


class Attention(NamedTuple):
    """A number that should be zero, and the page that shows what it is about."""

    gauge: GaugeName
    title: Any
    icon: str
    permission: str
    page: str
    part: str  # of the page: a query, or an anchor


ATTENTION = (
    Attention(
        GaugeName.LEAKED_KEYS, _("Leaked keys"), "key_off",
        "apikeys.view_apikey", "apikeys_apikey_changelist", "?leaked=current",
    ),
    Attention(
        GaugeName.EXPIRING_KEYS, _("Keys that expire soon"), "timer",
        "apikeys.view_apikey", "apikeys_apikey_changelist", f"?expires_within_days={EXPIRES_WITHIN.days}",
    ),
    Attention(
        GaugeName.CALLED_SUSPENDED_TENANTS, _("Suspended, still called"), "phone_disabled",
        "tenants.view_tenant", "index", "#called-suspended-tenants",
    ),
    Attention(
        GaugeName.FAILED_OPERATIONS, _("Failed bulk operations"), "error",
        "operations.view_bulkoperation", "operations_bulkoperation_changelist",
        f"?failed_within_days={NOTICED_FOR.days}",
    ),
)  # fmt: skip


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links. What needs attention costs one query, and is left out where there is none."""
    return [DASHBOARD, *_attention(request), *LISTS]


def _attention(request: HttpRequest) -> list[dict[str, Any]]:
    allowed = [each for each in ATTENTION if request.user.has_perm(each.permission)]
    measured = gauges.read() if allowed else {}
    items = [
        {
            "title": each.title,
            "icon": each.icon,
            "link": reverse(f"admin:{each.page}") + each.part,
            "active": False,  # the list that it leads to is
            "badge": number,
        }
        for each in allowed
        if each.gauge in measured and (number := measured[each.gauge].number)
    ]
    return [{"title": _("Needs attention"), "separator": True, "items": items}] if items else []


def _page(title: Any, icon: str, model: str, **more: Any) -> dict[str, Any]:
    """Return the sidebar's link to the list of a model, which is named as in the admin's URLs."""
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist"), **more}


DASHBOARD = {"items": [{"title": _("Dashboard"), "icon": "dashboard", "link": reverse_lazy("admin:index")}]}
LISTS: list[dict[str, Any]] = [
    {
        "title": _("Tenants"),
        "separator": True,
        "items": [
            _page(_("Tenants"), "domain", "tenants_tenant"),
            _page(_("Agents"), "smart_toy", "agents_agent"),
            _page(_("API keys"), "key", "apikeys_apikey"),
            _page(_("Templates"), "content_copy", "agents_template"),
            _page(_("Config versions"), "history", "agents_configversion"),
            _page(_("Plugin settings"), "extension", "agents_pluginsetting"),
        ],
    },
    {
        "title": _("People"),
        "separator": True,
        "items": [
            _page(_("Users"), "group", "accounts_user"),
            _page(_("Invitations to register"), "person_add", "accounts_invitation"),
            _page(_("Invitations to tenants"), "group_add", "tenants_tenantinvitation"),
            _page(_("Personal access tokens"), "token", "accounts_personaltoken"),
            _page(_("Mails to send"), "mail", "accounts_queuedmail"),
        ],
    },
    {
        "title": _("Records"),
        "separator": True,
        "items": [
            _page(_("Audit log"), "policy", "common_auditentry"),
            _page(_("Bulk operations"), "checklist", "operations_bulkoperation"),
            _page(_("Deleted objects"), "restore_from_trash", "common_deletedobject"),
            _page(_("Usage log"), "receipt_long", "apikeys_usagelogentry"),
            _page(_("Agent activity"), "monitor_heart", "agents_agentactivity"),
        ],
    },
]
