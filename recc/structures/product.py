"""A product of transitions of other families, applied one after the other within a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.diagonal_low_rank import DiagonalLowRank
from recc.structures.form import Layout
from recc.structures.identity import Identity
from recc.structures.identity_low_rank import IdentityLowRank
from recc.structures.polynomial import Polynomial
from recc.structures.scalar import Scalar


@dataclass(frozen=True)
class Product(Structure):
    """`factors` in the order in which they are applied."""

    factors: tuple[Structure, ...] = ()
    closed: ClassVar[bool] = False

    @property
    def text(self) -> str:
        texts = ((self._factor_text(factor), factor.layout.mixed) for factor in self.factors)
        return " x ".join(_repeated(text, len(list(group))) for (text, _), group in groupby(texts))

    def _factor_text(self, factor: Structure) -> str:
        """A factor's name, with the axes that it mixes where other factors mix other ones."""
        places = {other.layout.mixed for other in self.factors} - {()}
        if len(places) > 1 and isinstance(factor, (IdentityLowRank, DiagonalLowRank)):
            return f"{factor.text} over {factor.layout.named(factor.layout.mixed)}"
        return factor.text

    @property
    def composition(self) -> Polynomial:
        return sum((factor.composition for factor in self.factors), Polynomial())

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        return {
            f"{place} {name}": shape
            for place, factor in enumerate(self.factors)
            for name, shape in factor.shapes(sizes).items()
        }

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """The product of the factors' maps, the last one outermost."""
        rank = len(self.layout.sizes)
        total = Identity(Layout(self.layout.sizes)).dense({}, sizes)
        for place, factor in enumerate(self.factors):
            own = {name: values[f"{place} {name}"] for name in factor.shapes(sizes)}
            total = np.tensordot(factor.dense(own, sizes), total, axes=rank)
        return total


def multiplied(layout: Layout, factors: Sequence[Structure]) -> Structure:
    """The product of stages: identities vanish, scalars, which commute with everything, become one and come first."""
    scalars = [factor for factor in factors if isinstance(factor, Scalar)]
    others = [factor for factor in factors if not isinstance(factor, (Scalar, Identity))]
    merged = [Scalar(scalars[0].layout, all(factor.decay for factor in scalars))] if scalars else []
    remaining = [*merged, *others] or list(factors[:1])
    return remaining[0] if len(remaining) == 1 else Product(layout, tuple(remaining))


def _repeated(text: str, count: int) -> str:
    whole = f"({text})" if " + " in text else text
    return whole if count == 1 else f"product of {count} {whole}"
