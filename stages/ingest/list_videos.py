"""Lists the videos under a folder or URL, with ids made of their content."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from manifests import ClipmillError, Row, column
from manifests.identity import digest_of, id_of
from pipeline import Source
from stages.media.fingerprint import open_for_samples, sampled
from stages.media.uri import local_path, printable, uri_of

STORE_MARK = "store.json"  # stands at the top of a store; stores inside the footage are not listed
SUFFIXES = (
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip


class Video(Row):
    id: str = column("made of the size, of samples of the content, and of an ordinal among equal files")
    uri: str = column("where to open it: an absolute path, or a URL")
    source: str = column("path below the root, with / between folders; bytes that are not UTF-8 as \\xff")
    size_bytes: int = column("size of the file", unit="bytes")
    content_sha256: str = column("SHA-256 of 16 samples of the content; of all of it, up to 1 MiB")


class Found(NamedTuple):
    """A file of the listing; `stamp` changes when the file does."""

    source: str
    uri: str
    size_bytes: int
    stamp: str


class ListVideos(Source[Video]):
    """The files below `root` with a video's suffix, in order of `source`.

    An id is made of the size and of SHA-256 over 16 samples of 64 KiB at even distances (the whole
    file up to 1 MiB), so a file keeps its id when it is moved. Equal files are told apart by their
    ordinal in the order of `source`. Files and folders whose names begin with a dot are left out.
    Links are followed, also out of `root`; a link to nothing, and an empty file, is listed, for
    the next stage to reject. A `root` that is a file is listed alone. A store inside is left out.
    """

    place = frozenset({"root"})
    version = 2

    root: str
    limit: int = 0  # 0 lists all
    suffixes: tuple[str, ...] = SUFFIXES

    def digest(self) -> str:
        """The digest of the listing: names, sizes, times of change.

        Raises:
            ClipmillError: nothing is at `root`, or no video is.
        """
        return digest_of([(f.source, f.size_bytes, f.stamp) for f in self._files()])

    def rows(self) -> Iterator[Video]:
        equals: Counter[str] = Counter()
        for file in self._files():
            samples = self._samples(file)
            content = id_of("video", file.size_bytes, samples)
            ordinal = equals[content]
            equals[content] += 1
            made = id_of("video", content, ordinal) if ordinal else content
            yield Video(
                id=made,
                uri=file.uri,
                source=file.source,
                size_bytes=file.size_bytes,
                content_sha256=samples,
            )

    def _files(self) -> list[Found]:
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
                where=printable(self.root),
                remedy=f"give a folder that holds files ending in {', '.join(self.suffixes)}",
            )
        return chosen[: self.limit or None]

    def _below_url(self) -> list[Found]:
        import fsspec

        try:
            files, root = fsspec.core.url_to_fs(self.root)
        except (
            ValueError,
            ImportError,
        ) as error:  # an unknown protocol, or one whose package is not installed
            raise ClipmillError(
                f"this kind of URL cannot be opened: {error}", where=self.root, remedy="install what it names"
            ) from error
        listed: dict[str, Any] = files.find(root, detail=True)
        marks = (name for name in listed if PurePosixPath(name).name == STORE_MARK)
        stores = tuple(name.removesuffix(STORE_MARK) for name in marks)
        found = []
        for name, about in listed.items():
            inside = name[len(root) :].strip("/") or PurePosixPath(name).name
            if not any(part.startswith(".") for part in inside.split("/")) and not name.startswith(stores):
                stamp = str(about.get("ETag") or about.get("LastModified") or about.get("mtime") or "")
                found.append(Found(inside, files.unstrip_protocol(name), int(about["size"] or 0), stamp))
        if not found:
            raise _nothing_at(self.root)
        return found

    def _samples(self, file: Found) -> str:
        """SHA-256 of the sampled content; of nothing, where the file cannot be read."""
        try:
            with open_for_samples(file.uri) as opened:
                return sampled(opened, file.size_bytes)
        except (FileNotFoundError, PermissionError):
            return hashlib.sha256().hexdigest()


def _below_folder(root: str) -> list[Found]:
    if os.path.isfile(root):
        return [_found(root, os.path.basename(root))]
    if not os.path.isdir(root):
        raise _nothing_at(root)
    found, seen = [], {os.path.realpath(root)}
    for here, folders, names in os.walk(root, followlinks=True):
        if STORE_MARK in names:  # its clips and samples are no footage
            folders[:] = []
            continue
        kept = []
        for folder in sorted(f for f in folders if not f.startswith(".")):
            real = os.path.realpath(os.path.join(here, folder))
            if real not in seen:  # a link may lead back up
                seen.add(real)
                kept.append(folder)
        folders[:] = kept
        for name in names:
            if not name.startswith("."):
                path = os.path.join(here, name)
                found.append(_found(path, os.path.relpath(path, root).replace(os.sep, "/")))
    return found


def _found(path: str, inside: str) -> Found:
    try:
        about = os.stat(path)
    except OSError:
        return Found(printable(inside), uri_of(path), 0, "")
    return Found(printable(inside), uri_of(path), about.st_size, str(about.st_mtime_ns))


def _nothing_at(root: str) -> ClipmillError:
    return ClipmillError(
        "the footage is not there", where=printable(root), remedy="give a folder, a file or a URL that exists"
    )
