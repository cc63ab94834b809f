"""A factor for every position along some axes: elementwise decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class Diagonal(Structure):
    decay: bool = False
    closed: ClassVar[bool] = True
    commuting: ClassVar[bool] = True

    @property
    def text(self) -> str:
        return f"diagonal{' decay' if self.decay else ''} over {self.layout.named(self.layout.scaled)}"

    @property
    def composition(self) -> Polynomial:
        return Polynomial.product(self.layout.sizes[place] for place in self.layout.scaled)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        return {"factor": self.layout.shape(self.layout.scaled, sizes)}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        return self.layout.spread(values["factor"], sizes)

    def compose(self, later: Values, earlier: Values) -> Values:
        return {"factor": later["factor"] * earlier["factor"]}


def recognise(form: Form) -> Diagonal | None:
    """Terms that leave every axis in its place, with coefficients that differ along some."""
    if form.states > 1 or not form.kept or form.crossing or form.layout.mixed:
        return None
    return Diagonal(form.layout, form.non_negative)
