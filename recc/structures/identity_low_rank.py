"""The identity plus separable terms: delta rules, Householder reflections. Products of them grow in rank (WY form)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from recc.ir.build import ONE, add, binary, mul, total
from recc.ir.nodes import Axis, Const, Expr
from recc.ir.traverse import substitute
from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form, product
from recc.structures.polynomial import Polynomial
from recc.structures.rank import rank_of


@dataclass(frozen=True)
class IdentityLowRank(Structure):
    rank: Polynomial = field(default_factory=Polynomial)
    closed: ClassVar[bool] = False

    @property
    def text(self) -> str:
        return f"identity + rank {self.rank}"

    @property
    def composition(self) -> Polynomial:
        places = self.layout.scaled + 2 * self.layout.mixed
        return self.rank * Polynomial.product((self.layout.sizes[place] for place in places), 4)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        vectors = (self.rank.at(sizes), *self.layout.shape(self.layout.scaled + self.layout.mixed, sizes))
        return {"rows": vectors, "columns": vectors}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """The identity plus the sum over r of `rows[r, i] * columns[r, j]`."""
        unit = self.layout.spread(_unit(self, sizes), sizes)
        return unit + self.layout.spread(outer_sum(values["rows"], values["columns"], len(self.layout.scaled)), sizes)


def _unit(structure: IdentityLowRank, sizes: dict[str, int]) -> np.ndarray:
    scaled = structure.layout.shape(structure.layout.scaled, sizes)
    mixed = structure.layout.shape(structure.layout.mixed, sizes)
    unit = np.eye(int(np.prod(mixed))).reshape(*mixed, *mixed)
    return np.broadcast_to(unit, (*scaled, *unit.shape))


def outer_sum(rows: np.ndarray, columns: np.ndarray, scaled: int) -> np.ndarray:
    """`(rank, *scaled, *mixed)` twice to `(*scaled, *mixed, *mixed)`."""
    mixed = rows.ndim - 1 - scaled
    left = rows.reshape(*rows.shape, *[1] * mixed)
    right = columns.reshape(*columns.shape[: 1 + scaled], *[1] * mixed, *columns.shape[1 + scaled :])
    return (left * right).sum(0)


def recognise(form: Form) -> IdentityLowRank | None:
    """The state as it is, plus separable terms."""
    if form.states > 1 or form.algebra.reduce != "sum" or len(form.kept) != 1 or form.kept[0].factors:
        return None
    rank = rank_of(form)
    return None if rank is None else IdentityLowRank(form.layout, rank)


def eigenvalue_of(form: Form) -> Expr | None:
    """The eigenvalue apart from one of the identity plus a single separable term, where rows and columns are the same
    vector: `1 - beta * sum(k * k)` of `eye(K) - beta * outer(k, k)`. None for other forms."""
    if len(form.crossing) != 1 or len(form.layout.mixed) != 1:
        return None
    (term,), (place,) = form.crossing, form.layout.mixed
    row, column = form.axes[place], term.index[place]
    if not isinstance(column, Axis) or term.bound != (column,):
        return None
    rows = [factor for factor in term.factors if row in factor.axes]
    columns = [substitute(factor, {column: row}) for factor in term.factors if column in factor.axes]
    others = tuple(factor for factor in term.factors if not {row, column} & set(factor.axes))
    if len(rows) + len(columns) + len(others) != len(term.factors) or Counter(rows) != Counter(columns):
        return None
    found = total(binary("pow", product(tuple(rows), form.algebra), Const(2)), (row,))
    for factor in sorted(others, key=lambda factor: isinstance(factor, Const)):
        found = mul(factor, found)
    return add(ONE, found)
