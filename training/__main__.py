"""Entry point of `python -m training` and `torchrun -m training`."""

import os
import sys
import threading

from training.cli import main

exit_code = main()
if any(thread.daemon for thread in threading.enumerate()):
    # Python aborts at its end if such a thread runs PyTorch, as a checkpoint write that hangs does.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
sys.exit(exit_code)
