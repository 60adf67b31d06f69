"""Ends a worker process in which a row is not finished in time, and finds out where it hung.

`faulthandler` waits in a thread of its own, in C: it also ends a process in which native code, such as a
decoder, holds Python's lock. Before, it appends the stack of each thread to the journal of the part.
"""

import faulthandler
import re

_STACK = re.compile(rb"^Timeout \(.*\)!$", re.MULTILINE)
_THREAD = re.compile(r"^(?:Current t|T)hread 0x.*$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)$', re.MULTILINE)
_RUNS_STAGES = "/pipeline/engine/batches/attempts.py"  # a file whose functions are in the stack of each stage


def begin(seconds: float, file: int) -> None:
    """End this process after so many seconds, unless `end` is called before. The stack goes to `file`."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=file)


def end() -> None:
    """The rows are finished."""
    faulthandler.cancel_dump_traceback_later()


def where_it_hung(journal: bytes) -> str | None:
    """The line in which a stage was when its process was ended; None if no watchdog ended it."""
    found = _STACK.search(journal)
    if found is None:
        return None
    threads = _THREAD.split(journal[found.end() :].decode(errors="replace"))
    stack = next((thread for thread in threads if _RUNS_STAGES in thread), threads[-1])
    frame = _FRAME.search(stack)
    return f"{frame['file']}:{frame['line']} in {frame['name']}" if frame else ""
