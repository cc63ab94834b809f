"""Times one recurrence by all contenders, forward, and forward and backward: `cpu_speed.py SPEC [--quick] ...`.

Prints JSON, a row for each pass. All are checked against the loop in torch; those with variants are measured with the
fastest; calls take turns in one process, and arguments change from call to call. A contender that fails, or is wrong,
is left out, and the row says why.
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy
import torch
from cpu_cases import arguments
from cpu_contenders import Call, Contender, Prepare, contenders
from cpu_plan import Planned, planned
from measure import Agreement, Effort, count_bytes, interleaved
from torch import Tensor

SETS = 2  # of arguments
LONG = 0.2  # seconds; no need to run a variant again that takes so long
SLOW = 0.4  # seconds; what takes so long is timed once, and is nowhere near the best
REQUIRED = ("eager", "recc")
BUDGET = 3.0  # seconds for one row, beyond what three rounds take
PAUSE = 0.02  # seconds
TOUCHED = 2**32  # bytes


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("spec")
    made.add_argument("--quick", action="store_true")
    made.add_argument("--backend", default="cpu")
    made.add_argument("--clock", default="wall")
    options = made.parse_args()
    case = planned(options.spec, options.quick)
    effort = Effort(BUDGET, clock=options.clock, slow=SLOW, pause=PAUSE)
    if options.quick:
        effort = Effort(0.0, 2, 2, options.clock)
    else:
        touch_memory()
    found = contenders(case.spec, case.steps, options.backend)
    rows = [measured(case, found, part, effort) for part in ("forward", "training")]
    print(json.dumps(rows, default=asdict))


def measured(case: Planned, found: Mapping[str, Contender], part: str, effort: Effort) -> dict[str, Any]:
    """One row of the results. Raises what recc's own module raises, and ValueError if that is wrong."""
    drawn = [arguments(case, seed) for seed in range(SETS)]
    with torch.no_grad():
        output = found["recc"].variants[""](drawn[0], None)()
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(SETS))
    upstream = cotangent if part == "training" else None
    failed: dict[str, str] = {}
    chosen: dict[str, str] = {}
    calls: dict[str, Call] = {}
    wanted = {name: one for name, one in found.items() if one.trains or part == "forward"}
    for name, one in wanted.items():
        with noted(name, failed):
            chosen[name] = fastest(one.variants, lambda prepare: prepare(drawn[0], upstream))
            calls[name] = in_turn([one.variants[chosen[name]](given, upstream) for given in drawn])
    agreement = Agreement(f"{case.spec}, {part}")
    nbytes = count_bytes(drawn[0]) + count_bytes([output])
    if part == "forward":
        calls["add"] = addition(nbytes)

    def check(name: str, result: Any) -> None:
        if name != "add":
            with noted(name, failed):
                agreement(name, as_tensors(result))

    seconds = {name: timing for name, timing in interleaved(calls, effort, check).items() if name not in failed}
    best = min((name for name, one in wanted.items() if one.rival and name in seconds), key=lambda n: seconds[n].median)
    return {
        "spec": case.spec,
        "sizes": dict(case.sizes),
        "steps": case.steps,
        "pass": part,
        "bytes": nbytes,
        "flops": case.flops(),
        "seconds": seconds,
        "chosen": {name: label for name, label in chosen.items() if label},
        "errors": {name: error for name, error in agreement.errors.items() if name in seconds},
        "failed": failed,
        "best": best,
        "ratio": seconds[best].median / seconds["recc"].median,
        "aim": case.forward if part == "forward" else case.training,
    }


def touch_memory() -> None:
    """Memory that a virtual machine has never used is slow when it first does, for whoever it is given to."""
    numpy.ones(TOUCHED, dtype=numpy.uint8)


@contextmanager
def noted(name: str, failed: dict[str, str]) -> Iterator[None]:
    """Why a contender fails goes to `failed`; only recc's own module and the loop that all are checked against must
    not."""
    try:
        yield
    except Exception as error:
        if name in REQUIRED:
            raise
        failed[name] = f"{type(error).__name__}: {error}".splitlines()[0]


def fastest(variants: Mapping[str, Prepare], prepared: Callable[[Prepare], Call]) -> str:
    """The label of the variant that takes the least time. What is compiled at a first call is compiled here."""
    if len(variants) == 1:
        ((label, only),) = variants.items()
        prepared(only)()
        return label
    return min(variants, key=lambda label: shortest(prepared(variants[label])))


def shortest(call: Call) -> float:
    """The least seconds of three calls after one that does not count, or of one if it takes long."""
    call()
    seconds: list[float] = []
    while len(seconds) < 3 and not (seconds and seconds[0] > LONG):
        gc.collect()
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def in_turn(calls: list[Call]) -> Call:
    """One after the other, again and again: the same numbers never twice in a row."""
    turn = itertools.cycle(calls)
    return lambda: next(turn)()


def addition(nbytes: int) -> Call:
    """`torch.add` of float32 numbers, into fresh memory as every contender's output is, of `nbytes` in all."""
    count = max(1, nbytes // 12)
    return functools.partial(torch.add, torch.ones(count), torch.ones(count))


def as_tensors(result: Any) -> tuple[Tensor, ...]:
    values = result if isinstance(result, tuple) else (result,)
    return tuple(v if isinstance(v, Tensor) else torch.from_numpy(numpy.array(v)) for v in values)


if __name__ == "__main__":
    main()
