"""Coupled states that share all their axes: at every position a small dense matrix between the states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class Block(Structure):
    states: int = 2
    closed: ClassVar[bool] = True

    @property
    def text(self) -> str:
        where = self.layout.named(self.layout.scaled)
        blocks = f"{self.states}x{self.states} block"
        return f"{blocks}s over {where}" if where else blocks

    @property
    def composition(self) -> Polynomial:
        return Polynomial.product((self.layout.sizes[place] for place in self.layout.scaled), 2 * self.states**3)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        return {"block": (self.states, self.states, *self.layout.shape(self.layout.scaled, sizes))}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """`(states, *state, states, *state)`."""
        rows = [np.stack([self.layout.spread(part, sizes) for part in row]) for row in values["block"]]
        return np.moveaxis(np.stack(rows), 1, 1 + len(self.layout.sizes))

    def compose(self, later: Values, earlier: Values) -> Values:
        return {"block": np.einsum("ij...,jk...->ik...", later["block"], earlier["block"])}


def recognise(form: Form) -> Block | None:
    """Several states, no axis of which is crossed."""
    return Block(form.layout, form.states) if form.states > 1 and not form.layout.mixed else None
