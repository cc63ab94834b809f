"""Emitted modules against the loop that one writes by hand, and against torch's associative scan, forward and backward.

Each row is one recurrence at one size: the module's `scan`, `sequential` and `auto`, an eager loop written with care,
one as it stands in the paper, `associative_scan` and, as a floor, one `torch.add` that reads and writes as many bytes
as inputs and outputs have. All of a row are checked against the eager loop, and timed in turn in one process.

    python benchmarks/scan.py [--quick] [--out FILE] [--threads N] [--clock wall|cpu]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import associative
import eager
import plain
import torch
from cases import Arguments, Case, scan_cases
from measure import Agreement, Effort, add_timing_options, count_bytes, effort_of, interleaved, machine, parser, save
from report import scan_head, scan_rows
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

import recc

METHODS = ("sequential", "scan", "auto")
# What trains only on less: the plain loop takes quadratic time, as the gradient of each `x[:, t]` is as large as `x`,
# and the associative scan keeps its elements at each of log T levels, gigabytes for a large state.
PLAIN_BYTES = 3 * 2**20
ASSOCIATIVE_ELEMENTS = 2**26
Function = Callable[..., Tensor]


def competitors(spec: str) -> dict[str, Function]:
    """Functions from the same arguments to the same output, the eager loop first."""
    found: dict[str, Function] = {"eager": getattr(eager, spec), "plain": getattr(plain, spec)}
    if hasattr(associative, spec):
        found["associative"] = getattr(associative, spec)
    compiled = recc.load(spec)
    for method in METHODS:
        found[method] = functools.partial(first_output, compiled, method)
    return found


def first_output(compiled: Callable[..., Any], method: str, **arguments: Tensor) -> Tensor:
    return compiled(**arguments, method=method)[0]


def trained(function: Function, leaves: Arguments, cotangent: Tensor) -> tuple[Tensor, ...]:
    """One forward and one backward pass; the gradients of all arguments."""
    output = function(**leaves)
    return torch.autograd.grad(output, tuple(leaves.values()), cotangent)


def floor(nbytes: int) -> Callable[[], Tensor]:
    """One addition of float32 numbers that reads and writes `nbytes` in all."""
    x, y, result = torch.ones(3, max(1, nbytes // 12)).unbind()
    return functools.partial(torch.add, x, y, out=result)


def forward_row(case: Case, effort: Effort) -> dict[str, Any]:
    """The output alone, without autograd. ValueError if two competitors do not compute the same."""
    arguments = case.arguments()
    calls = {name: functools.partial(function, **arguments) for name, function in competitors(case.spec).items()}
    with torch.no_grad():
        nbytes = count_bytes(arguments) + count_bytes([calls["sequential"]()])
        return row(case, "forward", nbytes, calls, effort)


def training_row(case: Case, effort: Effort) -> dict[str, Any]:
    """Output and gradients. ValueError if two competitors do not compute the same."""
    leaves = {name: value.requires_grad_() for name, value in case.arguments().items()}
    functions = competitors(case.spec)
    if count_bytes(leaves) > PLAIN_BYTES:
        del functions["plain"]
    with torch.no_grad():
        cotangent = torch.randn_like(functions["sequential"](**leaves))
    if case.state * case.steps > ASSOCIATIVE_ELEMENTS:
        functions.pop("associative", None)
    calls = {name: functools.partial(trained, function, leaves, cotangent) for name, function in functions.items()}
    # The inputs are read twice and their gradients written; the output is written and its gradient read.
    return row(case, "training", 3 * count_bytes(leaves) + 2 * count_bytes([cotangent]), calls, effort)


def row(case: Case, part: str, nbytes: int, calls: dict[str, Callable[[], Any]], effort: Effort) -> dict[str, Any]:
    agreement = Agreement(f"{case.spec} {case.title}")

    def check(name: str, result: Any) -> None:
        if name != "floor":
            agreement(name, result)

    seconds = interleaved({**calls, "floor": floor(nbytes)}, effort, check)
    return {
        "spec": case.spec,
        "sizes": dict(case.sizes),
        "steps": case.steps,
        "pass": part,
        "bytes": nbytes,
        "seconds": seconds,
        "ratios": {name: seconds["eager"].median / seconds[name].median for name in METHODS},
        "errors": agreement.errors,
    }


def measured(cases: list[Case], effort: Effort, console: Console) -> Iterator[dict[str, Any]]:
    """The rows, one after the other, behind a progress bar."""
    with Progress(console=console) as progress:
        task = progress.add_task("", total=2 * len(cases))
        for case in cases:
            for part in (forward_row, training_row):
                progress.update(task, description=f"{case.spec} {case.title}")
                yield part(case, effort)
                progress.advance(task)


def main() -> None:
    made = parser(__doc__, "scan.json")
    add_timing_options(made)
    options = made.parse_args()
    console, effort = Console(), effort_of(options)
    about = machine(options.clock)
    rows = list(measured(scan_cases(options.quick), effort, console))
    save(options.out, {"machine": about, "quick": options.quick, "rows": rows})
    for part in ("forward", "training"):
        table = Table(*scan_head(), title=f"{part}, ms (median)")
        for cells in scan_rows(options.out, part):
            table.add_row(*cells)
        console.print(table)


if __name__ == "__main__":
    main()
