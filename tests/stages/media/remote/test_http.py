"""Tests of files on HTTP servers: ranges, resumed reads, downloads, retries, redirects, HTTPS and secrets."""

import logging
import os
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from file_server import FileServer, serve

from manifests.stores.process_folder import process_folder
from stages.media.errors import UnreadableFile
from stages.media.files import FileStatus, file_status, open_uri
from stages.media.fingerprint import fingerprint
from stages.media.remote import downloads, errors, http
from stages.media.remote.addresses import mark_private
from stages.media.remote.errors import RemoteReadError
from stages.media.remote.reader import BLOCK_BYTES

DATA = random.Random(0).randbytes(300_000)
NAMES = [
    "a b.mp4",
    "c#d.mp4",
    "e%20f.mp4",
    "g?h.mp4",
    "k::l.mp4",
    "-z.mp4",
    "日本語🎬.mp4",
    "%s%d.mp4",
    "a=b&c.mp4",
]


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_FIRST_WAIT_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve({"/a.mp4": DATA, "/empty.mp4": b""}) as running:
        yield running


def _read(url: str) -> bytes:
    with open_uri(mark_private(url)) as file:
        return bytes(file.read())


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize("has_stamp", [True, False])
def test_every_server_gives_the_same_file(
    server: FileServer, tmp_path: Path, has_ranges: bool, has_length: bool, has_stamp: bool
) -> None:
    server.has_ranges, server.has_length, server.has_stamp = has_ranges, has_length, has_stamp
    (tmp_path / "a.mp4").write_bytes(DATA)
    url = mark_private(f"{server.url}/a.mp4")
    with open_uri(url) as file:
        assert file.seek(-5, os.SEEK_END) == len(DATA) - 5
        assert file.read(100) == DATA[-5:]
        file.seek(70_000)
        assert file.read(10) == DATA[70_000:70_010]
        assert file.tell() == 70_010
    assert fingerprint(url) == fingerprint(str(tmp_path / "a.mp4"))
    assert _read(f"{server.url}/empty.mp4") == b""


def test_only_the_needed_parts_are_read(server: FileServer) -> None:
    server.files["/large.mp4"] = data = bytes(20 << 20)
    with open_uri(mark_private(f"{server.url}/large.mp4")) as file:
        file.seek(10 << 20)
        file.read(100)
        assert server.sent_bytes < 100_000
        while file.read(1 << 15):
            pass
    assert server.sent_bytes < len(data) // 2 + 200_000
    assert len(server.requests) < 16  # requests double while a file is read in order


def test_a_broken_read_continues_with_the_next_byte(server: FileServer) -> None:
    server.resets, server.reset_after = 7, 30_000
    assert _read(f"{server.url}/a.mp4") == DATA
    assert server.resets == 0
    starts = [int(span.removeprefix("bytes=").partition("-")[0]) for _, span in server.requests]
    assert sum(start % BLOCK_BYTES > 0 for start in starts) >= 4, "broken reads started again"


@pytest.mark.parametrize("has_length", [True, False])
def test_a_broken_download_starts_again(server: FileServer, has_length: bool) -> None:
    server.has_ranges, server.has_length, server.resets = False, has_length, 3
    assert _read(f"{server.url}/a.mp4") == DATA
    assert server.resets == 0


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_transient_answer_is_repeated(server: FileServer, status: int) -> None:
    server.statuses = [status] * 3
    assert _read(f"{server.url}/a.mp4") == DATA


def test_a_server_that_stays_busy_is_an_error_that_can_be_retried(server: FileServer) -> None:
    server.statuses = [503] * 20
    with pytest.raises(RemoteReadError, match="after 5 attempts: HTTP 503"):
        _read(f"{server.url}/a.mp4")


def test_a_refused_connection_is_an_error_that_can_be_retried() -> None:
    with serve({}) as stopped:
        pass
    with pytest.raises(RemoteReadError, match="after 5 attempts: ConnectError"):
        file_status(mark_private(f"{stopped.url}/a.mp4"))


def test_a_missing_file_is_missing(server: FileServer) -> None:
    for call in (file_status, open_uri, fingerprint):
        with pytest.raises(FileNotFoundError, match=r"/none\.mp4 does not exist"):
            call(mark_private(f"{server.url}/none.mp4"))
    with pytest.raises(FileNotFoundError, match="write # in a name as %23"):
        file_status(mark_private(f"{server.url}/c#d.mp4"))


def test_a_file_that_changes_while_it_is_read_is_rejected(server: FileServer) -> None:
    with open_uri(mark_private(f"{server.url}/a.mp4")) as file:
        file.read(10)
        server.files["/a.mp4"] = DATA[::-1]
        file.seek(200_000)
        with pytest.raises(UnreadableFile, match="changed while it was read"):
            file.read(10)


def test_a_download_is_made_once_and_shared(server: FileServer) -> None:
    server.has_ranges = False
    before = set(os.listdir(process_folder()))
    for _ in range(3):
        fingerprint(mark_private(f"{server.url}/a.mp4"))
        assert _read(f"{server.url}/a.mp4") == DATA
    assert len(set(os.listdir(process_folder())) - before) == 1
    assert sum(not span for _, span in server.requests) == 1


def test_downloads_are_limited(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.has_ranges = False
    server.files |= {f"/{k}.mp4": bytes([k]) * 100_000 for k in range(4)}
    monkeypatch.setattr(downloads, "MAX_BYTES", 250_000)
    monkeypatch.setattr(downloads, "_downloads", type(downloads._downloads)())
    for k in (0, 1, 2, 3, 0):
        assert _read(f"{server.url}/{k}.mp4") == bytes([k]) * 100_000
    assert len(downloads._downloads) == 2
    for server.has_length in (True, False):
        before = os.listdir(process_folder())
        with pytest.raises(UnreadableFile, match=r"larger than the limit.*serve it with range requests"):
            _read(f"{server.url}/a.mp4")
        assert os.listdir(process_folder()) == before


@pytest.mark.parametrize("name", NAMES)
def test_encoded_names_are_opened(name: str) -> None:
    from urllib.parse import quote

    with serve({f"/in/{name}": DATA}) as server:
        assert _read(f"{server.url}/in/{quote(name)}") == DATA
        if not set("#?%") & set(name):
            assert _read(f"{server.url}/in/{name}") == DATA


def test_redirects_are_followed(server: FileServer) -> None:
    server.token = "signature=abc"
    assert _read(f"{server.url}/moved/a.mp4?signature=abc") == DATA
    server.token = ""
    with pytest.raises(RemoteReadError, match="TooManyRedirects"):
        _read(f"{server.url}{'/moved' * 30}/a.mp4")


def test_errors_and_logs_hold_no_secret(server: FileServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    host, server.token, server.statuses = server.url.removeprefix("http://"), "sig=other", [503]
    for url in (f"http://me:s3cret@{host}/a.mp4?sig=s3cret#s3cret", f"http://me:s3cret@{host}:x/a.mp4"):
        with pytest.raises(RemoteReadError) as caught:
            open_uri(mark_private(url))
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in caplog.text
    assert "HTTP/1.1 503" in caplog.text


def test_https_uses_the_certificates_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = _certificate(tmp_path)
    with serve({"/a.mp4": DATA}, certificate=certificate) as server:
        for trusted in (False, True):
            monkeypatch.setattr(http, "_clients", {})
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
                assert _read(f"{server.url}/a.mp4") == DATA
            else:
                with pytest.raises(RemoteReadError, match=r"CERTIFICATE_VERIFY_FAILED.*SSL_CERT_FILE"):
                    _read(f"{server.url}/a.mp4")
            for client in http._clients.values():
                client.close()


def test_the_status_says_size_and_stamp(server: FileServer) -> None:
    assert file_status(mark_private(f"{server.url}/a.mp4")).size_bytes == len(DATA)
    assert file_status(mark_private(f"{server.url}/empty.mp4")).size_bytes == 0
    server.has_ranges = server.has_length = server.has_stamp = False
    assert file_status(mark_private(f"{server.url}/a.mp4")) == FileStatus(None, "")


def _certificate(folder: Path) -> Path:
    """Write a PEM file with a key and a self-signed certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime.now() - timedelta(days=2))
    builder = builder.not_valid_after(datetime.now() + timedelta(days=2))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain, form = serialization.NoEncryption(), serialization.PrivateFormat.PKCS8
    path = folder / "server.pem"
    path.write_bytes(key.private_bytes(pem, form, plain) + certificate.public_bytes(pem))
    return path
