"""The page on faults: each line names a test that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/faults/README.md").read_text().partition("\n## The soak")[0]


def test_each_line_names_a_test() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| fault ")]
    assert len(lines) > 20
    for line in lines:
        (found,) = re.findall(r"`(tests/\S+\.py)::(test_\w+)` \|$", line)
        assert f"def {found[1]}(" in (ROOT / found[0]).read_text(), line
