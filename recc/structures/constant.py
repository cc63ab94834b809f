"""The zero transition: what a state holds does not depend on what it held (a lag, a reset at every step)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class Constant(Structure):
    closed: ClassVar[bool] = True
    commuting: ClassVar[bool] = True

    @property
    def text(self) -> str:
        return "constant (does not read its previous value)"

    @property
    def composition(self) -> Polynomial:
        return Polynomial()

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        return {}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        return self.layout.spread(np.zeros(()), sizes)

    def compose(self, later: Values, earlier: Values) -> Values:
        return {}


def recognise(form: Form) -> Constant | None:
    """No terms at all."""
    return Constant(form.layout) if form.terms == () and form.states == 1 else None
