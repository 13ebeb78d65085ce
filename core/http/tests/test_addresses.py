"""The client's address: normal forms, ports, proxies, and networks that count as one client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from core.addresses import client_network, parse_address, parse_network
from core.http import addresses
from core.models import AuditEntry

pytestmark = pytest.mark.embedded


@pytest.fixture(autouse=True)
def trusted(settings: Any) -> Iterator[None]:
    """Proxies at 10.0.0.0/8, named as IPv4, and at 192.168.1.1, named as IPv6."""
    addresses._trusted_networks.cache_clear()
    settings.TRUSTED_PROXIES = ["10.0.0.0/8", "::ffff:192.168.1.1/128"]
    yield
    addresses._trusted_networks.cache_clear()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        (f"fe80::1%{'x' * 10_000}", "fe80::1"),
        ("::ffff:203.0.113.7%eth0", "203.0.113.7"),
    ],
)
def test_address_has_one_form(text: str, normal: str) -> None:
    assert str(parse_address(text)) == normal


def test_longest_address_fits_the_audit_log() -> None:
    longest = parse_address(f"{'ffff:' * 7}ffff%{'x' * 100}")

    assert len(str(longest)) <= (AuditEntry._meta.get_field("address").max_length or 0)


@pytest.mark.parametrize("text", ["", "nonsense", "1.2.3", "1.2.3.4.5", "1.2.3.4:80", "[::1]", "%eth0", "01.2.3.4"])
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|IPv4|IPv6"):
        parse_address(text)


def test_network_of_ipv4_may_be_written_as_ipv6() -> None:
    assert str(parse_network("::ffff:10.0.0.0/104")) == "10.0.0.0/8"
    assert str(parse_network("2001:db8::/32")) == "2001:db8::/32"


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.1", "6.6.6.6", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711, 10.0.0.2:8080", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::5]:99", "2001:db8::5"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("192.168.1.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, ::ffff:192.168.1.1", "203.0.113.9"),
        ("10.0.0.1", "6.6.6.6, nonsense", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, [::1", "10.0.0.1"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.9:", "10.0.0.1"),
        ("fe80::2%eth0", "", "fe80::2"),
    ],
)
def test_client_is_the_nearest_address_that_is_no_trusted_proxy(peer: str, forwarded_for: str, client: str) -> None:
    assert addresses.client_address(peer, forwarded_for) == client


@pytest.mark.parametrize(
    ("address", "prefix", "network"),
    [
        ("203.0.113.7", 64, "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", 56, "2001:db8:1::/56"),
        ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6/128"),
        ("", 64, ""),
    ],
)
def test_limits_count_a_network_of_ipv6_as_one_client(address: str, prefix: int, network: str) -> None:
    assert client_network(address, prefix) == network
