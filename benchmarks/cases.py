"""Which recurrences are measured, at which sizes, and on what."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

STEPS = 4096
READOUT = 64  # outputs of lru, whatever its state's size, so that its time is not that of a large product
Sizes = Mapping[str, int]
Arguments = dict[str, Tensor]

# From a small size, where a loop's time is that of its calls, to one where the memory rules.
MATRICES: tuple[Sizes, ...] = (
    {"B": 1, "H": 1, "K": 16, "V": 16},
    {"B": 1, "H": 4, "K": 16, "V": 16},
    {"B": 1, "H": 4, "K": 32, "V": 32},
    {"B": 1, "H": 8, "K": 64, "V": 64},
)
VECTORS: tuple[Sizes, ...] = ({"B": 1, "D": 64}, {"B": 1, "D": 512}, {"B": 8, "D": 512})


@dataclass(frozen=True)
class Case:
    """One recurrence of `specs/` at one size."""

    spec: str
    sizes: Sizes
    steps: int = STEPS

    @property
    def title(self) -> str:
        """The shape of a batch's state, as `B x H x K x V`."""
        return " x ".join(str(size) for size in self.sizes.values())

    @property
    def state(self) -> int:
        """Elements of the state in the whole batch."""
        return math.prod(self.sizes.values())

    def arguments(self, seed: int = 0) -> Arguments:
        """Inputs `(B, T, *lanes, *features)` and params, by name; float32 or complex64, contiguous."""
        return DRAWS[self.spec](self.sizes, self.steps, torch.Generator().manual_seed(seed))


def linear_scan(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    shape = (sizes["B"], T, sizes["D"])
    return {"a": torch.rand(shape, generator=rng), "x": torch.randn(shape, generator=rng)}


def lru(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    B, D = sizes["B"], sizes["D"]
    return {
        "u": torch.randn(B, T, D, dtype=torch.complex64, generator=rng),
        "nu": torch.empty(D).uniform_(-5, -1, generator=rng),
        "theta": torch.empty(D).uniform_(-3, 1, generator=rng),
        "C": torch.randn(READOUT, D, dtype=torch.complex64, generator=rng) / math.sqrt(D),
    }


def attention(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    lead = (sizes["B"], T, sizes["H"])
    scale = sizes["K"] ** -0.5
    return {
        "q": torch.randn(*lead, sizes["K"], generator=rng) * scale,
        "k": torch.randn(*lead, sizes["K"], generator=rng) * scale,
        "v": torch.randn(*lead, sizes["V"], generator=rng),
    }


def gate(sizes: Sizes, T: int, rng: torch.Generator, *features: int) -> Tensor:
    """Standard normal numbers `(B, T, H, *features)`."""
    return torch.randn(sizes["B"], T, sizes["H"], *features, generator=rng)


def gla(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    decay = torch.nn.functional.logsigmoid(gate(sizes, T, rng, sizes["K"])) / 16
    return {**attention(sizes, T, rng), "gk": decay}


def mamba2(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    drawn, H = attention(sizes, T, rng), sizes["H"]
    drawn = {"x": drawn["v"], "dt": gate(sizes, T, rng) - 3, "B": drawn["k"], "C": drawn["q"]}
    return {**drawn, "A_log": torch.randn(H, generator=rng), "D": torch.randn(H, generator=rng)}


def mlstm(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    return {**attention(sizes, T, rng), "i": gate(sizes, T, rng), "f": gate(sizes, T, rng) + 3}


def deltanet(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    drawn = attention(sizes, T, rng)
    return {**drawn, "k": normalize(drawn["k"], dim=-1), "beta": torch.sigmoid(gate(sizes, T, rng))}


def gated_deltanet(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    drawn = deltanet(sizes, T, rng)
    beta = drawn.pop("beta")
    return {**drawn, "g": torch.nn.functional.logsigmoid(gate(sizes, T, rng)) / 4, "beta": beta}


def gru(sizes: Sizes, T: int, rng: torch.Generator) -> Arguments:
    B, D = sizes["B"], sizes["D"]
    inputs = {name: torch.randn(B, T, D, generator=rng) for name in ("x_r", "x_z", "x_n")}
    weights = {name: torch.randn(D, D, generator=rng) / math.sqrt(D) for name in ("U_r", "U_z", "U_n")}
    return {**inputs, **weights, "b_n": torch.randn(D, generator=rng)}


DRAWS: dict[str, Callable[[Sizes, int, torch.Generator], Arguments]] = {
    "linear_scan": linear_scan,
    "gla": gla,
    "mamba2": mamba2,
    "lru": lru,
    "mlstm": mlstm,
    "deltanet": deltanet,
    "gated_deltanet": gated_deltanet,
    "gru": gru,
}


def scan_cases(quick: bool) -> list[Case]:
    """What `scan.py` measures: seven recurrences at a few sizes; with `quick` at tiny ones."""
    names = [name for name in DRAWS if name != "gru"]
    if quick:
        return [
            Case(name, {"B": 1, "D": 4} if is_vector(name) else {"B": 1, "H": 2, "K": 4, "V": 4}, 96) for name in names
        ]
    return [Case(name, sizes) for name in names for sizes in (VECTORS if is_vector(name) else MATRICES)]


def is_vector(name: str) -> bool:
    """Whether the state is a vector, without heads."""
    return name in ("linear_scan", "lru", "gru")
