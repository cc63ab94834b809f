"""Arguments of the recurrences that `cpu.py` measures."""

from __future__ import annotations

import math
from collections.abc import Callable

import cases
import torch
from cases import Arguments, attention, gate
from cpu_plan import FACTORS, Planned, Sizes
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize


def arguments(planned: Planned, seed: int = 0) -> Arguments:
    """Inputs `(B, T, *lanes, *features)` and params, by name; float32, contiguous."""
    return DRAWS[planned.spec](planned.sizes, planned.steps, torch.Generator().manual_seed(seed))


def channels(sizes: Sizes, T: int, rng: torch.Generator) -> Tensor:
    """Standard normal numbers `(B, T, D)`."""
    return torch.randn(sizes["B"], T, sizes["D"], generator=rng)


def mingru(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    return {name: channels(sizes, T, rng) for name in ("z", "x")}


def rg_lru(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    inputs = {name: channels(sizes, T, rng) for name in ("x", "r", "i")}
    return {**inputs, "lam": torch.empty(sizes["D"]).uniform_(-8, -4, generator=rng)}


def mamba(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    B, D, N = sizes["B"], sizes["D"], sizes["N"]
    drawn = {"x": channels(sizes, T, rng), "dt": channels(sizes, T, rng) - 3}
    drawn |= {name: torch.randn(B, T, N, generator=rng) for name in ("B", "C")}
    A_log = torch.arange(1.0, N + 1).log().expand(D, N).contiguous()
    return {**drawn, "A_log": A_log, "skip": torch.randn(D, generator=rng)}


def deltaproduct(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    return {
        "q": attention(sizes, T, rng)["q"],
        "k": normalize(gate(sizes, T, rng, FACTORS, sizes["K"]), dim=-1),
        "v": gate(sizes, T, rng, FACTORS, sizes["V"]),
        "beta": 2 * torch.sigmoid(gate(sizes, T, rng, FACTORS)),
        "g": logsigmoid(gate(sizes, T, rng)) / 4,
    }


def layer(gates: int) -> Callable[[Sizes, int, torch.Generator], Arguments]:
    """Input, and weights as `torch.nn.GRU` and `LSTM` have them."""

    def draw(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
        D = sizes["D"]
        shapes = {"W": (gates * D, D), "U": (gates * D, D), "b_x": (gates * D,), "b_h": (gates * D,)}
        drawn = {name: torch.randn(shape, generator=rng) / math.sqrt(D) for name, shape in shapes.items()}
        return {"x": channels(sizes, T, rng), **drawn}

    return draw


DRAWS: dict[str, Callable[[Sizes, int, torch.Generator], Arguments]] = {
    "gated_deltanet": cases.gated_deltanet,
    "linear_scan": cases.linear_scan,
    "rg_lru": rg_lru,
    "mingru": mingru,
    "mlstm": cases.mlstm,
    "gla": cases.gla,
    "mamba": mamba,
    "deltaproduct": deltaproduct,
    "gru": layer(3),
    "lstm": layer(4),
}
