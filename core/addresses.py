"""IP addresses, as they are compared, stored and counted."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_IPV4_AS_IPV6 = IPv6Network("::ffff:0:0/96")


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Return the address in its normal form, whose text has at most 39 characters. Raise ValueError.

    An IPv4 address that is written as IPv6 (`::ffff:127.0.0.1`) becomes IPv4. A scope id (`fe80::1%eth0`) is dropped,
    because it means something on one machine only, and may be of any length.
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return a network; one of IPv4 addresses that are written as IPv6 becomes IPv4. Raise ValueError."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_AS_IPV6):
        return ip_network(f"{network.network_address.ipv4_mapped}/{network.prefixlen - _IPV4_AS_IPV6.prefixlen}")
    return network


def client_network(address: str, ipv6_prefix: int) -> str:
    """Return what limits count as one client: an IPv4 address, or the network of an IPv6 address.

    A provider gives each customer a whole network of IPv6, usually a /64. An unknown address, "", stays that.
    """
    if ":" not in address:
        return address
    return str(IPv6Network((address, ipv6_prefix), strict=False))
