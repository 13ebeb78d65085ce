"""The theme of the operators' admin: django-unfold's settings, except the sidebar (maim.sidebar)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _


def _favicon(request: HttpRequest) -> str:
    return static("maim/favicon.svg")


def _styles(request: HttpRequest) -> str:
    return static("maim/admin.css")


def _script(request: HttpRequest) -> str:
    return static("maim/admin.js")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "maim",
    "SITE_HEADER": "maim",
    "SITE_URL": None,
    "SITE_SYMBOL": "hub",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _favicon}],
    "STYLES": [_styles],
    "SCRIPTS": [_script],
    "BORDER_RADIUS": "6px",
    "COLORS": {
        # Tailwind's sky, whose 600 and 700 have enough contrast with white.
        "primary": {
            "50": "oklch(97.7% .013 236.62)",
            "100": "oklch(95.1% .026 236.824)",
            "200": "oklch(90.1% .058 230.902)",
            "300": "oklch(82.8% .111 230.318)",
            "400": "oklch(74.6% .16 232.661)",
            "500": "oklch(62% .165 238)",
            "600": "oklch(52% .145 243)",
            "700": "oklch(45% .125 243.5)",
            "800": "oklch(39% .105 242)",
            "900": "oklch(34% .085 241.966)",
            "950": "oklch(29.3% .066 243.157)",
        },
    },
    "ACCOUNT": {
        "navigation": [
            {"title": _("Second factors"), "link": reverse_lazy("admin:factors")},
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
        ],
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "maim.sidebar.navigation",
    },
}
