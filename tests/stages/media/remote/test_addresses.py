"""Tests of the addresses that URLs may reach: notations, names, redirects, proxies and lists."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from file_server import FileServer, serve

from manifests import ClipmillError
from stages.ingest.list_videos import ListVideos, Video
from stages.ingest.probe_video import ProbeVideo
from stages.media.errors import UnreadableFile
from stages.media.files import file_status, open_uri
from stages.media.remote import addresses, errors, http
from stages.media.remote.addresses import PRIVATE, RefusedAddress, check_literal, mark_private
from stages.media.remote.objects import open_file_system

LOOPBACK = (
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0",
    "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
)  # fmt: skip
PRIVATE_HOSTS = (
    "10.0.0.5", "172.16.0.1", "192.168.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1",
    "::", "fd00::1", "fec0::1", "::ffff:10.0.0.5", "::10.0.0.5", "64:ff9b::a00:5", "2002:a00:5::", "ff02::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffa",
)  # fmt: skip
METADATA_HOSTS = (
    "169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "::ffff:169.254.169.254", "fe80::1",
    "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
)  # fmt: skip
PUBLIC_HOSTS = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "a.name.example")


@pytest.fixture(autouse=True)
def _new_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(errors, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(http, "_clients", {})
    addresses._resolve_once.cache_clear()
    yield
    for client in http._clients.values():
        client.close()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve({"/a.mp4": b"a film", "/films/b.mp4": b"b"}) as running:
        yield running


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The addresses of names; each answer uses one, and the last one stays."""
    found: dict[str, list[str]] = {}
    resolve = socket.getaddrinfo

    def answer(host: Any, *args: Any, **options: Any) -> Any:
        if host in found and not options.get("flags"):
            host = found[host].pop(0) if len(found[host]) > 1 else found[host][0]
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return found


def _rows(root: str, **options: Any) -> list[Video]:
    return list(ListVideos(root=root, **options).rows())


def _list(folder: Path, *lines: str) -> str:
    (folder / "list.txt").write_text("\n".join(lines))
    return str(folder / "list.txt")


def _port(server: FileServer) -> int:
    return urlsplit(server.url).port or 0


def test_every_form_of_an_address_is_known() -> None:
    for host in PUBLIC_HOSTS:
        check_literal(host, is_private_allowed=False)
    for host in PRIVATE_HOSTS:
        with pytest.raises(RefusedAddress, match="allow_private_urls=true"):
            check_literal(host, is_private_allowed=False)
        check_literal(host, is_private_allowed=True)
    for host in METADATA_HOSTS:
        for is_private_allowed in (False, True):
            with pytest.raises(RefusedAddress, match="metadata service"):
                check_literal(host, is_private_allowed=is_private_allowed)


def test_a_list_reaches_no_private_address(server: FileServer, tmp_path: Path) -> None:
    lines = [f"http://{host}:{_port(server)}/a.mp4" for host in LOOPBACK]
    rows = _rows(_list(tmp_path, *lines, f"http://me:pw@127.0.0.1:{_port(server)}/a.mp4?token=x"))
    assert len(rows) == len(lines) + 1
    assert all(re.search("a private address|InvalidURL", row.list_error) for row in rows)
    assert server.requests == []
    answers = ProbeVideo().annotate(rows)  # type: ignore[arg-type]
    assert all(re.search("a private address|InvalidURL", str(answer)) for answer in answers)


def test_a_list_may_reach_private_addresses_if_the_user_says_so(server: FileServer, tmp_path: Path) -> None:
    refused = ListVideos(
        root=_list(tmp_path, f"{server.url}/a.mp4", "http://169.254.169.254/latest/meta-data")
    )
    allowed = ListVideos(root=refused.root, allow_private_urls=True)
    assert refused.digest() != allowed.digest()
    good, never = allowed.rows()
    assert (good.list_error, good.uri) == ("", f"{server.url}/a.mp4{PRIVATE}")
    assert "metadata service" in never.list_error
    with open_uri(good.uri) as file:
        assert file.read() == b"a film"


def test_urls_of_the_command_are_the_choice_of_the_user(server: FileServer) -> None:
    server.files["/lists/l.txt"] = f"../a.mp4\n{server.url}/films/b.mp4\nhttp://localhost:1/c.mp4".encode()
    assert [row.list_error for row in _rows(f"{server.url}/films/")] == [""]
    one, two, other = _rows(f"{server.url}/lists/l.txt")
    assert (one.list_error, two.list_error) == ("", ""), "they are on the server of the list"
    assert "localhost is a private address" in other.list_error


def test_a_name_that_resolves_to_a_private_address_is_refused(
    server: FileServer, tmp_path: Path, names: dict[str, list[str]]
) -> None:
    names["films.example"] = ["127.0.0.1"]
    (row,) = _rows(_list(tmp_path, f"http://films.example:{_port(server)}/a.mp4"))
    assert "films.example is a private address" in row.list_error
    assert server.requests == []


def test_the_connection_goes_to_the_address_that_was_checked(
    server: FileServer, names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[str] = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError("not in a test")

    monkeypatch.setattr(socket, "create_connection", connect)
    names["films.example"] = ["93.184.216.34", "127.0.0.1"]  # the answers of a name server of an attacker
    url = mark_private(f"http://films.example:{_port(server)}/a.mp4")
    assert not url.endswith(PRIVATE)
    with pytest.raises(RefusedAddress):
        file_status(url)
    names["films.example"] = ["93.184.216.34"] * 9
    with pytest.raises(OSError, match="after 5 attempts"):
        file_status(url)
    assert set(connected) == {"93.184.216.34"}


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/", "http://[fd00:ec2::254]/", "file:///etc/hosts"]
)
def test_a_redirect_reaches_no_metadata_and_no_file(server: FileServer, location: str) -> None:
    server.redirects["/a.mp4"] = location
    with pytest.raises((RefusedAddress, OSError), match=r"metadata service|UnsupportedProtocol"):
        file_status(f"{server.url}/a.mp4{PRIVATE}")


def test_a_redirect_of_a_public_server_reaches_no_private_address(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The only server of the test stands for a public one.
    monkeypatch.setattr(addresses, "_is_public", lambda address: address == "127.0.0.1")
    for host in ("127.0.0.2", "[::1]", "localhost.localdomain", "10.1.2.3"):
        server.redirects["/a.mp4"] = f"http://{host}:{_port(server)}/films/b.mp4{PRIVATE}"
        with pytest.raises((RefusedAddress, OSError), match=r"private address|ConnectError"):
            file_status(f"{server.url}/a.mp4")
    assert {path for path, _ in server.requests} == {"/a.mp4"}


def test_a_proxy_of_the_environment_gets_no_request_for_a_private_address(
    server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    for host in ("10.0.0.5", "0x7f000001", "[::1]"):
        with pytest.raises(RefusedAddress):
            file_status(f"http://{host}/a.mp4")
    assert server.requests == []
    server.files = {"http://films.example/a.mp4": b"by the proxy"}
    assert file_status("http://films.example/a.mp4").size_bytes == 12


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("ftp://127.0.0.1/a.mp4", "ftp:// is not allowed in a list"),
        ("sftp://host/a.mp4", "is not allowed"),
        ("local:///etc/hosts", "is not allowed"),
        ("memory://shelf/a.mp4", "is not allowed"),
        ("github://org:repo@main/a.mp4", "credentials|not allowed"),
        ("simplecache::http://127.0.0.1/a.mp4", "is not allowed"),
        ("gopher://127.0.0.1:6379/_x", "is not allowed"),
        ("concat:a|b://x", "not allowed|does not exist"),
        ("http://127.0.0.1/a.mp4#private", "cannot end with #private"),
        ("http://h/a.mp4#list=/etc/passwd&line=1", "cannot end with"),
        ("/data/a.tar#member=x&offset=0&size=10", "cannot be a member"),
    ],
)
def test_other_schemes_and_references_are_refused_in_a_list(entry: str, reason: str, tmp_path: Path) -> None:
    (row,) = _rows(_list(tmp_path, entry))
    assert re.search(reason, row.list_error)


@pytest.mark.parametrize(
    "scheme", ["local", "dir", "reference", "zip", "data", "memory", "asynclocal", "file+x"]
)
def test_allowed_private_urls_open_no_local_file_and_wrap_no_url(scheme: str, tmp_path: Path) -> None:
    (row,) = _rows(_list(tmp_path, f"{scheme}:///etc/hosts"), allow_private_urls=True)
    assert f"{scheme}:// is not allowed in a list" in row.list_error


def test_a_file_system_that_needs_more_than_a_url_says_so() -> None:
    with pytest.raises(ClipmillError, match="cannot open this URL"):
        open_file_system("reference://a.mp4")


def test_a_list_at_a_url_reads_no_file_of_this_machine(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(f"{server.url}/a.mp4?token=x")
    entries = (
        f"a.mp4#list={tmp_path}/mine.txt&line=1",
        "a.mp4#private",
        "local:///etc/hosts",
        "file:///etc/hosts",
    )
    server.files["/lists/l.txt"] = "\n".join(entries).encode()
    rows = _rows(f"{server.url}/lists/l.txt", allow_private_urls=True)
    assert [row.list_error[:30] for row in rows] == [
        "an entry cannot end with #priv",
        "an entry cannot end with #priv",
        "a list at a URL cannot name fi",
        "a list at a URL cannot name fi",
    ]
    assert not any("token" in path for path, _ in server.requests)


def test_messages_name_a_list_without_the_mark(server: FileServer) -> None:
    url = f"{server.url}/lists/l.txt"
    server.files["/lists/l.txt"] = b"../a.mp4?token=x"
    (row,) = _rows(url)
    server.files["/lists/l.txt"] = b"../b.mp4?token=x"
    with pytest.raises(UnreadableFile, match=f"in line 1 of {url}: run"):
        open_uri(row.uri)
    server.files["/lists/l.txt"] = b"# nothing"
    with pytest.raises(ClipmillError) as caught:
        _rows(url)
    assert caught.value.where == url


def test_a_local_file_may_be_named_like_a_mark(tmp_path: Path) -> None:
    (tmp_path / "take#private").write_bytes(b"a film")
    (row,) = _rows(_list(tmp_path, "take#private"), extensions=("*",))
    assert (row.list_error, row.size_bytes) == ("", 6)


def test_a_list_of_tars_reads_no_private_tar(
    server: FileServer, tmp_path: Path, film: Callable[..., Path]
) -> None:
    from stages.ingest.roots import find_list_columns

    server.files["/a.tar"] = bytes(10240)
    root = _list(tmp_path, f"{server.url}/a.tar")
    find_list_columns(root, ())
    assert _rows(root)[0].list_error
    assert server.requests == []
    find_list_columns(root, (), allow_private_urls=True)
    assert server.requests
