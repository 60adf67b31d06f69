"""The implementations of a store: a local folder, and any URL that fsspec supports."""

from manifests.store import Store


def open_store(url: str, max_patience_s: float | None = None) -> Store:
    """Open the store at a path or a URL (s3://, gs://, file://). Writes nothing.

    Args:
        url: The path or URL.
        max_patience_s: The longest time to wait for a server that does not answer, whatever
            CLIPMILL_STORE_PATIENCE says.
    """
    if "://" in url and not url.startswith("file://"):
        from manifests.stores.remote import RemoteStore

        if max_patience_s is None:
            return RemoteStore(url)
        from manifests.stores.outage import store_patience_s

        return RemoteStore(url, min(max_patience_s, store_patience_s()))
    from manifests.stores.folder import FolderStore

    return FolderStore(url.removeprefix("file://"))
