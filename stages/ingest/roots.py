"""The parts of the footage: folders, files, URLs and lists, separated by commas."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from manifests import ClipmillError
from stages.ingest.list_columns import infer_columns
from stages.ingest.listed_entries import list_entries
from stages.ingest.listing import (
    IMAGE_EXTENSIONS,
    VIDEO_EXTENSIONS,
    ListedFile,
    Listing,
    list_folder,
    listed_file,
)
from stages.ingest.remote_listing import list_http, list_objects
from stages.ingest.tar_members import expand_tars
from stages.media.errors import UnreadableFile
from stages.media.files import read_list
from stages.media.list_file import is_list
from stages.media.remote.addresses import mark_private
from stages.media.remote.http import public_url
from stages.media.uri import escape_non_utf8, has_secret, is_http, local_path, path_to_uri

_BEGINS_LOCATION = re.compile(r"[./~]|[A-Za-z][A-Za-z0-9+.-]*://")


def split_roots(text: str) -> list[str]:
    """Split at commas. A comma stays part of a name if such a file exists, or if no location follows it.

    A location begins with /, ., ~ or a scheme such as s3://, or exists.
    """
    roots: list[str] = []
    for piece in [text] if _exists(text) else text.split(","):
        if roots and not _BEGINS_LOCATION.match(piece.strip()) and not _exists(piece.strip()):
            roots[-1] += f",{piece}"
        elif piece.strip():
            roots.append(piece.strip() if roots or piece != text else piece)
    return roots


def _exists(text: str) -> bool:
    path = local_path(text)
    return path is not None and os.path.lexists(os.path.expanduser(path))


def list_roots(text: str, listing: Listing) -> None:
    """Add the files of all parts of the footage, in their order, each file once.

    With several parts, `source` of a file in a folder begins with the name of its folder.

    Raises:
        ClipmillError: A part does not exist, or is a URL with a secret.
        OSError: A part cannot be listed.
    """
    roots = split_roots(text)
    labels = _labels(roots)
    seen: set[str] = set()
    for root in roots:
        part = Listing(listing.extensions, listing.allow_private_urls)
        try:
            has_folder = list_root(root, part)
        except (FileNotFoundError, UnreadableFile) as error:
            raise missing(root, getattr(error, "strerror", None) or str(error)) from error
        if len(roots) > 1 and has_folder:
            name = labels[root]
            is_file = len(part.files) == 1 and f"/{name}".endswith(f"/{part.files[0].source}")
            part.files = [f._replace(source=name if is_file else f"{name}/{f.source}") for f in part.files]
        if part.reads_tars:
            expand_tars(part)
        new = [file for file in part.files if file.problem or file.uri not in seen]
        listing.repeated += len(part.files) - len(new)
        seen.update(file.uri for file in new)
        part.files = new
        listing.extend(part)


def _labels(roots: list[str]) -> dict[str, str]:
    """The names of the folders, or their whole paths if two have the same name."""
    names = {root: public_url(root).rstrip("/").rpartition("/")[2] or root for root in roots}
    is_unique = len(set(names.values())) == len(roots)
    return {
        root: escape_non_utf8(names[root] if is_unique else public_url(root).rstrip("/")) for root in roots
    }


def list_root(root: str, listing: Listing) -> bool:
    """Add the files of one folder, file, URL or list. Returns whether it is a folder or a file, not a list.

    Raises:
        ClipmillError: The URL has a secret.
        FileNotFoundError, UnreadableFile, OSError: It cannot be listed.
    """
    path = local_path(root)
    if path is None and has_secret(root):
        raise ClipmillError(
            "the URL of the footage has a query or a user, which may be a secret",
            where=public_url(root),
            remedy="write the URL into a text file, and give the file as footage: footage=urls.txt",
        )
    if path is not None:
        path = os.path.abspath(os.path.expanduser(path))
        if is_list(path) and not os.path.isdir(path):
            list_entries(path_to_uri(path), listing)
            return False
        if os.path.isdir(path):
            list_folder(path, listing)
            listing.sort()
        else:
            listing.files.append(_single_file(path, root))
        return True
    root = mark_private(root)  # the user's own choice
    if is_list(public_url(root) if is_http(root) else root):
        list_entries(root, listing)
        return False
    (list_http if is_http(root) else list_objects)(root, listing)
    listing.sort()
    return True


def find_list_columns(
    text: str, taken: Collection[str], *, images: bool = False, allow_private_urls: bool = False
) -> tuple[str, ...]:
    """The further columns of the lists among the parts of the footage, as `ListVideos.list_columns`.

    So are those of tars that are parts of the footage, entries of a list, or files in a local folder. A list
    that cannot be read has none; listing it will tell why.

    Args:
        text: The footage.
        taken: Names that columns of a list cannot have. Such a column gets the prefix `list_`.
        images: Read also what tars say about images, not only about videos.
        allow_private_urls: Whether URLs of a list may reach private addresses.

    Raises:
        ClipmillError: There are too many columns, or two of them get the same name.
    """
    records, extensions = [], (*VIDEO_EXTENSIONS, *(IMAGE_EXTENSIONS if images else ()))
    for root in split_roots(text):
        path = local_path(root)
        if path is None and has_secret(root):
            continue
        uri = mark_private(root) if path is None else path_to_uri(os.path.expanduser(path))
        if is_list(public_url(uri) if is_http(uri) else uri) and not os.path.isdir(path or ""):
            with suppress(OSError, ClipmillError):
                entries = read_list(uri)
                records += [entry.values for entry in entries]
                if any(public_url(entry.location).lower().endswith(".tar") for entry in entries):
                    records += _values_in_tars(uri, extensions, allow_private_urls)
        elif path is not None or public_url(uri).lower().endswith(".tar"):
            records += _values_in_tars(uri, extensions, allow_private_urls)
    return tuple(map(str, infer_columns(records, taken)))


def _values_in_tars(
    root: str, extensions: Sequence[str], allow_private_urls: bool
) -> list[Mapping[str, Any]]:
    """What the texts in the tars of a part of the footage say about files with these endings."""
    listing = Listing((".tar",), allow_private_urls)
    with suppress(OSError, ClipmillError, UnreadableFile):
        list_root(root, listing)
    members = Listing(extensions, files=listing.files)
    expand_tars(members)
    return [file.values for file in members.files if file.values]


def _single_file(path: str, root: str) -> ListedFile:
    file = listed_file(path_to_uri(path), escape_non_utf8(os.path.basename(path)))
    if file.problem:
        raise missing(root, file.problem)
    return file


def missing(root: str, reason: str) -> ClipmillError:
    """The error of footage that does not exist."""
    return ClipmillError(
        f"the footage does not exist or cannot be read: {reason}",
        where=escape_non_utf8(root),
        remedy="give an existing folder, file, URL or list",
    )
