"""Whom a request is meant for: the server answers to its own names alone, so that no website can pose as it (DNS rebinding).

A page of evil.example whose name suddenly resolves to 127.0.0.1 is, to the browser, of the same origin as what this server sends. Its
requests still say `Host: evil.example`.
"""

from __future__ import annotations

import ipaddress
import re

AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")
ORIGIN = re.compile(rf"https?://{AUTHORITY.pattern}")
ABSOLUTE = re.compile(r"http://(?P<authority>[^/?#]*)(?P<path>/.*)?", re.IGNORECASE | re.DOTALL)
HTTP_PORT = 80


def split_target(target: str, host: str) -> tuple[str, str]:
    """The authority and the path that a request line and a Host header stand for: an absolute address overrules the header (RFC 9112, 3.2.2)."""
    absolute = ABSOLUTE.fullmatch(target)
    return (absolute["authority"], absolute["path"] or "/") if absolute else (host, target)


def is_own_name(authority: str, given: str, local: tuple) -> bool:
    """Whether `authority`, "host" or "host:port", is a name of this server.

    given: the host that it was told to listen on. local: address and port at which the connection arrived. Its names are these two and, since
    nobody else can have them, localhost and the addresses of the computer itself.
    """
    parts = AUTHORITY.fullmatch(authority)
    if not parts or int(parts["port"] or HTTP_PORT) != local[1]:
        return False
    name = parts["host"].lower().strip("[]")
    if name.removesuffix(".") == "localhost" or name == given.lower():
        return True
    address = _address(name)
    return address is not None and (address.is_loopback or address == _address(local[0]))


def is_local_origin(origin: str) -> bool:
    """Whether the pages of this origin are served by the computer itself: no website can have such a one."""
    parts = ORIGIN.fullmatch(origin)
    if not parts:
        return False
    name = parts["host"].strip("[]")
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, one of IPv4 in IPv6's notation as itself; None for a name."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
