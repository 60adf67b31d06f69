"""The implementations of a store: a local folder, and any URL that fsspec supports."""

from manifests.store import Store


def open_store(url: str) -> Store:
    """Open the store at a path or a URL (s3://, gs://, file://). Writes nothing."""
    if "://" in url and not url.startswith("file://"):
        from manifests.stores.remote import RemoteStore

        return RemoteStore(url)
    from manifests.stores.folder import FolderStore

    return FolderStore(url.removeprefix("file://"))
