"""The meters: one file each, keeping the promise of `stages/scan/meter.py`."""
