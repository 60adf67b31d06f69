"""The rows that people outside read: rejects, drops, shard indexes and the samples inside shards."""

from manifests.rows.drop import DropRow as DropRow
from manifests.rows.reject import RejectRow as RejectRow
