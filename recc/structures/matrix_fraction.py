"""Linear-fractional maps of matrices, as of the covariance in a Kalman filter: `P -> A (I + P J)^-1 P A' + C`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.base import Shapes, Structure, Values
from recc.structures.polynomial import Polynomial


@dataclass(frozen=True)
class MatrixFraction(Structure):
    """The layout's mixed axes are rows and columns. A step is made of `downdates` of rank one, and of products with
    `matrices` full matrices on both sides."""

    downdates: int = 1
    matrices: int = 0
    closed: ClassVar[bool] = True

    @property
    def text(self) -> str:
        row, column = (self.layout.sizes[place] for place in self.layout.mixed)
        others = self.layout.named(self.layout.scaled)
        return f"Riccati map of {row} x {column} matrices" + (f" for every {others}" if others else "")

    @property
    def composition(self) -> Polynomial:
        row, others = self.layout.sizes[self.layout.mixed[0]], [self.layout.sizes[p] for p in self.layout.scaled]
        dense = Polynomial.product((*others, row, row, row), 4 * self.matrices)
        return dense + Polynomial.product((*others, row, row), 12 * self.downdates)

    def shapes(self, sizes: dict[str, int]) -> Shapes:
        shape = self.layout.shape(self.layout.scaled, sizes) + self.layout.shape(self.layout.mixed, sizes)
        return dict.fromkeys(("A", "C", "J"), shape)

    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """The linear map of `(X, Y)` with `P = X Y^-1`, as `(*scaled, 2, D, 2, D)`."""
        A, C, J = (values[name] for name in "ACJ")
        back = np.linalg.inv(A.swapaxes(-1, -2))
        return np.stack([np.stack([A + C @ back @ J, C @ back], -2), np.stack([back @ J, back], -2)], -4)

    def compose(self, later: Values, earlier: Values) -> Values:
        """Two stretches as one, for symmetric `C` and `J` (Särkkä, García-Fernández 2021)."""
        between = np.linalg.inv(np.eye(later["A"].shape[-1]) + earlier["C"] @ later["J"])
        through = later["A"] @ between
        A = through @ earlier["A"]
        C = through @ earlier["C"] @ later["A"].swapaxes(-1, -2) + later["C"]
        seen = later["J"] @ between
        return {"A": A, "C": C, "J": earlier["A"].swapaxes(-1, -2) @ seen @ earlier["A"] + earlier["J"]}
