"""Pipelines: what a stage is, how stages form a DAG, and how the DAG is run."""

from pipeline.dag import Dag as Dag
from pipeline.dag import Rows as Rows
from pipeline.needs import Needs as Needs
from pipeline.stage import Annotate as Annotate
from pipeline.stage import Expand as Expand
from pipeline.stage import Launch as Launch
from pipeline.stage import Placed as Placed
from pipeline.stage import Reject as Reject
from pipeline.stage import Source as Source
from pipeline.stage import Stage as Stage
from pipeline.stage import Survey as Survey
