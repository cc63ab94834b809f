"""A number times the identity, the same along all axes of the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class Scalar(Structure):
    decay: bool = False
    closed: ClassVar[bool] = True
    commuting: ClassVar[bool] = True

    @property
    def text(self) -> str:
        return "scalar decay" if self.decay else "scalar"

    @property
    def composition(self) -> Polynomial:
        return Polynomial.product((), 1)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        return {"factor": ()}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        return self.layout.spread(values["factor"], sizes)

    def compose(self, later: Values, earlier: Values) -> Values:
        return {"factor": later["factor"] * earlier["factor"]}


def recognise(form: Form) -> Scalar | None:
    """Terms that leave every axis in its place, with coefficients that differ along none."""
    layout = form.layout
    if form.states > 1 or not form.kept or form.crossing or layout.scaled or layout.mixed:
        return None
    return Scalar(layout, form.non_negative)
