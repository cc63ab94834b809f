"""Coupled states of one shape: a small matrix between them at every position, plus separable terms (momentum)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.form import Form
from recc.structures.identity_low_rank import outer_sum
from recc.structures.polynomial import Polynomial
from recc.structures.rank import separated


@dataclass(frozen=True)
class BlockLowRank(Structure):
    states: int = 2
    rank: Polynomial = field(default_factory=Polynomial)
    along: tuple[int, ...] = ()
    closed: ClassVar[bool] = False

    @property
    def text(self) -> str:
        blocks = f"{self.states}x{self.states} block"
        where = f"s over {self.layout.named(self.along)}" if self.along else ""
        return f"{blocks}{where} + rank {self.rank}"

    @property
    def composition(self) -> Polynomial:
        places = self.layout.scaled + 2 * self.layout.mixed
        square = Polynomial.product(self.layout.sizes[place] for place in places)
        low_rank = self.rank * square * Polynomial.product((), 4 * self.states**2)
        return square * Polynomial.product((), 2 * self.states**3) + low_rank

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        places = self.layout.scaled + self.layout.mixed
        whole = self.layout.shape(places, sizes)
        kept = tuple(n if place in self.along else 1 for place, n in zip(places, whole, strict=True))
        vectors = (self.rank.at(sizes), self.states, *whole)
        return {"block": (self.states, self.states, *kept), "rows": vectors, "columns": vectors}

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """`(states, *state, states, *state)`: blocks plus the sum over r of `rows[r, s, i] * columns[r, u, j]`."""
        scaled = len(self.layout.scaled)
        whole = values["rows"].shape[2:]
        unit = np.eye(int(np.prod(whole[scaled:]))).reshape(*whole[scaled:], *whole[scaled:])
        parts = []
        for target in range(self.states):
            row = []
            for source in range(self.states):
                kept = np.broadcast_to(values["block"][target, source], whole)
                core = kept.reshape(*whole, *[1] * (len(whole) - scaled)) * unit
                core = core + outer_sum(values["rows"][:, target], values["columns"][:, source], scaled)
                row.append(self.layout.spread(core, sizes))
            parts.append(np.stack(row))
        return np.moveaxis(np.stack(parts), 1, 1 + len(self.layout.sizes))


def recognise(form: Form) -> BlockLowRank | None:
    """Several states of the same layout, of which every crossing term is separable."""
    if form.states < 2 or form.algebra.reduce != "sum" or set(form.layouts) != {form.layout} or not form.coupled:
        return None
    along: set[int] = set()
    rows, columns = set(), set()
    for target, terms in form.coupled:
        for term in terms:
            if term.index == form.axes and not term.bound:
                along |= {p for p, axis in enumerate(form.axes) for f in term.factors if axis in f.axes}
                continue
            parts = separated(form, term)
            if parts is None:
                return None
            rows.add((target, parts[0], parts[2]))
            columns.add((term.source, parts[1], parts[2]))
    fewest = min(rows, columns, key=len)
    rank = sum((Polynomial.product(sizes) for _, _, sizes in sorted(fewest, key=str)), Polynomial())
    return BlockLowRank(form.layout, form.states, rank, tuple(sorted(along)))
