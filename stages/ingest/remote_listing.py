"""Lists the files below a URL: a prefix of an object store, or the index pages of an HTTP server."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from itertools import count
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import unquote, urldefrag, urljoin

from manifests import ClipmillError
from stages.ingest.listing import STORE_FILE, ListedFile, Listing, listed_file
from stages.media.remote.addresses import PRIVATE, may_be_private, without_mark
from stages.media.remote.http import public_url, read_head, read_small
from stages.media.remote.objects import call, open_file_system, stamp_of

Value = TypeVar("Value")
Found = TypeVar("Found")
_THREADS = 16  # concurrent requests
_MAX_PAGES = 10_000
_MAX_PAGE_BYTES = 64 << 20


def parallel(function: Callable[[Value], Found], values: Iterable[Value]) -> list[Found]:
    """Call a function that waits for a server for many values at a time, and return the results in order."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, values))


def list_objects(url: str, listing: Listing) -> None:
    """Add the objects below a URL, or the object at the URL itself, whatever its ending.

    Raises:
        FileNotFoundError: There is no such object, prefix or bucket.
    """
    files, root = open_file_system(url)
    found = call(url, files.find, root, detail=True)
    stores = tuple(n.removesuffix(STORE_FILE) for n in found if PurePosixPath(n).name == STORE_FILE)
    listing.stores += [files.unstrip_protocol(name).rstrip("/") for name in stores]
    hidden = set()
    for name, info in found.items():
        is_root = name.strip("/") == root.strip("/")
        source = PurePosixPath(name).name if is_root else name[len(root) :].lstrip("/")
        parts = source.split("/")
        if info.get("type") == "directory" or name.endswith("/") or name.startswith(stores):
            continue
        first = 0 if is_root else next((k for k, part in enumerate(parts, 1) if part.startswith(".")), 0)
        if first:
            hidden.add("/".join(parts[:first]))
        elif is_root or listing.includes(name):
            uri = files.unstrip_protocol(name)
            listing.files.append(ListedFile(source, uri, int(info.get("size") or 0), stamp_of(info)))
    listing.hidden += len(hidden)
    if not found:
        raise FileNotFoundError(f"{url} does not exist")


def list_http(url: str, listing: Listing) -> None:
    """Add the files that the index page at a URL links to, and those of its folders, or the file at the URL.

    Links to other servers, to parent folders and with queries are ignored.

    Raises:
        FileNotFoundError: The server has no such file.
        ClipmillError: There are too many index pages.
    """
    head, mark = read_head(url), PRIVATE if may_be_private(url) else ""
    name = without_mark(url)
    is_file = not name.endswith("/") and bool(listing.extensions) and listing.is_video(name)
    if head.content_type != "text/html" or is_file:
        source = unquote(PurePosixPath(public_url(url)).name) or public_url(url)
        listing.files.append(ListedFile(source, public_url(url) + mark, head.size_bytes, head.stamp))
        return
    base = urljoin(head.url, "./")
    pages, files, seen = [base], [], {base}
    for visited in count(1):
        if not pages:
            break
        if visited > _MAX_PAGES:
            raise ClipmillError(
                f"the server has more than {_MAX_PAGES:,} index pages",
                where=public_url(url),
                remedy="write a list of the URLs",
            )
        page = pages.pop()
        links = [link for link in _links(page, mark) if link.startswith(base) and link not in seen]
        if page + STORE_FILE in links:
            listing.stores.append(page)
            continue
        seen.update(links)
        for link in dict.fromkeys(links):
            name = unquote(link.rstrip("/").rpartition("/")[2])
            if name.startswith("."):
                listing.hidden += 1
            elif link.endswith("/"):
                pages.append(link)
            elif listing.includes(name):
                files.append(link)
    listing.files += parallel(lambda link: listed_file(link + mark, unquote(link[len(base) :])), files)


def _links(page: str, mark: str) -> list[str]:
    parser = _Links()
    parser.feed(read_small(page + mark, _MAX_PAGE_BYTES).decode("utf-8", "replace"))
    links = [urldefrag(urljoin(page, link)).url for link in parser.links]
    return [link for link in links if "?" not in link]


class _Links(HTMLParser):
    """Collects the targets of the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
