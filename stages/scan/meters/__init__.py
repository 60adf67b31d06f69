"""The meters: one file each, with one class that implements the contract in `stages/scan/meter.py`."""
