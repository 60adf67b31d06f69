"""Lists the videos below a folder or URL, with ids derived from their content."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from manifests import ClipmillError, Row, column
from manifests.identity import digest_of, id_of
from pipeline import Source
from stages.media.fingerprint import open_for_sampling, sample_digest
from stages.media.uri import escape_non_utf8, local_path, path_to_uri

STORE_FILE = "store.json"  # at the top of a store; stores inside the footage are not listed
SUFFIXES = (
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip


class Video(Row):
    id: str = column("digest of the size, samples of the content, and the ordinal among identical files")
    uri: str = column("absolute path or URL of the file")
    source: str = column("path relative to the root, with / as separator; bytes that are not UTF-8 as \\xff")
    size_bytes: int = column("size of the file", unit="bytes")
    content_sha256: str = column("SHA-256 of 16 samples of the content; of the whole file up to 1 MiB")


class ListedFile(NamedTuple):
    """A file of the listing.

    Attributes:
        source: Path relative to the root.
        uri: Absolute path or URL.
        size_bytes: Size in bytes.
        stamp: A value that changes when the file changes.
    """

    source: str
    uri: str
    size_bytes: int
    stamp: str


class ListVideos(Source[Video]):
    """Lists the video files below `root`, in order of `source`.

    An id is derived from the size and the SHA-256 of 16 samples of 64 KiB at even distances (the whole file
    up to 1 MiB), so a file keeps its id when it is moved. Identical files differ by their ordinal in the
    order of `source`. Files and folders whose names begin with a dot are skipped. Links are followed, also to
    targets outside `root`. A broken link and an empty file are listed, and the next stage rejects them. A
    `root` that is a file is listed alone. Stores below `root` are skipped.

    Attributes:
        root: Folder, file or URL of the footage.
        limit: Maximum number of videos; 0 lists all.
        suffixes: File name suffixes of videos, in lower case.
    """

    execution_settings = frozenset({"root"})
    version = 2

    root: str
    limit: int = 0
    suffixes: tuple[str, ...] = SUFFIXES

    def digest(self) -> str:
        """Return the digest of the listing: names, sizes and modification times.

        Raises:
            ClipmillError: `root` does not exist or contains no video.
        """
        return digest_of([(f.source, f.size_bytes, f.stamp) for f in self._files()])

    def rows(self) -> Iterator[Video]:
        copies: Counter[str] = Counter()
        for file in self._files():
            samples = _content_digest(file)
            content = id_of("video", file.size_bytes, samples)
            ordinal = copies[content]
            copies[content] += 1
            yield Video(
                id=id_of("video", content, ordinal) if ordinal else content,
                uri=file.uri,
                source=file.source,
                size_bytes=file.size_bytes,
                content_sha256=samples,
            )

    def _files(self) -> list[ListedFile]:
        path = local_path(self.root)
        found = (
            _below_folder(os.path.abspath(os.path.expanduser(path)))
            if path is not None
            else self._below_url()
        )
        chosen = sorted(f for f in found if PurePosixPath(f.source).suffix.lower() in self.suffixes)
        if not chosen:
            raise ClipmillError(
                f"no videos found among {len(found)} files",
                where=escape_non_utf8(self.root),
                remedy=f"choose a folder with files ending in {', '.join(self.suffixes)}",
            )
        return chosen[: self.limit or None]

    def _below_url(self) -> list[ListedFile]:
        import fsspec

        try:
            filesystem, root = fsspec.core.url_to_fs(self.root)
        except (
            ValueError,
            ImportError,
        ) as error:  # an unknown protocol, or its package is not installed
            raise ClipmillError(
                f"cannot open this type of URL: {error}",
                where=self.root,
                remedy="install the package that it names",
            ) from error
        listed: dict[str, Any] = filesystem.find(root, detail=True)
        store_files = (name for name in listed if PurePosixPath(name).name == STORE_FILE)
        stores = tuple(name.removesuffix(STORE_FILE) for name in store_files)
        found = []
        for name, info in listed.items():
            source = name[len(root) :].strip("/") or PurePosixPath(name).name
            if not any(part.startswith(".") for part in source.split("/")) and not name.startswith(stores):
                stamp = str(info.get("ETag") or info.get("LastModified") or info.get("mtime") or "")
                found.append(
                    ListedFile(source, filesystem.unstrip_protocol(name), int(info["size"] or 0), stamp)
                )
        if not found:
            raise _missing_root(self.root)
        return found


def _content_digest(file: ListedFile) -> str:
    """Return the SHA-256 of the sampled content, or of empty content if the file cannot be read."""
    try:
        with open_for_sampling(file.uri) as opened:
            return sample_digest(opened, file.size_bytes)
    except (FileNotFoundError, PermissionError):
        return hashlib.sha256().hexdigest()


def _below_folder(root: str) -> list[ListedFile]:
    if os.path.isfile(root):
        return [_listed_file(root, os.path.basename(root))]
    if not os.path.isdir(root):
        raise _missing_root(root)
    found, seen = [], {os.path.realpath(root)}
    for current, folders, names in os.walk(root, followlinks=True):
        if STORE_FILE in names:  # the files of a store are not footage
            folders[:] = []
            continue
        subfolders = []
        for folder in sorted(f for f in folders if not f.startswith(".")):
            real = os.path.realpath(os.path.join(current, folder))
            if real not in seen:  # a link can point to a parent folder
                seen.add(real)
                subfolders.append(folder)
        folders[:] = subfolders
        for name in names:
            if not name.startswith("."):
                path = os.path.join(current, name)
                found.append(_listed_file(path, os.path.relpath(path, root).replace(os.sep, "/")))
    return found


def _listed_file(path: str, source: str) -> ListedFile:
    try:
        status = os.stat(path)
    except OSError:
        return ListedFile(escape_non_utf8(source), path_to_uri(path), 0, "")
    return ListedFile(escape_non_utf8(source), path_to_uri(path), status.st_size, str(status.st_mtime_ns))


def _missing_root(root: str) -> ClipmillError:
    return ClipmillError(
        "the footage does not exist",
        where=escape_non_utf8(root),
        remedy="give an existing folder, file or URL",
    )
