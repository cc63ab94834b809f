"""One constant matrix with a diagonal before or after it: transition probabilities weighted by what is observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.ir.nodes import Axis
from recc.ir.traverse import names
from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class ScaledMatrix(Structure):
    before: bool = False
    after: bool = False
    closed: ClassVar[bool] = False

    @property
    def text(self) -> str:
        where = self.layout.named(self.layout.mixed)
        scaled = f"block-diagonal over {self.layout.named(self.layout.scaled)}, " if self.layout.scaled else ""
        parts = ["diagonal"] * self.before + ["constant matrix"] + ["diagonal"] * self.after
        return f"{scaled}{' x '.join(f'{part} over {where}' for part in parts)}"

    @property
    def composition(self) -> Polynomial:
        places = self.layout.scaled + 3 * self.layout.mixed
        return Polynomial.product((self.layout.sizes[place] for place in places), 2)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        scaled = self.layout.shape(self.layout.scaled, sizes)
        mixed = self.layout.shape(self.layout.mixed, sizes)
        sides = {"before": (*scaled, *mixed)} if self.before else {}
        return sides | ({"after": (*scaled, *mixed)} if self.after else {}) | {"matrix": (*scaled, *mixed, *mixed)}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """`after[i] * matrix[i, j] * before[j]`, what is not there being one."""
        count = len(self.layout.mixed)
        matrix = values["matrix"]
        if self.after:
            matrix = matrix * values["after"].reshape(*values["after"].shape, *[1] * count)
        if self.before:
            lead = values["before"].shape[: values["before"].ndim - count]
            matrix = matrix * values["before"].reshape(*lead, *[1] * count, *values["before"].shape[len(lead) :])
        return self.layout.spread(matrix, sizes)


def recognise(form: Form) -> ScaledMatrix | None:
    """A single crossing term: factors over rows and columns at once are constant, some factor over one of them not."""
    if form.states > 1 or form.kept or len(form.crossing) != 1:
        return None
    (term,) = form.crossing
    rows = {axis for place, axis in enumerate(form.axes) if place in form.layout.mixed}
    columns = {axis for axis in term.index if isinstance(axis, Axis) and axis in term.bound}
    summed = set(term.bound) - columns
    before = after = matrix = False
    for factor in term.factors:
        row, column = bool(rows & set(factor.axes)), bool(columns & set(factor.axes))
        if summed & set(factor.axes):
            return None
        if not names(factor) & form.varying:
            matrix |= row and column
        elif row and column:
            return None
        else:
            before, after = before or column, after or not column
    return ScaledMatrix(form.layout, before, after) if matrix and (before or after) else None
