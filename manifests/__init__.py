"""The manifest format: typed rows in immutable Parquet tables that record how they were made."""

from manifests.artifact import Artifact as Artifact
from manifests.column import column as column
from manifests.errors import ClipmillError as ClipmillError
from manifests.errors import ManifestError as ManifestError
from manifests.row import Row as Row
from manifests.row import Vector as Vector
from manifests.store import Store as Store
