"""Lists the videos of a folder, a URL or a list file, with ids derived from their content."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from manifests import ClipmillError, NonNegativeInt, Row, column
from manifests.identity import digest_of, id_of
from manifests.messages import join_names
from pipeline import Source
from stages.ingest.list_columns import ListColumn, extend_row, left_out, parse_columns, values_of
from stages.ingest.listing import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, ListedFile, Listing, is_image_name
from stages.ingest.remote_listing import parallel
from stages.ingest.roots import list_roots
from stages.media.errors import UnreadableFile
from stages.media.fingerprint import fingerprint
from stages.media.uri import escape_non_utf8

_EMPTY = hashlib.sha256().hexdigest()


class Video(Row):
    id: str = column("digest of the size, samples of the content, and the ordinal among identical files")
    uri: str = column(
        "absolute path or URL of the file; for a URL with a secret, its public part and the list"
    )
    source: str = column(
        "path relative to the root, with / as separator; bytes that are not UTF-8 as \\xff; "
        "in a list, the entry without its secrets"
    )
    size_bytes: int = column("size of the file", unit="bytes")
    content_sha256: str = column("SHA-256 of 16 samples of the content; of the whole file up to 1 MiB")
    list_error: str = column("why the file cannot be read; empty if it can. ProbeVideo rejects the row")


class ListVideos(Source[Video]):
    """Lists the videos of `root`: a folder, a file, a URL or a list, or several of them after commas.

    A list is a text file with a path or URL per line, or a CSV, JSON lines or Parquet file with a column
    `uri`. The videos in tars, such as WebDataset shards, are listed where they are, unless `extensions` names
    tar; the .json and .txt member beside a video give further columns. The entries of a list are listed in
    its order, all other videos in order of `source`. A file that `root` or a list names is listed whatever
    its ending; folders are searched for the endings `extensions`. `clipmill plan` and `run` show the number
    of files that are left out.

    An id is derived from the size and the SHA-256 of 16 samples of 64 KiB at even distances (the whole file
    up to 1 MiB), so a file keeps its id when it is moved. Identical files differ by their ordinal. Files and
    folders whose names begin with a dot, and stores, are left out. Links are followed, also to targets
    outside `root`. What cannot be read is listed with its reason in `list_error`, and rejected by ProbeVideo:
    for example a broken link, a FIFO, a folder without permission, a missing or repeated entry of a list.

    Attributes:
        root: Folder, file or URL of the footage, or a list of paths and URLs; several are separated by
            commas.
        limit: Maximum number of videos; 0 lists all. A higher value lists more.
        extensions: Endings of the names of videos in folders, with or without the dot, in any case. More
            endings list more files. Empty: `VIDEO_EXTENSIONS`; "*": every file.
        list_columns: Further columns of the list that become columns of the videos, as name:type, where type
            is str, int, float or bool. `find_list_columns` finds them. More add more columns.
        media: videos: leave out files with the ending of an image. images: list only these, also in folders.
            Empty: list what `extensions` and lists name.
        allow_private_urls: Whether URLs of a list may reach private addresses, such as 10.0.0.5 or localhost,
            and have other schemes than http, https, s3 and gs. URLs of `root` may.
    """

    execution_settings = frozenset({"root", "allow_private_urls"})
    version = 3

    root: str
    limit: NonNegativeInt = 0
    extensions: tuple[str, ...] = ()
    list_columns: tuple[str, ...] = ()
    media: str = ""
    allow_private_urls: bool = False

    def __post_init__(self) -> None:
        if not self.root.strip():
            raise ClipmillError(
                "the footage is empty", remedy="give a folder, a file, a URL or a list as footage"
            )
        if self.media not in ("", "videos", "images"):
            raise ClipmillError(f"media is {self.media!r}", remedy="set media to videos or images, or not")
        if self.limit < 0:
            raise ClipmillError(f"limit is {self.limit}", remedy="set limit to 0 or more")

    def digest(self) -> str:
        """Return the digest of the listing: names, sizes and modification times or ETags.

        Raises:
            ClipmillError: `root` does not exist or contains no video, or a value of a list does not have the
                type of its column.
        """
        vars(self)["_listed"] = listing = self.listing()
        digest = digest_of([(f.source, f.size_bytes, f.state, f.problem) for f in listing.files])
        return digest_of(digest, self.column_digests()) if self.list_columns else digest

    def column_digests(self) -> dict[str, str]:
        """See `Source.column_digests`: of the columns of the list."""
        listing: Listing = vars(self).get("_listed") or self.listing()
        rows = [(file.source, values_of(file.values, self._list_columns)) for file in listing.files]
        names = self.adds.names()[len(Video.names()) :]
        return {name: digest_of([(source, values[name]) for source, values in rows]) for name in names}

    def added_columns(self) -> type[Row]:
        return extend_row(Video, self._list_columns)

    def notes(self) -> tuple[str, ...]:
        """See `Source.notes`: the files that are left out of the last digest."""
        listing: Listing = vars(self).get("_listed") or self.listing()
        unknown = left_out((file.values for file in listing.files), self._list_columns)
        note = f"columns of the list are left out: {join_names(unknown)}; `list_columns` names the others"
        return (*listing.notes(), note) if unknown else listing.notes()

    def rows(self) -> Iterator[Video]:
        copies: Counter[str] = Counter()
        for file, (size_bytes, samples, problem) in read_contents(self.listing().files):
            content = id_of("unreadable", file.source) if problem else id_of("video", size_bytes, samples)
            ordinal = copies[content]
            copies[content] += 1
            yield self.adds(
                id=id_of("video", content, ordinal) if ordinal else content,
                uri=file.uri,
                source=file.source,
                size_bytes=size_bytes,
                content_sha256=samples,
                list_error=problem,
                **values_of(file.values, self._list_columns),
            )

    @cached_property
    def _list_columns(self) -> list[ListColumn]:
        return parse_columns(self.list_columns)

    def listing(self) -> Listing:
        """List the files, and count what is left out.

        Raises:
            ClipmillError: `root` does not exist or contains no video.
        """
        endings = () if "*" in self.extensions else self._endings(self.media)
        listing = Listing(endings, self.allow_private_urls)
        try:
            list_roots(self.root, listing)
        except OSError as error:
            raise ClipmillError(
                "the footage cannot be listed",
                where=str(error),
                remedy="check the URL, the connection, and the credentials in the environment",
            ) from error
        is_empty = not listing.files and not self._left_to_another_source(listing)
        self._select_media(listing)
        if is_empty:
            raise ClipmillError(
                f"no videos found among {listing.endings.total()} files",
                where=escape_non_utf8(self.root),
                remedy=f"videos end in {', '.join(listing.extensions)}; the knob `extensions` changes this",
            )
        if self.limit:
            listing.beyond_limit = max(0, len(listing.files) - self.limit)
            listing.files = listing.files[: self.limit]
        return listing

    def _left_to_another_source(self, listing: Listing) -> int:
        """The number of files with the ending of an image if this source lists videos, and the reverse."""
        others = {"videos": "images", "images": "videos"}.get(self.media)
        return sum(listing.endings[ending] for ending in self._endings(others)) if others else 0

    def _select_media(self, listing: Listing) -> None:
        """Leave out the files that another source lists."""
        if self.media:
            wanted = self.media == "images"
            listing.files = [f for f in listing.files if is_image_name(f.source) == wanted]
            for ending in self._endings("videos" if wanted else "images"):
                del listing.endings[ending]

    def _endings(self, media: str) -> tuple[str, ...]:
        if media == "images":
            return IMAGE_EXTENSIONS
        return tuple(f".{e.strip().lower().removeprefix('.')}" for e in self.extensions) or VIDEO_EXTENSIONS


def read_contents(files: list[ListedFile]) -> Iterator[tuple[ListedFile, tuple[int, str, str]]]:
    """Yield each file with its size, the digest of its content, and the reason why it cannot be read."""
    remaining = iter(files)
    while some := list(islice(remaining, 64)):
        yield from zip(some, parallel(_content, some), strict=True)


def _content(file: ListedFile) -> tuple[int, str, str]:
    if file.problem:
        return 0, _EMPTY, file.problem
    try:
        return *fingerprint(file.uri), ""
    except UnreadableFile as error:
        return 0, _EMPTY, str(error)
    except OSError as error:
        return 0, _EMPTY, f"the file cannot be read: {error.strerror or error}"
