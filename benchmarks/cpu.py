"""The native CPU backend against everything else that computes the same recurrences on this machine, in one run.

    python benchmarks/cpu.py [--quick] [--only SPEC ...] [--out FILE] [--threads N] [--clock wall|cpu]

Measures the machine's limits, ten recurrences forward and backward, a single token, building times and memory; writes
JSON, and beside it a PNG. jax and numba take part if they are installed (`pip install --editable '.[bench]'`). Takes
a quarter of an hour on a machine that should have nothing else to do. Every measurement has a process of its own; this
one stays small and imports no torch: a child's peak of memory is never below what its parent had when it was started.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cpu_plan import (
    BUILT,
    MEMORY_COMPETITORS,
    MEMORY_SIZES,
    MEMORY_SPEC,
    MEMORY_STEPS,
    PLAN,
    TINY_MEMORY_STEPS,
    planned,
)
from cpu_report import plot, tables
from rich.console import Console
from rich.progress import Progress

HERE = Path(__file__).parent
REPETITIONS = 3  # of building
LONGEST = 300  # seconds for one process; what takes longer is given up
WIDTH = 150  # characters that a table needs
WORD = 4  # bytes of a float32
Results = dict[str, Any]
Task = Callable[[], Results]  # gives sections of the results; lists go on from task to task


@dataclass(frozen=True)
class Run:
    """What was asked for."""

    options: argparse.Namespace

    def child(self, *command: str, cache: str | None = None) -> str:
        """What a new Python process prints. CalledProcessError or TimeoutExpired if it fails.

        With a `cache` recc starts from that folder alone, and Python finds its bytecode there, as it is where recc is
        installed."""
        environment = dict(os.environ)
        if self.options.threads:
            environment["OMP_NUM_THREADS"] = str(self.options.threads)
        if cache:
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            environment |= {"RECC_CACHE_DIR": cache, "PYTHONPYCACHEPREFIX": str(Path(cache, "bytecode"))}
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=LONGEST, check=True
        )
        return done.stdout

    def measured(self, script: str, *arguments: str, cache: str | None = None) -> Any:
        """What one of this folder's scripts prints as JSON."""
        return json.loads(self.child(str(HERE / script), *arguments, cache=cache).splitlines()[-1])

    def timed(self, script: str, *arguments: str) -> Any:
        """The same for one of those that time something."""
        flags = ["--quick"] if self.options.quick else []
        return self.measured(script, *arguments, "--clock", self.options.clock, *flags)


def tasks(run: Run) -> dict[str, Task]:
    """All measurements by their names, in order."""
    options = run.options
    steps = TINY_MEMORY_STEPS if options.quick else MEMORY_STEPS
    found: dict[str, Task] = {"limits": partial(run.timed, "cpu_limits.py")}
    found |= {spec: partial(speed, run, spec) for spec in options.only or [known.spec for known in PLAN]}
    if options.only:
        return found
    found["step"] = partial(step, run)
    found |= {f"building {spec}": partial(building, run, spec) for spec in BUILT}
    pairs = itertools.product(MEMORY_COMPETITORS, steps)
    return found | {f"memory, {name}, {count} steps": partial(memory, run, name, count) for name, count in pairs}


def speed(run: Run, spec: str) -> Results:
    return {"rows": run.timed("cpu_speed.py", spec, "--backend", run.options.backend)}


def step(run: Run) -> Results:
    return {"step": run.timed("cpu_step.py", "--backend", run.options.backend)}


def building(run: Run, spec: str) -> Results:
    """Medians of seconds: `recc compile`, the first call of its module, and that of a second process.

    Nothing that recc keeps is there before a repetition, but the compiler has been used before."""
    flags = ["--quick"] if run.options.quick else []
    seconds: dict[str, list[float]] = {"compile": [], "first": [], "again": [], "call": []}
    for _ in range(1 if run.options.quick else REPETITIONS):
        with tempfile.TemporaryDirectory() as folder:
            module = str(Path(folder) / f"{spec}.py")
            source = str(HERE.parent / "specs" / f"{spec}.rec")
            run.child("-m", "recc", "compile", "ema", "-o", module, cache=folder)
            began = time.perf_counter()
            run.child("-m", "recc", "compile", source, "-o", module, "--backend", run.options.backend, cache=folder)
            seconds["compile"].append(time.perf_counter() - began)
            first, again = (run.measured("cpu_building.py", module, spec, *flags, cache=folder) for _ in range(2))
            seconds["first"].append(first["first"])
            seconds["again"].append(again["first"])
            seconds["call"].append(again["second"])
    medians = {name: statistics.median(known) for name, known in seconds.items()}
    sizes = dict(planned(spec, run.options.quick).sizes)
    return {"building": [{"spec": spec, "sizes": sizes, "seconds": medians}]}


def memory(run: Run, name: str, steps: int) -> Results:
    found = run.measured("cpu_memory.py", name, str(steps), run.options.backend)
    state = WORD * MEMORY_SIZES["B"] * MEMORY_SIZES["H"] * MEMORY_SIZES["K"] * MEMORY_SIZES["V"]
    row = {"spec": MEMORY_SPEC, "sizes": dict(MEMORY_SIZES), "competitor": name, "steps": steps}
    return {"memory": [{**row, **found, "states": steps * state}]}


def everything(run: Run, console: Console) -> tuple[Results, dict[str, str]]:
    """The results of all tasks, run behind a progress bar, and why those that failed did; the others go on."""
    results: Results = {"quick": run.options.quick, "backend": run.options.backend}
    results |= {"rows": [], "building": [], "memory": []}
    failures, todo = {}, tasks(run)
    with Progress(console=console) as progress:
        bar = progress.add_task("", total=len(todo))
        for name, task in todo.items():
            progress.update(bar, description=name)
            try:
                for section, found in task().items():
                    results[section] = results[section] + found if isinstance(found, list) else found
            except subprocess.CalledProcessError as error:
                failures[name] = last_words(error.stderr)
            except subprocess.TimeoutExpired:
                failures[name] = f"took more than {LONGEST} seconds"
            progress.advance(bar)
    return results, failures


def last_words(text: str) -> str:
    """The last line with words in it, without the box that it may stand in."""
    lines = [line.strip("│ ") for line in text.splitlines() if any(map(str.isalnum, line))]
    return lines[-1] if lines else "it said nothing"


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers mean nothing")
    made.add_argument("--only", nargs="+", choices=[known.spec for known in PLAN], help="these recurrences alone")
    made.add_argument("--out", type=Path, default=HERE / "results" / "cpu.json", help="the JSON file (%(default)s)")
    made.add_argument("--backend", default="cpu", help="recc's backend (%(default)s)")
    made.add_argument("--threads", type=int, help="threads of all competitors (torch's own choice if not given)")
    made.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what is counted (%(default)s)")
    run, console = Run(made.parse_args()), Console()
    results, failures = everything(run, console)
    out: Path = run.options.out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    console.width = max(console.width, WIDTH)
    for table in tables(results):
        console.print(table)
    if not run.options.only and not failures:
        plot(results, out.with_suffix(".png"))
    for name, failure in failures.items():
        console.print(f"{name} failed: {failure}", style="red", markup=False)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
