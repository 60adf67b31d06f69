"""Runs on each rank: trainings of an autoregressive model given as JSON {work, …settings}."""

import json
import sys
from pathlib import Path

from tests.training.autoregressive.toy_codes import TINY
from training.networks.autoregressive.config import AUTOREGRESSIVE_CONFIGS
from training.parallel.mesh import process_group
from training.recipes.autoregressive.train import train_autoregressive

AUTOREGRESSIVE_CONFIGS["tiny"] = TINY
with process_group():
    for text in sys.argv[1:]:
        settings = json.loads(text)
        train_autoregressive(settings, Path(settings.pop("work")))
