"""Lists the videos that a list file names: paths and URLs of files and folders."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from manifests import ClipmillError
from manifests.messages import join_names
from stages.ingest.listing import ListedFile, Listing, list_folder, listed_file
from stages.ingest.remote_listing import list_http, list_objects, parallel
from stages.media.errors import UnreadableFile
from stages.media.files import read_list
from stages.media.list_file import Entry, absolute_location, is_list
from stages.media.remote.addresses import (
    PRIVATE,
    PRIVATE_SCHEMES,
    PUBLIC_SCHEMES,
    mark_private,
    may_be_private,
    origin_of,
    without_mark,
)
from stages.media.remote.errors import RemoteReadError
from stages.media.remote.http import public_url
from stages.media.uri import escape_non_utf8, has_secret, is_http, local_path, path_to_uri, refer_to_list


class _Location(NamedTuple):
    """The location of an entry.

    Attributes:
        source: The entry as written, without secrets.
        location: Absolute path or full URL; "" if the entry cannot be read.
        uri: Its `uri` for tables.
        problem: Why the entry cannot be read, or "".
        values: The values of the further columns of the list.
    """

    source: str
    location: str
    uri: str
    problem: str = ""
    values: Mapping[str, Any] = MappingProxyType({})


def list_entries(list_uri: str, listing: Listing) -> None:
    """Add the videos of a list in its order. An invalid, missing or repeated entry is added with its problem.

    Raises:
        FileNotFoundError: The list does not exist.
        ClipmillError: The list is empty, or not in its format.
    """
    locations, lines = [], dict[str, int]()
    for entry in read_list(list_uri):
        found = _locate(entry, list_uri, listing)
        first = lines.setdefault(found.location, entry.line) if found.location else entry.line
        if first != entry.line:
            found = found._replace(location="", problem=f"listed twice: line {first} has it already")
        locations.append(found._replace(values=entry.values))
    if not locations:
        raise ClipmillError(
            "the list names no footage",
            where=without_mark(list_uri),
            remedy="write a path or a URL in each line of the file",
        )
    for part in parallel(lambda location: _listing_of(location, listing), locations):
        listing.extend(part)


def _locate(entry: Entry, list_uri: str, listing: Listing) -> _Location:
    written, problem = entry.location, entry.problem
    place = f"line {entry.line} of {without_mark(list_uri)}"
    try:
        location = absolute_location(written, list_uri) if written else ""
    except ValueError as error:
        location, problem = "", str(error)
    path = local_path(location)
    if not location:
        source = public_url(escape_non_utf8(written)) if written else place
        return _Location(source, "", place, problem)
    if path is not None:
        path = os.path.abspath(path)
        return _Location(escape_non_utf8(written), path, path_to_uri(path))
    public = public_url(location) if is_http(location) or has_secret(location) else location
    try:
        location.encode()
    except UnicodeEncodeError:
        return _Location(escape_non_utf8(public), "", place, "the URL is not UTF-8")
    if has_secret(location) and not is_http(location):
        return _Location(public, "", public, "the URL holds credentials: set them in the environment")
    scheme = origin_of(location)[0]
    schemes = PUBLIC_SCHEMES + (PRIVATE_SCHEMES if listing.allow_private_urls else ())
    if scheme not in schemes:
        allowed = f"allowed are {join_names(schemes)}"
        return _Location(public, "", public, f"{scheme}:// is not allowed in a list: {allowed}")
    if listing.allow_private_urls or origin_of(location) == origin_of(list_uri):
        location = mark_private(location)
    mark = PRIVATE if may_be_private(location) else ""
    uri = refer_to_list(location, list_uri, entry.line) if has_secret(location) else public
    return _Location(public, location, uri + mark)


def _listing_of(found: _Location, parent: Listing) -> Listing:
    """Return the file of an entry, or the files below its folder."""
    listing = Listing(parent.extensions)
    path, uri = local_path(found.location), without_mark(found.uri)
    if not found.location:
        invalid = ListedFile(found.source, found.uri, problem=found.problem, values=found.values)
        listing.files.append(invalid)
        return listing
    try:
        if path is not None and os.path.isdir(path):
            list_folder(path, listing)
            folder = found.source.rstrip("/")
            listing.files = sorted(f._replace(source=f"{folder}/{f.source}") for f in listing.files)
        elif is_list(found.source):
            raise UnreadableFile("a list cannot name another list")
        elif path is not None or (is_http(uri) and not uri.endswith("/")):
            listing.files.append(listed_file(found.location, found.source)._replace(uri=found.uri))
        else:
            (list_http if is_http(uri) else list_objects)(found.location, listing)
            listing.files = sorted(f._replace(source=without_mark(f.uri)) for f in listing.files)
        reason = "" if listing.files else "the folder has no videos"
    except (FileNotFoundError, RemoteReadError, UnreadableFile) as error:
        reason = str(error)
    except ClipmillError as error:
        reason = error.what
    if reason:
        listing.files.append(ListedFile(found.source, found.uri, problem=reason))
    listing.files = [file._replace(values={**file.values, **found.values}) for file in listing.files]
    return listing
