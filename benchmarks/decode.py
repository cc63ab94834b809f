"""Microseconds for one token: `step` of emitted modules against the step that one writes by hand, without gradients.

python benchmarks/decode.py [--quick] [--out FILE] [--threads N] [--clock wall|cpu]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import eager
import torch
from cases import DRAWS, Arguments, Sizes
from measure import Agreement, Effort, add_timing_options, effort_of, interleaved, machine, parser, save
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor

import recc

CALLS = 200  # tokens in one measurement
Step = Callable[[Tensor, Arguments], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Decoder:
    """One recurrence at one size, `params` among its arguments, and its step by hand."""

    spec: str
    sizes: Sizes
    params: tuple[str, ...]
    by_hand: Callable[[Arguments], Callable[..., tuple[Tensor, Tensor]]]


def gru_by_hand(params: Arguments) -> Callable[..., tuple[Tensor, Tensor]]:
    U, b_n = torch.cat((params["U_r"], params["U_z"], params["U_n"]), 1), params["b_n"]
    return lambda h, **token: eager.gru_step(h, **token, U=U, b_n=b_n)


DECODERS = (
    Decoder("gated_deltanet", {"B": 1, "H": 8, "K": 64, "V": 64}, (), lambda params: eager.gated_deltanet_step),
    Decoder("gru", {"B": 1, "D": 256}, ("U_r", "U_z", "U_n", "b_n"), gru_by_hand),
)


def decoded(step: Callable[..., tuple[Tensor, Tensor]], state: Tensor, tokens: list[Arguments]) -> Tensor:
    """All tokens one after the other; the last output."""
    output = state
    for token in tokens:
        output, state = step(state, **token)
    return output


def measured(decoder: Decoder, calls: int, effort: Effort) -> dict[str, Any]:
    """Microseconds of each competitor. ValueError if they do not compute the same."""
    drawn = DRAWS[decoder.spec](decoder.sizes, calls, torch.Generator().manual_seed(0))
    params = {name: drawn.pop(name) for name in decoder.params}
    tokens = [{name: value[:, t].contiguous() for name, value in drawn.items()} for t in range(calls)]
    compiled: Any = recc.load(decoder.spec)
    features = {name: size for name, size in decoder.sizes.items() if name in ("K", "V")}
    start = compiled.initial_state(1, (8,), **features) if features else compiled.initial_state(1, **params)

    def step(state: Tensor, **token: Tensor) -> tuple[Tensor, Tensor]:
        return compiled.step(state, **token, **params)

    by_hand = decoder.by_hand(params)
    runs = {
        "eager": lambda: decoded(by_hand, start, tokens),
        "recc": lambda: decoded(step, start, tokens),
    }
    agreement = Agreement(decoder.spec)
    seconds = interleaved(runs, effort, agreement)
    micros = {name: timing.median / calls * 1e6 for name, timing in seconds.items()}
    return {
        "spec": decoder.spec,
        "sizes": dict(decoder.sizes),
        "tokens": calls,
        "microseconds": micros,
        "errors": agreement.errors,
    }


def main() -> None:
    made = parser(__doc__, "decode.json")
    add_timing_options(made)
    options = made.parse_args()
    effort, console, rows = effort_of(options), Console(), []
    about = machine(options.clock)
    with torch.no_grad(), Progress(console=console) as progress:
        for decoder in progress.track(DECODERS, description="decode"):
            rows.append(measured(decoder, 10 if options.quick else CALLS, effort))
    save(options.out, {"machine": about, "quick": options.quick, "rows": rows})
    table = Table("recurrence", "eager", "recc", title="microseconds a token")
    for row in rows:
        table.add_row(row["spec"], *(f"{row['microseconds'][name]:.0f}" for name in ("eager", "recc")))
    console.print(table)


if __name__ == "__main__":
    main()
