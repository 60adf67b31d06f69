"""Trains a tokenizer on this rank: tokenizer_ranks.py SETTINGS WORK, the settings as JSON."""

import json
import sys
from pathlib import Path

from training.recipes.tokenizer.train import train_tokenizer

train_tokenizer(json.loads(sys.argv[1]), Path(sys.argv[2]))
