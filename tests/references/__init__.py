"""Independent references: every recurrence of `specs/`, written as plain loops from its paper.

A module `NAME.py` has `CONSTANTS`, `SHAPES` (ports of inputs, params, states and outputs), `start(params, sizes)` and
`reference(inputs, params, state) -> (outputs, final_state)` for one sequence and one lane: inputs and outputs are
`(T, *features)`, params and states `(*features)`, in float64 or complex128.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from .ports import Arrays, draw

OTHER = {"__init__", "functions", "layers", "ports"}
NAMES = tuple(path.stem for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem not in OTHER)

# One of every kind: these are tested in every respect, every time. The others' finer points are slow tests.
CORE = frozenset({
    "linear_scan", "ema", "mingru", "minlstm", "rg_lru", "hgrn", "mamba", "lru", "linear_attention", "retnet", "gla",
    "mamba2", "mlstm", "deltanet", "gated_deltanet", "deltaproduct", "delta_by_objective", "aaren", "gru", "lstm",
    "slstm",
})  # fmt: skip


def load(name: str) -> ModuleType:
    """The reference module of one recurrence. ModuleNotFoundError if there is none."""
    return importlib.import_module(f"{__name__}.{name}")


def random_case(name: str, T: int, sizes: Mapping[str, int], rng: np.random.Generator) -> tuple[Arrays, Arrays]:
    """Inputs `(T, *features)` and params `(*features)`, random within the ranges that the recurrence declares.

    `sizes` gives the symbolic axes, and may replace a constant that is an axis. KeyError if one is missing.
    """
    module = load(name)
    every = {**module.CONSTANTS, **sizes}
    return draw(module.SHAPES["inputs"], every, (T,), rng), draw(module.SHAPES["params"], every, (), rng)
