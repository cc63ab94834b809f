"""Numbers times the identity plus numbers times one constant matrix: all steps commute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.ir.nodes import Axis, Expr
from recc.ir.traverse import canonical, names, substitute
from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form, Term
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class Pencil(Structure):
    closed: ClassVar[bool] = False
    commuting: ClassVar[bool] = True

    @property
    def text(self) -> str:
        scaled = f"block-diagonal over {self.layout.named(self.layout.scaled)}, " if self.layout.scaled else ""
        return f"{scaled}scaled identity + scaled constant matrix over {self.layout.named(self.layout.mixed)}"

    @property
    def composition(self) -> Polynomial:
        places = self.layout.scaled + 3 * self.layout.mixed
        return Polynomial.product((self.layout.sizes[place] for place in places), 2)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        scaled = self.layout.shape(self.layout.scaled, sizes)
        mixed = self.layout.shape(self.layout.mixed, sizes)
        return {"scale": (), "weight": (), "matrix": (*scaled, *mixed, *mixed)}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """`scale` times the identity plus `weight` times `matrix`."""
        mixed = self.layout.shape(self.layout.mixed, sizes)
        unit = np.eye(int(np.prod(mixed))).reshape(*mixed, *mixed)
        return self.layout.spread(values["scale"] * unit + values["weight"] * values["matrix"], sizes)


def recognise(form: Form) -> Pencil | None:
    """Crossing terms with one matrix that is the same at every step, every other factor a number."""
    if form.states > 1 or form.algebra.reduce != "sum" or not form.crossing:
        return None
    if any(factor.axes for term in form.kept for factor in term.factors):
        return None
    if not any(names(factor) & form.varying for term in form.terms or () for factor in term.factors):
        return None
    matrices = {_matrix(form, term) for term in form.crossing}
    return Pencil(form.layout) if len(matrices) == 1 and None not in matrices else None


def _matrix(form: Form, term: Term) -> tuple[object, ...] | None:
    """The factors of a term that make up its matrix, with bound axes named by place; None if one of them varies."""
    factors = [factor for factor in term.factors if factor.axes]
    if any(names(factor) & form.varying for factor in factors):
        return None
    places: dict[Axis, Axis | int] = {}
    for place, axis in enumerate(term.index):
        if isinstance(axis, Axis) and axis in term.bound:
            places[axis] = Axis(axis.size, f"column {place}")
    inner = [axis for axis in term.bound if axis not in places]
    places |= {axis: Axis(axis.size, f"inner {place}") for place, axis in enumerate(inner)}
    index = tuple(places.get(axis, axis) if isinstance(axis, Axis) else axis for axis in term.index)
    found: list[Expr] = [canonical(substitute(factor, places)) for factor in factors]
    return (frozenset(found), len(found), index)
