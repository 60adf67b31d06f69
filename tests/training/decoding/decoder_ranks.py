"""Runs on each rank: trainings of diffusion decoders, JSON {work, …settings}; prints losses and norms."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from training.callbacks.loss_curve import read_loss_curve
from training.networks.config import MODEL_CONFIGS
from training.parallel.mesh import process_group
from training.recipes.world import train

MODEL_CONFIGS["tiny"] = replace(MODEL_CONFIGS["tiny"], num_layers=1)
with process_group():
    results = []
    for text in sys.argv[1:]:
        settings = json.loads(text)
        result = train(settings, Path(settings.pop("work")))
        results.append([(line["loss"], line["grad_norm"]) for line in read_loss_curve(result.loss_curve)])
    print(json.dumps(results))
