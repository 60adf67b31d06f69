"""A signal ends a command that has not begun with one line, and a run as its observer says."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import signal, sys, time
from pipeline.progress.stopping import exit_code_of_stop, exits_on_signals, stopped_by_signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
with exits_on_signals():
    if sys.argv[1] == "begun":
        with stopped_by_signals(None):
            try:
                print("waits", flush=True)
                time.sleep(600)
            except KeyboardInterrupt:
                print("summary", file=sys.stderr, flush=True)
                sys.exit(exit_code_of_stop())
    print("waits", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(("state", "words"), [("not begun", "stopped\n"), ("begun", "summary\n")])
def test_a_signal_ends_a_command_with_its_exit_code(state: str, words: str, sent: signal.Signals) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", _PROGRAM, state]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "waits\n"
        process.send_signal(sent)
        assert process.communicate()[1] == words
    assert process.returncode == 128 + sent
