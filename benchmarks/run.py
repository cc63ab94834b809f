"""All benchmarks, one process each, and the tables of `docs/performance.md` from their results.

    python benchmarks/run.py [--quick] [--results DIRECTORY] [--docs FILE]

Takes about seven minutes on a machine that should have nothing else to do.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ("decode", "scan", "memory")


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers mean nothing")
    made.add_argument("--results", type=Path, default=HERE / "results", help="where the JSON files go")
    made.add_argument("--docs", type=Path, default=HERE.parent / "docs" / "performance.md", help="the page to renew")
    options = made.parse_args()
    for name in BENCHMARKS:
        command = [str(HERE / f"{name}.py"), "--out", str(options.results / f"{name}.json")]
        subprocess.run([sys.executable, *command, *(["--quick"] if options.quick else [])], check=True)
    report = [str(HERE / "report.py"), "--results", str(options.results), "--docs", str(options.docs)]
    subprocess.run([sys.executable, *report], check=True)


if __name__ == "__main__":
    main()
