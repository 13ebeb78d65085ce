"""Cases of the operators' admin on the data of `manage.py demo`, each compared with a page that reads no data."""

from __future__ import annotations

import re
from functools import cache

import httpx

from bench.harness import Bench
from bench.load import TIMEOUT_SECONDS, Load, Request, Wrong
from bench.rounds import Result
from bench.services import Maim

# A form in the admin's theme, for which only the session and the operator are read.
BARE = "/admin/password_change/"
_SHOWN = 20
# More would wait so long on a busy machine that the surface refuses them.
OPERATORS = 4


def dashboard(bench: Bench) -> Result:
    """Open the dashboard, in each span."""
    return _compared(bench, [f"/admin/?span={span}" for span in ("hour", "day", "month")])


def keys(bench: Bench) -> Result:
    """Open the list of keys."""
    return _compared(bench, ["/admin/apikeys/apikey/"])


def key(bench: Bench) -> Result:
    """Open the page of a key, one of those in the list."""
    return _compared(bench, _pages_in(bench, "/admin/apikeys/apikey/"))


def agent(bench: Bench) -> Result:
    """Open the page of an agent."""
    return _compared(bench, _pages_in(bench, "/admin/agents/agent/"))


def tenant(bench: Bench) -> Result:
    """Open the page of a tenant."""
    return _compared(bench, _pages_in(bench, "/admin/tenants/tenant/"))


def search(bench: Bench) -> Result:
    """Search keys by the beginning of a name."""
    return _compared(bench, [f"/admin/apikeys/apikey/?q={name}" for name in ("prod", "staging", "mobile", "nobody")])


def _compared(bench: Bench, paths: list[str]) -> Result:
    maim, cookies = _signed_in(bench)
    bare = bench.measuring(maim, _opening(bench, maim, cookies, [BARE]))
    return bench.rounds.against("a bare page", bare, bench.measuring(maim, _opening(bench, maim, cookies, paths)))


def _opening(bench: Bench, maim: Maim, cookies: str, paths: list[str]) -> Load:
    requests = (Request("GET", path, headers={"Cookie": cookies}) for path in paths)
    return bench.load(requests, base=maim.public, clients=OPERATORS)


def _pages_in(bench: Bench, path: str) -> list[str]:
    """Return the paths of the first objects in a list."""
    maim, cookies = _signed_in(bench)
    bench.services.run_only(maim)
    page = httpx.get(f"{maim.public}{path}", headers={"Cookie": cookies}, timeout=TIMEOUT_SECONDS).raise_for_status()
    found = list(dict.fromkeys(re.findall(rf'href="({path}[^/"]+/change/)', page.text)))[:_SHOWN]
    if len(found) < _SHOWN:
        raise Wrong(f"{path} leads to {len(found)} objects")
    return found


@cache
def _signed_in(bench: Bench) -> tuple[Maim, str]:
    """Return a maim with demo data, and the cookies of an operator who is signed in."""
    maim = bench.services.maim(bench.sizes.console)
    operator = bench.databases.seeded(bench.sizes.console).operator
    assert operator is not None
    bench.services.run_only(maim)
    with httpx.Client(base_url=maim.public, timeout=TIMEOUT_SECONDS) as client:
        client.get("/admin/login/").raise_for_status()
        fields = {**operator._asdict(), "csrfmiddlewaretoken": client.cookies["csrftoken"]}
        if client.post("/admin/login/?next=/admin/", data=fields).status_code != 302:
            raise Wrong("the operator cannot sign in")
        if client.get(BARE).status_code != 200:
            raise Wrong("the operator is not signed in")
        return maim, "; ".join(f"{name}={value}" for name, value in client.cookies.items())
