"""Opens files at paths and URLs, and tells their sizes."""

import os
import stat
from functools import lru_cache
from typing import Any, NamedTuple

from manifests import ClipmillError
from stages.media.errors import UnreadableFile
from stages.media.list_file import MAX_LIST_BYTES, Entry, absolute_location, parse_list
from stages.media.member_file import MemberFile
from stages.media.remote.addresses import PRIVATE, may_be_private, without_mark
from stages.media.remote.downloads import download
from stages.media.remote.http import HttpRanges, public_url, read_head, read_small
from stages.media.remote.objects import ObjectRanges, stamp_of
from stages.media.remote.reader import RemoteFile
from stages.media.uri import is_http, listed_url, local_path, tar_member

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class FileStatus(NamedTuple):
    """What identifies the state of a file.

    Attributes:
        size_bytes: Its size; None if the server does not say it.
        stamp: A value that changes when the file changes; "" if there is none.
    """

    size_bytes: int | None
    stamp: str


def file_status(uri: str) -> FileStatus:
    """Return size and stamp of the file at a path or URL, without its content.

    Raises:
        FileNotFoundError: The file does not exist.
        UnreadableFile: It is not a regular file, for example a FIFO, which may never end.
        RemoteReadError: The server fails or refuses access.
    """
    if member := tar_member(uri):
        return FileStatus(member.size, file_status(member.archive_uri).stamp)
    path = local_path(uri)
    if path is not None:
        status = os.stat(path)
        check_regular(status)
        return FileStatus(status.st_size, str(status.st_mtime_ns))
    url = full_url(uri)
    if is_http(url):
        head = read_head(url)
        return FileStatus(head.size_bytes, head.stamp)
    found = ObjectRanges(url)
    return FileStatus(found.size_bytes, stamp_of(found.info))


def open_uri(uri: str, *, read_ahead: bool = True) -> Any:
    """Open a seekable binary file, which the caller must close.

    Args:
        uri: Path, URL, or member of a tar.
        read_ahead: Fetch more than the requested bytes of a remote file that is read in order.

    Raises:
        FileNotFoundError: The file does not exist.
        UnreadableFile: It is not a regular file, or too large to download.
        RemoteReadError: The server fails or refuses access.
    """
    if member := tar_member(uri):
        archive = open_uri(member.archive_uri, read_ahead=read_ahead)
        return MemberFile(archive, member.offset, member.size)
    path = local_path(uri)
    if path is not None:
        check_regular(os.stat(path))
        return open(path, "rb")
    url = full_url(uri)
    if not is_http(url):
        return RemoteFile(ObjectRanges(url), read_ahead=read_ahead)
    head = read_head(url)
    if head.has_ranges:
        return RemoteFile(HttpRanges(url, head), read_ahead=read_ahead)
    return open(download(url, head), "rb")


def check_regular(status: os.stat_result) -> None:
    """Check that a file has a content with an end.

    Raises:
        UnreadableFile: It is a folder, a FIFO, a socket or a device.
    """
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind:
        raise UnreadableFile(f"this is {kind}, not a file")


def read_list(list_uri: str) -> list[Entry]:
    """Return the entries of the list file at a path or URL, cached in this process until the file changes."""
    return _cached_list(list_uri, file_status(list_uri))


@lru_cache(maxsize=2)
def _cached_list(list_uri: str, status: FileStatus) -> list[Entry]:
    if is_http(list_uri):
        return parse_list(without_mark(list_uri), read_small(list_uri, MAX_LIST_BYTES))
    with open_uri(list_uri) as file:
        return parse_list(list_uri, file.read())


def full_url(uri: str) -> str:
    """Return the URL to open: for a reference to a list, the URL with its secret, from the list.

    If the list has several URLs with this public part, the line decides. Otherwise the URL is found on any
    line, also if it was signed again.

    Raises:
        UnreadableFile: The list no longer has this URL.
    """
    reference = listed_url(uri)
    if reference is None:
        return uri
    list_name = without_mark(reference.list_uri)
    try:
        urls = _cached_urls(reference.list_uri, file_status(reference.list_uri))
    except (OSError, ClipmillError) as error:
        raise UnreadableFile(f"the list of {reference.url} cannot be read: {list_name}") from error
    found = urls.get(reference.url, {})
    line = next(iter(found)) if len(found) == 1 else reference.line
    if line not in found:
        place = f"in line {reference.line} of {list_name}"
        raise UnreadableFile(f"{reference.url} is no longer {place}: run the command again")
    return found[line] + PRIVATE if may_be_private(uri) else found[line]


@lru_cache(maxsize=2)
def _cached_urls(list_uri: str, status: FileStatus) -> dict[str, dict[int, str]]:
    """Return the URLs of HTTP of a list by public part and line."""
    urls: dict[str, dict[int, str]] = {}
    for entry in _cached_list(list_uri, status):
        try:
            url = absolute_location(entry.location, list_uri)
        except ValueError:
            continue
        if is_http(url):
            urls.setdefault(public_url(url), {})[entry.line] = url
    return urls
