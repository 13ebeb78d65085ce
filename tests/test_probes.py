"""Probes as orchestrators and load balancers send them, to a server that answers people at one name only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.haproxy import HAProxy
from tests.support.instances import wait_until
from tests.support.server import MaimServer
from tests.support.wire import exchange

pytestmark = pytest.mark.embedded

# What a kubelet sends: the pod's address and port as Host, its own User-Agent, and `Connection: close`.
KUBELET = {"User-Agent": "kube-probe/1.30", "Accept": "*/*", "Connection": "close"}


@pytest.fixture(scope="module")
def maim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MaimServer]:
    directory: Path = tmp_path_factory.mktemp("probed")
    with MaimServer(directory, "maim_probed", MAIM_PUBLIC_URL="https://maim.example.com") as maim:
        yield maim


@pytest.mark.skipif(bool(HAProxy.missing()), reason="needs haproxy, which tests/run.py installs where it may")
def test_plain_checks_of_haproxy_find_both_surfaces_up(maim: MaimServer, tmp_path: Path) -> None:
    haproxy = HAProxy(tmp_path, {"public": maim.public_port, "internal": maim.internal_port})
    haproxy.start()
    try:
        up = ("UP", "L7OK", "204")
        wait_until(lambda: haproxy.checks() == {"public": up, "internal": up}, "all are up")
    finally:
        haproxy.stop()


def test_kubelet_finds_both_surfaces_up_by_the_address_of_the_pod(maim: MaimServer) -> None:
    for port, path in ((maim.public_port, "/health"), (maim.internal_port, "/health"), (maim.internal_port, "/ready")):
        assert exchange(port, "GET", path, host=f"10.1.2.3:{port}", headers=KUBELET).status == 200, (port, path)

    refused = exchange(maim.public_port, "GET", "/", host=f"10.1.2.3:{maim.public_port}", headers=KUBELET)
    assert refused.status == 403, "only probes look at no Host"
