"""Recurrences that stand in no catalogue, each with its methods and what NumPy computes from the same lines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]
Reference = Callable[[Arrays, Arrays], Arrays]
CASES: dict[str, tuple[str, frozenset[str], Reference]] = {}
BOTH, SEQUENTIAL = frozenset({"sequential", "scan"}), frozenset({"sequential"})
SIZES = {"K": 3, "V": 2, "D": 4, "N": 3, "X": 5, "C": 2, "H": 2, "n": 3, "m": 2}
STEPS = 11


def case(text: str, methods: frozenset[str]) -> Callable[[Reference], Reference]:
    """A recurrence with its methods and a reference: inputs (T, ...) and params to outputs (T, ...)."""

    def add(reference: Reference) -> Reference:
        CASES[reference.__name__] = text, methods, reference
        return reference

    return add


def over_time(steps: list[Arrays]) -> Arrays:
    """The outputs of each step as arrays over time."""
    return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
