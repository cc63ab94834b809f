"""A matrix along some axes, one for every position of the others: the family that holds every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class Dense(Structure):
    closed: ClassVar[bool] = True

    @property
    def text(self) -> str:
        scaled = f"block-diagonal over {self.layout.named(self.layout.scaled)}, " if self.layout.scaled else ""
        return f"{scaled}dense over {self.layout.named(self.layout.mixed)}"

    @property
    def composition(self) -> Polynomial:
        places = self.layout.scaled + 3 * self.layout.mixed
        return Polynomial.product((self.layout.sizes[place] for place in places), 2)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        mixed = self.layout.shape(self.layout.mixed, sizes)
        return {"matrix": (*self.layout.shape(self.layout.scaled, sizes), *mixed, *mixed)}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        return self.layout.spread(values["matrix"], sizes)

    def compose(self, later: Values, earlier: Values) -> Values:
        count = len(self.layout.mixed)
        shape = later["matrix"].shape
        lead = shape[: len(shape) - 2 * count]
        flat = (*lead, int(np.prod(shape[len(lead) : len(lead) + count])), -1)
        return {"matrix": (later["matrix"].reshape(flat) @ earlier["matrix"].reshape(flat)).reshape(shape)}


def recognise(form: Form) -> Dense | None:
    """Anything linear in one state."""
    return Dense(form.layout) if form.states == 1 else None
