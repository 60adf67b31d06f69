"""Entry point of `python -m training` and `torchrun -m training`."""

import sys

from training.cli import main

sys.exit(main())
