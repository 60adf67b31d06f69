"""Fuzzes one reader, guided by coverage: python tests/fuzz/with_atheris.py READER [options of libFuzzer].

It needs `pip install atheris`, which is no dependency. Without a reader it lists them.
"""

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / "toys" / name) for name in ("", "media", "fuzzing"))]


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["manifests", "pipeline", "stages", "tarfile"]):
        from fuzz_targets import targets
    if len(sys.argv) < 2 or sys.argv[1] not in targets():
        sys.exit("readers: " + ", ".join(targets()))
    target = targets()[sys.argv.pop(1)]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus = Path(tempfile.mkdtemp(prefix="corpus-"))
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)

    def read(data: bytes) -> None:
        folder.mkdir(exist_ok=True)
        target.run(data, folder)
        shutil.rmtree(folder)

    atheris.Setup([*sys.argv, str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
