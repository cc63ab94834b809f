"""Timing competitors side by side, and what is written down about the machine."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

RESULTS = Path(__file__).parent / "results"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Effort:
    """How long one row is measured: at least `least` rounds, then until `budget` seconds are spent or `most` rounds.

    What takes more than `slow` seconds is run once: no start-up cost can matter. Before each call there are `pause`
    seconds of rest, for the threads of whoever ran before to fall asleep: they go on spinning for a while."""

    budget: float = 1.0
    least: int = 3
    most: int = 25
    clock: str = "wall"
    slow: float = 2.0
    pause: float = 0.0


@dataclass(frozen=True)
class Timing:
    """Seconds of one call."""

    median: float
    fastest: float
    slowest: float
    repetitions: int


def interleaved(
    competitors: Mapping[str, Callable[[], Any]], effort: Effort, check: Callable[[str, Any], object]
) -> dict[str, Timing]:
    """Times all competitors in turn, round after round, each after one run that does not count.

    A disturbance of the machine so falls on all of them alike. Whoever begins changes from round to round. `check` is
    given what the first run of each returned, and raises if that is not right."""
    clock = CLOCKS[effort.clock]
    seconds: dict[str, list[float]] = {}
    gc.collect()
    gc.disable()
    try:
        for name, call in competitors.items():
            began = clock()
            result = call()
            took = clock() - began
            check(name, result)
            seconds[name] = [took] if took > effort.slow else []
            del result
        names = [name for name, known in seconds.items() if not known]
        began = time.perf_counter()
        for done in range(effort.most if names else 0):
            if done >= effort.least and time.perf_counter() - began > effort.budget:
                break
            for place in range(len(names)):
                name = names[(place + done) % len(names)]
                time.sleep(effort.pause)
                seconds[name].append(timed(competitors[name], clock))
    finally:
        gc.enable()
    return {name: summary(known) for name, known in seconds.items()}


def timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    result = call()
    took = clock() - began
    del result
    return took


def summary(seconds: list[float]) -> Timing:
    return Timing(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


def count_bytes(tensors: Mapping[str, Tensor] | list[Tensor]) -> int:
    """The memory that tensors take, each counted in full."""
    values = tensors.values() if isinstance(tensors, Mapping) else tensors
    return sum(tensor.numel() * tensor.element_size() for tensor in values)


class Agreement:
    """Checks that all competitors compute what the first of them does; to be called with their results."""

    def __init__(self, title: str, tolerance: float = 1e-3) -> None:
        self.title, self.tolerance = title, tolerance
        self.errors: dict[str, float] = {}
        self.reference: tuple[Tensor, ...] | None = None

    def __call__(self, name: str, result: Tensor | tuple[Tensor, ...]) -> None:
        """Raises ValueError for results that differ by more than the tolerance."""
        values = (result,) if isinstance(result, Tensor) else result
        self.reference = values if self.reference is None else self.reference
        pairs = zip(values, self.reference, strict=True)
        self.errors[name] = error = max(distance(value, known) for value, known in pairs)
        if not error <= self.tolerance:
            raise ValueError(f"{self.title}: {name} is off by {error:.1e}")


def distance(value: Tensor, reference: Tensor) -> float:
    """The largest absolute difference, relative to the reference's largest value."""
    return float((value - reference).abs().max() / reference.abs().max().clamp_min(1e-30))


def machine(clock: str) -> dict[str, Any]:
    """What a time depends on and a reader has to know."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "clock": clock,
    }


def processor() -> str:
    """The processor's name, as Linux knows it, or what Python knows of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def parser(text: str | None, out: str) -> argparse.ArgumentParser:
    """The options that all benchmarks have; `out` is the file in `benchmarks/results` that is written by default."""
    made = argparse.ArgumentParser(description=(text or "").split("\n")[0])
    made.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; the numbers mean nothing")
    made.add_argument("--out", type=Path, default=RESULTS / out, help="the JSON file to write (%(default)s)")
    return made


def add_timing_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--threads", type=int, help="threads of torch (its own choice if not given)")
    made.add_argument("--clock", choices=sorted(CLOCKS), default="wall", help="what is counted (%(default)s)")


def effort_of(options: argparse.Namespace) -> Effort:
    """Sets torch's threads, and gives the effort that the options ask for."""
    if options.threads:
        torch.set_num_threads(options.threads)
    return Effort(0.0, 2, 2, options.clock) if options.quick else Effort(clock=options.clock)


def save(path: Path, content: dict[str, Any]) -> None:
    """Writes results; dataclasses in them become objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, default=asdict) + "\n")
