"""The identity: a running sum (maximum, minimum, logsumexp) of what each step adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.polynomial import Polynomial

_RUNNING = {"sum": "sum", "max": "maximum", "min": "minimum", "logsumexp": "logsumexp"}


@dataclass(frozen=True)
class Identity(Structure):
    running: str = "sum"
    closed: ClassVar[bool] = True
    commuting: ClassVar[bool] = True

    @property
    def text(self) -> str:
        return f"identity (running {self.running})"

    @property
    def composition(self) -> Polynomial:
        return Polynomial()

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        return {}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        return self.layout.spread(np.ones(()), sizes)

    def compose(self, later: Values, earlier: Values) -> Values:
        return {}


def recognise(form: Form) -> Identity | None:
    """One term, the state as it is."""
    if form.states > 1 or form.terms is None or form.crossing or len(form.kept) != 1 or form.kept[0].factors:
        return None
    return Identity(form.layout, _RUNNING[form.algebra.reduce])
