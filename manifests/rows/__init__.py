"""The rows that any step can write beside its own: rejected rows, and rows that a rule dropped."""

from manifests.rows.drop import DropRow as DropRow
from manifests.rows.reject import RejectRow as RejectRow
