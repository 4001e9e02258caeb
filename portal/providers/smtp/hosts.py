"""Where a host name leads: looked up once, judged, and then connected to as an address, so that it cannot lead elsewhere.

A practice types the name of its mail server. It must not open our own network to them (NET-1).
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in IPv6 clothes
UNICAST = ip_network("2000::/3")  # RFC 4291: all of IPv6 that is public; the rest wraps IPv4 in old ways, or is local
MAX_TRIED = 4  # addresses of one name


def is_public(address: str) -> bool:
    """Whether an address belongs to the public Internet, also where an IPv6 address only wraps one of IPv4."""
    found = _unwrapped(ip_address(address.partition("%")[0]))
    return found.is_global and not found.is_multicast and (found.version == 4 or found in UNICAST)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def addresses_of(host: str, port: int) -> tuple[str, ...]:
    """The IP addresses behind a name, in the resolver's order. Raises OSError or UnicodeError for a name without one."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))[:MAX_TRIED]
