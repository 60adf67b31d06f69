"""What differs between the file systems of fsspec: how one is opened, and its clock."""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import fsspec

_ATTEMPTS = 2  # of a request in the libraries; above them, a store waits by itself, and says so


def open_file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Listings are never cached."""
    options: dict[str, Any] = {"use_listings_cache": False}
    if url.startswith(("s3://", "s3a://")) and not _sets_retries():
        options["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": _ATTEMPTS}}
    files, root = fsspec.core.url_to_fs(url, **options)
    if "config_kwargs" in options:
        files.retries = min(files.retries, _ATTEMPTS)
    return files, root


def protocol_of(files: Any) -> str:
    """The protocol of a file system of fsspec; "s3" or "gs" also if it has other names."""
    known = files.protocol if isinstance(files.protocol, (tuple, list)) else (files.protocol,)
    return next((name for name in ("s3", "gs") if name in known), str(known[0]))


def file_exists(files: Any, path: str) -> bool:
    """Whether a file exists. On S3 this is one HEAD: s3fs also lists, in case that the name is a folder."""
    if protocol_of(files) != "s3":
        return bool(files.exists(path))
    bucket, key, _ = files.split_path(path)
    try:
        files.call_s3("head_object", Bucket=bucket, Key=key)
        return True
    except FileNotFoundError:
        return False


def seconds_since_written(files: Any, path: str) -> float:
    """The age of a file. On S3 both times come from the server; elsewhere, "now" is from this machine."""
    if protocol_of(files) == "s3":
        bucket, key, _ = files.split_path(path)
        answer = files.call_s3("head_object", Bucket=bucket, Key=key)
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - answer["LastModified"]).total_seconds())
    return float((datetime.now(UTC) - files.modified(path)).total_seconds())


def _sets_retries() -> bool:
    """Whether the user has configured how often the library repeats a request."""
    in_config = any("config_kwargs" in fsspec.config.conf.get(name, {}) for name in ("s3", "s3a"))
    return in_config or any(name in os.environ for name in ("AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"))
