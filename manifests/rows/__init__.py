"""The rows that every step may write beside its own: what was rejected, and what a rule dropped."""

from manifests.rows.drop import DropRow as DropRow
from manifests.rows.reject import RejectRow as RejectRow
