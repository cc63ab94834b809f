"""What `cpu.py` measures: recurrences, sizes, and the figures that should be reached. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

Sizes = Mapping[str, int]
MATRIX: Sizes = {"B": 1, "H": 8, "K": 64, "V": 64}
VECTOR: Sizes = {"B": 8, "D": 512}
STATE_SPACE: Sizes = {"B": 1, "D": 512, "N": 16}
TINY = {"B": 2, "H": 2, "K": 4, "V": 4, "D": 4, "N": 2}
TINY_STEPS = 80
FACTORS = 2  # of deltaproduct: delta rules a token
BACKWARD_AIM = 2.5  # the backward pass of elementwise recurrences should take at most so many forward passes
ADD_AIM = 1.5  # linear_scan should take at most so many times what `torch.add` takes for as many bytes
STEP_AIM = 25.0  # microseconds for one token
BUILD_AIMS = {"compile": 1.0, "first": 1.0, "again": 0.05}  # seconds


@dataclass(frozen=True)
class Planned:
    """One recurrence of `specs/` at one size; `forward` and `training` say how many times faster than the best
    of torch and JAX it should be. `gru` and `lstm` are whole layers, with the product of inputs and weights."""

    spec: str
    sizes: Sizes
    steps: int = 4096
    forward: float = 5
    training: float = 5

    def elements(self) -> int:
        """Elements of the state in the whole batch."""
        return math.prod(self.sizes.values())

    def flops(self) -> int | None:
        """Additions and multiplications of a forward pass; None where they are not what takes the time.

        Of a matrix state the update and the reading are counted, of a layer its two matrix products."""
        count = FLOPS.get(self.spec)
        return None if count is None else count(self) * self.steps


def of_layer(gates: int) -> Callable[[Planned], int]:
    return lambda planned: 2 * 2 * gates * planned.sizes["D"] * planned.elements()


FLOPS: dict[str, Callable[[Planned], int]] = {
    "gated_deltanet": lambda planned: 7 * planned.elements(),  # decay 1, `k @ S` 2, update 2, `q @ S` 2
    "deltaproduct": lambda planned: (3 + 4 * FACTORS) * planned.elements(),
    "gla": lambda planned: 5 * planned.elements(),
    "mlstm": lambda planned: 5 * planned.elements(),
    "gru": of_layer(3),
    "lstm": of_layer(4),
}
PLAN = (
    Planned("gated_deltanet", MATRIX, forward=6),
    Planned("linear_scan", VECTOR, forward=4, training=4),
    Planned("rg_lru", VECTOR, forward=4, training=4),
    Planned("mingru", VECTOR, forward=4, training=4),
    Planned("mlstm", MATRIX),
    Planned("gla", MATRIX),
    Planned("mamba", STATE_SPACE),
    Planned("deltaproduct", MATRIX),
    Planned("gru", VECTOR, 512, forward=1.5, training=1),
    Planned("lstm", VECTOR, 512, forward=1.5, training=1),
)
LAYERS = ("gru", "lstm")
ELEMENTWISE = ("linear_scan", "rg_lru", "mingru")
STEP_SIZES: Sizes = MATRIX
STEP_SPEC = MEMORY_SPEC = "gated_deltanet"
BUILT = ("linear_scan", "gated_deltanet", "mlstm", "gru")
MEMORY_SIZES: Sizes = {"B": 1, "H": 2, "K": 32, "V": 32}
MEMORY_COMPETITORS = ("eager", "chunkwise", "recc")
MEMORY_STEPS = tuple(2**power for power in (10, 12, 14, 16))
TINY_MEMORY_STEPS = (128, 256)


def planned(spec: str, quick: bool) -> Planned:
    """The plan for a recurrence, at a tiny size with `quick`. ValueError for a name that is not in it."""
    found = next((known for known in PLAN if known.spec == spec), None)
    if found is None:
        raise ValueError(f"no case is called {spec}; there are {', '.join(known.spec for known in PLAN)}")
    small = {name: min(size, TINY[name]) for name, size in found.sizes.items()}
    return replace(found, sizes=small, steps=TINY_STEPS) if quick else found
