"""Which addresses a URL may reach: public ones, private ones if the user says so, metadata services never.

A URL that may reach private addresses ends with `#private`. Listing adds this mark to a URL that the user
wrote, or allowed, and whose host has a private address. A host is checked when a connection to it is opened,
and the connection goes to the checked address, so a name that is resolved differently the next time, or a
redirect, reaches nothing else.
"""

import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stages.media.errors import UnreadableFile

if TYPE_CHECKING:
    import httpcore2

PRIVATE = "#private"
# A URL of S3 or Google names a bucket, and the environment names the server.
PUBLIC_SCHEMES = ("http", "https", "s3", "s3a", "gs", "gcs")
# The others name a server, which may be private. None of them opens local files, or another URL inside it.
PRIVATE_SCHEMES = (
    "abfs", "abfss", "adl", "az", "ftp", "hdfs", "oci", "oss", "sftp", "smb", "ssh", "webhdfs", "webdav",
)  # fmt: skip
_METADATA = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32",
        "168.63.129.16/32",
    )
)  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")


class RefusedAddress(UnreadableFile):
    """The host of a URL has an address that the URL may not reach."""


def may_be_private(url: str) -> bool:
    """Return whether a URL has the mark that it may reach private addresses."""
    return url.endswith(PRIVATE)


def without_mark(url: str) -> str:
    """Return a URL without the mark."""
    return url.removesuffix(PRIVATE)


def mark_private(url: str) -> str:
    """Return a URL of HTTP whose host has no public address with the mark, and any other as it is."""
    try:
        parts = urlsplit(url)
        if may_be_private(url) or parts.scheme not in ("http", "https"):
            return url
        addresses = _resolve_once(parts.hostname or "")
    except (OSError, ValueError):  # also a name that is no name: the request tells why
        return url
    if addresses and not any(_is_public(address) for address in addresses):
        return url + PRIVATE
    return url


def origin_of(url: str) -> tuple[str, str]:
    """Return scheme and server of a URL, in lower case and without its user."""
    scheme, _, rest = url.partition("://")
    server = rest.partition("#")[0].partition("?")[0].partition("/")[0]
    return scheme.lower(), server.rpartition("@")[2].lower()


def check_literal(host: str, *, is_private_allowed: bool) -> None:
    """Check a host that is an address in any notation, such as 127.1, 0x7f000001 or ::1, and no name.

    Raises:
        RefusedAddress: A URL may not reach it.
    """
    try:
        addresses = _resolve(host.strip("[]"), socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    _allowed(host, addresses, is_private_allowed)


def checked_backend(
    backend: "httpcore2.NetworkBackend", *, is_private_allowed: bool
) -> "httpcore2.NetworkBackend":
    """Return what opens connections for the HTTP client by `backend`, only to addresses that are allowed."""
    import httpcore2

    class Backend(httpcore2.NetworkBackend):
        def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore2.NetworkStream:
            try:
                addresses = _resolve(host)
            except OSError as error:
                raise httpcore2.ConnectError(str(error)) from error
            failure: Exception = httpcore2.ConnectError("the name has no address")
            for address in _allowed(host, addresses, is_private_allowed):
                try:
                    return backend.connect_tcp(address, port, *args, **options)
                except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                    failure = error
            raise failure

    return Backend()


def _allowed(host: str, addresses: Sequence[str], is_private_allowed: bool) -> list[str]:
    """Return the addresses that may be reached.

    Raises:
        RefusedAddress: There are addresses, but none of them may be reached.
    """
    found = [a for a in addresses if _is_public(a) or (is_private_allowed and not _is_metadata(a))]
    if found or not addresses:
        return found
    if any(_is_metadata(address) for address in addresses):
        raise RefusedAddress(f"{host} is an address of a metadata service or link-local, which is never read")
    raise RefusedAddress(
        f"{host} is a private address: a list may name it only with allow_private_urls=true,"
        " and a public server may not redirect to it"
    )


def _resolve(host: str, flags: int = 0) -> tuple[str, ...]:
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    return tuple(dict.fromkeys(str(info[4][0]) for info in infos))


_resolve_once = lru_cache(maxsize=1024)(_resolve)


def _is_public(address: str) -> bool:
    plain = _unwrap(address)
    is_site_local = isinstance(plain, IPv6Address) and plain.is_site_local
    return plain.is_global and not (plain.is_multicast or is_site_local or _is_metadata(address))


def _is_metadata(address: str) -> bool:
    plain = _unwrap(address)
    return any(plain in network for network in _METADATA if network.version == plain.version)


def _unwrap(address: str) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 address (mapped, 6to4, Teredo, NAT64), or the address itself."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return found
    teredo = found.teredo
    inner = found.ipv4_mapped or found.sixtofour or (teredo[1] if teredo else None)
    if inner is None and (found in _NAT64 or (int(found) >> 32 == 0 and int(found) > 1)):
        inner = IPv4Address(int(found) & 0xFFFFFFFF)  # NAT64, or the old form ::a.b.c.d
    return inner or found
