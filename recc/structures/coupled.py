"""States of which some cross their axes, coupled to each other: one dense matrix between all their elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form, Layout
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class Coupled(Structure):
    layouts: tuple[Layout, ...] = ()
    closed: ClassVar[bool] = True

    @property
    def text(self) -> str:
        mixed = dict.fromkeys(str(layout.sizes[place]) for layout in self.layouts for place in layout.mixed)
        scaled = f"block-diagonal over {self.layout.named(self.layout.scaled)}, " if self.layout.scaled else ""
        return f"{scaled}dense over {', '.join(mixed)} and {len(self.layouts)} states"

    @property
    def composition(self) -> Polynomial:
        places = [Polynomial.product(layout.sizes[place] for place in layout.mixed) for layout in self.layouts]
        rows = sum(places, Polynomial())
        scaled = Polynomial.product((self.layout.sizes[place] for place in self.layout.scaled), 2)
        return scaled * rows * rows * rows

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        rows = sum(int(np.prod(layout.shape(layout.mixed, sizes))) for layout in self.layouts)
        return {"matrix": (*self.layout.shape(self.layout.scaled, sizes), rows, rows)}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """`(*scaled, rows, rows)`: the mixed axes of all states, one state after the other."""
        return values["matrix"]

    def compose(self, later: Values, earlier: Values) -> Values:
        return {"matrix": later["matrix"] @ earlier["matrix"]}


def recognise(form: Form) -> Coupled | None:
    """Several states, with axes that are crossed."""
    return Coupled(form.layout, form.layouts) if form.states > 1 and form.layout.mixed else None
