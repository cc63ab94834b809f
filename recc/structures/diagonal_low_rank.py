"""A diagonal plus separable terms (DPLR), and the special case of a scalar instead of the diagonal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.identity_low_rank import outer_sum
from recc.structures.polynomial import Polynomial
from recc.structures.rank import rank_of


@dataclass(frozen=True)
class DiagonalLowRank(Structure):
    rank: Polynomial = field(default_factory=Polynomial)
    along: tuple[int, ...] = ()
    closed: ClassVar[bool] = False

    @property
    def text(self) -> str:
        return f"{'diagonal' if self.along else 'scalar'} + rank {self.rank}"

    @property
    def composition(self) -> Polynomial:
        places = self.layout.scaled + 2 * self.layout.mixed
        square = Polynomial.product(self.layout.sizes[place] for place in places)
        return square + self.rank * square * Polynomial.product((), 4)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        whole = self.layout.shape(self.layout.scaled + self.layout.mixed, sizes)
        diagonal = tuple(
            length if place in self.along else 1
            for place, length in zip(self.layout.scaled + self.layout.mixed, whole, strict=True)
        )
        vectors = (self.rank.at(sizes), *whole)
        return {"diagonal": diagonal, "rows": vectors, "columns": vectors}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """The diagonal plus the sum over r of `rows[r, i] * columns[r, j]`."""
        scaled = len(self.layout.scaled)
        whole = np.broadcast_to(values["diagonal"], values["rows"].shape[1:])
        mixed = whole.shape[scaled:]
        core = whole.reshape(*whole.shape, *[1] * len(mixed)) * np.eye(int(np.prod(mixed))).reshape(*mixed, *mixed)
        return self.layout.spread(core + outer_sum(values["rows"], values["columns"], scaled), sizes)


def recognise(form: Form) -> DiagonalLowRank | None:
    """The state times coefficients, plus separable terms."""
    if form.states > 1 or form.algebra.reduce != "sum" or form.coefficient is None:
        return None
    rank = rank_of(form)
    if rank is None:
        return None
    along = tuple(place for place, axis in enumerate(form.axes) if axis in form.coefficient.axes)
    return DiagonalLowRank(form.layout, rank, along)
