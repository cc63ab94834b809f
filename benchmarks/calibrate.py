"""Measures what recc's cost model rests on: the seconds in `recc/passes/cost.py`, from a few recurrences and sizes.

    python benchmarks/calibrate.py [--quick] [--clock wall|cpu]

Fits the rates of torch and those of native code, by least squares of relative errors, none negative, with one thread.
Prints what each call takes, what the fitted rates and those of this installation expect, and the fitted rates. Needs
scipy; takes about two minutes.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from cases import Case
from measure import CLOCKS, timed
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

import recc
from recc.backends.torch.estimate import step_work
from recc.backends.torch.module import expected_costs
from recc.passes.analyse import analyse
from recc.passes.cost import RATES, PassCost
from recc.runtime.costs import Expected, Rates, expected_seconds

CASES = (
    Case("linear_scan", {"B": 1, "D": 64}, 4096),
    Case("linear_scan", {"B": 8, "D": 512}, 1024),
    Case("lru", {"B": 2, "D": 128}, 512),
    Case("gla", {"B": 1, "H": 4, "K": 16, "V": 16}, 2048),
    Case("gla", {"B": 1, "H": 8, "K": 64, "V": 64}, 512),
    Case("mlstm", {"B": 1, "H": 4, "K": 32, "V": 32}, 1024),
    Case("gated_deltanet", {"B": 1, "H": 1, "K": 16, "V": 16}, 2048),
    Case("gated_deltanet", {"B": 1, "H": 8, "K": 64, "V": 64}, 512),
    Case("mamba2", {"B": 2, "H": 4, "K": 64, "V": 32}, 256),
    Case("gru", {"B": 8, "D": 64}, 512),
    Case("gru", {"B": 4, "D": 256}, 256),
)
TINY_STEPS = 32
REPETITIONS = 5
LONG = 0.5  # seconds; no need to run again what takes so long
WAYS = {"sequential": ("sequential", "torch"), "scan": ("scan", "torch"), "native": ("sequential", "cpu")}
TORCH = ("start", "call", "element", "product")


@dataclass(frozen=True)
class Measured:
    """A case by one way, in one or both directions: what it took, and the seconds it takes by each rate of one."""

    case: Case
    way: str
    training: bool
    seconds: float
    features: tuple[float, ...]

    def expected(self, rates: tuple[float, ...]) -> float:
        return float(numpy.dot(self.features, rates))


def measured(case: Case, clock: Callable[[], float]) -> Iterator[Measured]:
    """One case by all ways that there are."""
    (recurrence,) = recc.check(case.spec).recurrences
    costs = expected_costs(recurrence, analyse(recurrence))
    function: Any = recc.load(case.spec)
    given = case.arguments()
    leaves = {name: value.clone().requires_grad_() for name, value in given.items()}
    sizes = {**dict(recurrence.sizes), **axes(recurrence, given)}
    for way, (method, backend) in WAYS.items():
        for training in (False, True):
            features = unit_seconds(costs[: 1 + training], sizes, case, way)
            if math.inf not in features:
                call = functools.partial(function, method=method, backend=backend)
                run = functools.partial(trained, call, leaves) if training else functools.partial(forward, call, given)
                yield Measured(case, way, training, least(run, clock), features)


def axes(recurrence: Any, given: dict[str, torch.Tensor]) -> dict[str, int]:
    """Sizes by name."""
    found: dict[str, int] = {}
    for var in recurrence.variables:
        shape = given[var.name].shape if var.name in given else ()
        found |= {
            size: shape[len(shape) - len(var.sizes) + place]
            for place, size in enumerate(var.sizes)
            if isinstance(size, str) and shape
        }
    return found


def unit_seconds(costs: tuple[PassCost, ...], sizes: dict[str, int], case: Case, way: str) -> tuple[float, ...]:
    """The time if one rate were a second and all others nothing, for each rate: the model is linear in its rates."""
    rows = case.sizes["B"] * case.sizes.get("H", 1)
    work = [step_work(cost, sizes) for cost in costs]
    count = len(Rates._fields)

    def one(place: int) -> Expected:
        return expected_seconds(work, Rates(*(float(n == place) for n in range(count))), case.steps, rows, 1)

    return tuple(getattr(one(place), way) for place in range(count))


@torch.no_grad()
def forward(call: Callable[..., Any], given: dict[str, torch.Tensor]) -> Any:
    return call(**given)


def trained(call: Callable[..., Any], leaves: dict[str, torch.Tensor]) -> Any:
    outputs = call(**leaves)[0]
    values = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.autograd.grad(values, tuple(leaves.values()), tuple(map(torch.ones_like, values)))


def least(run: Callable[[], object], clock: Callable[[], float]) -> float:
    run()
    seconds: list[float] = []
    while len(seconds) < REPETITIONS and not (seconds and seconds[0] > LONG):
        seconds.append(timed(run, clock))
    return min(seconds)


def fitted(rows: list[Measured]) -> tuple[float, ...]:
    """All rates, none negative; those of torch from its calls, the others from those of native code."""
    names = Rates._fields
    found = dict.fromkeys(names, 0.0)
    for native in (False, True):
        own = [name for name in names if (name not in TORCH) == native]
        some = [row for row in rows if (row.way == "native") == native]
        matrix = [[row.features[names.index(name)] / row.seconds for name in own] for row in some]
        found |= dict(zip(own, nnls(numpy.array(matrix), numpy.ones(len(some)))[0].tolist(), strict=True))
    return tuple(found.values())


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--quick", action="store_true", help="few steps, to see that it runs; the numbers mean nothing")
    made.add_argument("--clock", choices=sorted(CLOCKS), default="wall", help="what is counted (%(default)s)")
    options = made.parse_args()
    torch.set_num_threads(1)
    cases = [Case(case.spec, case.sizes, TINY_STEPS) for case in CASES] if options.quick else CASES
    rows = [row for case in cases for row in measured(case, CLOCKS[options.clock])]
    rates = fitted(rows)
    table = Table("recurrence", "size", "steps", "way", "pass", "ms", "fitted", "now", title="measured and expected")
    for row in rows:
        times = (row.seconds, row.expected(rates), row.expected(RATES))
        about = row.case.spec, row.case.title, str(row.case.steps), row.way, "both" if row.training else "forward"
        table.add_row(*about, *(f"{1e3 * seconds:.3g}" for seconds in times))
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)
    for name, rate, known in zip(Rates._fields, rates, RATES, strict=True):
        console.print(f"{name.upper()}_SECONDS = {rate:.2g}  # now {known:.2g}", highlight=False)


if __name__ == "__main__":
    main()
