"""Microseconds for one token: `cpu_step.py [--quick] [--backend NAME] [--clock CLOCK]` prints JSON.

`step` of emitted modules against the step that one writes by hand in torch, and the same by `jax.jit`.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable
from typing import Any

import eager
import numpy
import torch
from cases import DRAWS, Arguments
from cpu_contenders import optional
from cpu_plan import STEP_SIZES, STEP_SPEC
from decode import decoded
from measure import Agreement, Effort, interleaved
from torch import Tensor

import recc

CALLS = 500  # tokens in one measurement
Calls = dict[str, Callable[[], Any]]


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--quick", action="store_true")
    made.add_argument("--backend", default="cpu")
    made.add_argument("--clock", default="wall")
    options = made.parse_args()
    calls = 10 if options.quick else CALLS
    effort = Effort(0.0, 2, 2, options.clock) if options.quick else Effort(2.0, clock=options.clock)
    print(json.dumps(measured(options.backend, calls, effort)))


@torch.no_grad()
def measured(backend: str, calls: int, effort: Effort) -> dict[str, Any]:
    """One row of the results. ValueError if two do not compute the same."""
    drawn = DRAWS[STEP_SPEC](STEP_SIZES, calls, torch.Generator().manual_seed(0))
    tokens = [{name: value[:, t].contiguous() for name, value in drawn.items()} for t in range(calls)]
    shape = tuple(STEP_SIZES[axis] for axis in ("B", "H", "K", "V"))
    start = torch.zeros(shape)
    runs: Calls = {"eager": functools.partial(decoded, eager.gated_deltanet_step, start, tokens)}
    runs |= with_jax(start, tokens)
    for name, chosen in (("recc torch", "torch"), ("recc", backend)):
        loaded: Any = recc.load(STEP_SPEC, backend=chosen)
        runs[name] = functools.partial(decoded, stepped(loaded), start, tokens)
    agreement = Agreement(f"step of {STEP_SPEC}")
    for run in runs.values():
        run()
    seconds = interleaved(runs, effort, lambda name, result: agreement(name, as_tensor(result)))
    micros = {name: timing.median / calls * 1e6 for name, timing in seconds.items()}
    sizes = dict(STEP_SIZES)
    return {"spec": STEP_SPEC, "sizes": sizes, "tokens": calls, "microseconds": micros, "errors": agreement.errors}


def stepped(loaded: Any) -> Callable[..., tuple[Tensor, Tensor]]:
    return lambda state, **token: loaded.step(state, **token)


def with_jax(start: Tensor, tokens: list[Arguments]) -> Calls:
    found: Any = optional("cpu_jax")
    if found is None:
        return {}
    given = [{name: found.np.asarray(value.numpy()) for name, value in token.items()} for token in tokens]
    step = found.jax.jit(found.step_of_gated_deltanet)
    first = found.np.asarray(start.numpy())
    return {"jax": lambda: found.jax.block_until_ready(decoded(step, first, given))}


def as_tensor(result: Any) -> Tensor:
    return result if isinstance(result, Tensor) else torch.from_numpy(numpy.array(result))


if __name__ == "__main__":
    main()
