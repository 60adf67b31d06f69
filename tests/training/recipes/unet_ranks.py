"""Runs on each rank: trainings of a small U-Net given as JSON {work, …settings}; prints losses and norms."""

import json
import sys
from pathlib import Path

from training.callbacks.loss_curve import read_loss_curve
from training.networks.unet3d import UNET_CONFIGS, UNet3DConfig
from training.parallel.mesh import process_group
from training.recipes.world import train

UNET_CONFIGS["unet3d-tiny"] = UNet3DConfig(8, 1, attention_head_dim=8, text_embed_dim=16, norm_num_groups=4)
with process_group():
    results = []
    for text in sys.argv[1:]:
        settings = json.loads(text)
        result = train(settings, Path(settings.pop("work")))
        results.append([(line["loss"], line["grad_norm"]) for line in read_loss_curve(result.loss_curve)])
    print(json.dumps(results))
