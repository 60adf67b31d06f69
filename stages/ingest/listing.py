"""The files of a footage folder, URL or list, and counts of what is left out."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

from stages.media.errors import UnreadableFile
from stages.media.files import file_status
from stages.media.remote.addresses import PRIVATE, may_be_private
from stages.media.uri import escape_non_utf8, path_to_uri

STORE_FILE = "store.json"  # at the top of a store; stores inside the footage are not listed
_SHOWN_ENDINGS = 4
IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEO_EXTENSIONS = (
    ".264", ".265", ".3g2", ".3gp", ".amv", ".asf", ".av1", ".avi", ".divx", ".dv", ".f4v",
    ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v",
    ".mj2", ".mk3d", ".mkv", ".mod", ".mov", ".mp2v", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv",
    ".mqv", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".ogx", ".qt", ".rm", ".rmvb", ".tod",
    ".tp", ".trp", ".ts", ".vob", ".vro", ".webm", ".wm", ".wmv", ".wtv", ".xvid", ".y4m",
)  # fmt: skip


class ListedFile(NamedTuple):
    """A file of the listing.

    Attributes:
        source: Path relative to the root; in a list, the entry without its secrets.
        uri: Absolute path or URL.
        size_bytes: Size in bytes; None if the server does not say it.
        stamp: A value that changes when the file changes.
        problem: Why the file cannot be read, or "".
        values: What a list says about it in further columns, by name; see `Entry`.
    """

    source: str
    uri: str
    size_bytes: int | None = 0
    stamp: str = ""
    problem: str = ""
    values: Mapping[str, Any] = MappingProxyType({})

    @property
    def state(self) -> str:
        """The stamp, and whether the URL may reach private addresses, which workers read in `uri`."""
        return self.stamp + PRIVATE if may_be_private(self.uri) else self.stamp


def is_image_name(name: str) -> bool:
    """Whether a file has the ending of an image."""
    return _ending(name) in IMAGE_EXTENSIONS


@dataclass
class Listing:
    """Files with the endings of videos, and counts of the other files.

    Attributes:
        extensions: Endings of videos, in lower case with their dot; empty for every file.
        allow_private_urls: Whether URLs of a list may reach private addresses.
        files: The listed files.
        endings: Number of files that are left out, by ending.
        hidden: Number of files and folders that are left out because their names begin with a dot.
        stores: Paths of the stores that are left out.
        beyond_limit: Number of videos that are left out by a limit.
        repeated: Number of files that are left out because another root has them too.
    """

    extensions: Sequence[str]
    allow_private_urls: bool = False
    files: list[ListedFile] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    stores: list[str] = field(default_factory=list)
    beyond_limit: int = 0
    repeated: int = 0

    def includes(self, name: str) -> bool:
        """Return whether a file has the ending of a video. Otherwise, count it as left out."""
        if self.is_video(name):
            return True
        self.endings[_ending(name)] += 1
        return False

    def is_video(self, name: str) -> bool:
        """Return whether a file has the ending of a video, or of a tar whose videos are read."""
        ending = _ending(name)
        return not self.extensions or ending in self.extensions or (self.reads_tars and ending == ".tar")

    @property
    def reads_tars(self) -> bool:
        """Whether tars are read as folders of videos: unless `extensions` asks for the tars themselves."""
        return bool(self.extensions) and ".tar" not in self.extensions

    def extend(self, other: "Listing") -> None:
        """Add the files and counts of another listing."""
        self.files += other.files
        self.endings += other.endings
        self.hidden += other.hidden
        self.stores += other.stores

    def sort(self) -> None:
        """Sort the files by their source."""
        self.files.sort(key=lambda file: (file.source, file.uri))

    def notes(self) -> tuple[str, ...]:
        """Return one sentence for each kind of files that are left out."""
        found = []
        if self.endings:
            common = [
                f"{ending or 'none'} {count:,}" for ending, count in self.endings.most_common(_SHOWN_ENDINGS)
            ]
            more = f" and {len(self.endings) - len(common)} more" if len(self.endings) > len(common) else ""
            what = f"{_count(self.endings.total(), 'file')} left out because of the ending"
            found.append(f"{what} ({', '.join(common)}{more}); `extensions` lists the endings of videos")
        if self.hidden:
            found.append(
                f"{_count(self.hidden, 'hidden file or folder', 'hidden files and folders')} left out"
            )
        found += [f"the store {store} is left out" for store in self.stores]
        if self.repeated:
            found.append(f"{_count(self.repeated, 'file')} left out because the footage names it twice")
        if self.beyond_limit:
            found.append(f"{_count(self.beyond_limit, 'video')} left out by the limit")
        return tuple(found)


def list_folder(root: str, listing: Listing) -> None:
    """Add the files below a local folder. Links are followed once, also to targets outside it."""
    seen = {os.path.realpath(root)}

    def unreadable(error: OSError) -> None:
        folder = os.fsdecode(error.filename or root)
        source = _relative(folder, root) + "/"
        reason = f"the folder cannot be read: {error.strerror}"
        listing.files.append(ListedFile(source, path_to_uri(folder), problem=reason))

    for current, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        if STORE_FILE in names:  # the files of a store are not footage
            listing.stores.append(escape_non_utf8(current))
            folders[:] = []
            continue
        subfolders = []
        for folder in sorted(f for f in folders if not _is_hidden(f, listing)):
            real = os.path.realpath(os.path.join(current, folder))
            if real not in seen:  # a link can point to a parent folder
                seen.add(real)
                subfolders.append(folder)
        folders[:] = subfolders
        for name in names:
            if not _is_hidden(name, listing) and listing.includes(name):
                path = os.path.join(current, name)
                listing.files.append(listed_file(path_to_uri(path), _relative(path, root)))


def listed_file(uri: str, source: str) -> ListedFile:
    """Return a file with its size and stamp, or with the reason why it cannot be read."""
    try:
        size_bytes, stamp = file_status(uri)
    except FileNotFoundError as error:
        return ListedFile(source, uri, problem=_reason(error) or "the file does not exist")
    except UnreadableFile as error:
        return ListedFile(source, uri, problem=str(error))
    except OSError as error:
        return ListedFile(source, uri, problem=_reason(error) or f"the file cannot be read: {error.strerror}")
    return ListedFile(source, uri, size_bytes, stamp)


def _reason(error: OSError) -> str:
    """Return the text of an error that was raised with a text of its own, else ""."""
    return str(error) if error.errno is None else ""


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_hidden(name: str, listing: Listing) -> bool:
    listing.hidden += name.startswith(".")
    return name.startswith(".")


def _relative(path: str, root: str) -> str:
    return escape_non_utf8(os.path.relpath(path, root).replace(os.sep, "/"))


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
