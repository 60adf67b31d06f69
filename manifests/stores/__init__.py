"""The stores: a local folder, and any URL that fsspec knows."""

from manifests.store import Store


def open_store(url: str) -> Store:
    """The store at a path or a URL (s3://, gs://, file://). Nothing is written until something is created."""
    if "://" in url and not url.startswith("file://"):
        from manifests.stores.remote import RemoteStore

        return RemoteStore(url)
    from manifests.stores.folder import FolderStore

    return FolderStore(url.removeprefix("file://"))
