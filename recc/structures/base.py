"""What every structure of a transition has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recc.structures.form import Layout
from recc.structures.polynomial import Polynomial

Values = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Structure(ABC):
    """A family of linear maps from a state to itself, with a layout of the state's axes.

    `closed`: the product of two members is one again, with as many values, so a scan costs no more than its steps.
    `commuting`: the members that one recurrence has at different steps commute."""

    layout: Layout
    closed: ClassVar[bool]
    commuting: ClassVar[bool] = False

    @property
    @abstractmethod
    def text(self) -> str:
        """The family's name, as explanations write it."""

    @property
    @abstractmethod
    def composition(self) -> Polynomial:
        """Operations to append one step to the product of the steps before, in the layout's sizes."""

    @abstractmethod
    def shapes(self, sizes: dict[str, int]) -> Shapes:
        """The values that pick a member of the family."""

    @abstractmethod
    def dense(self, values: Values, sizes: dict[str, int]) -> np.ndarray:
        """The map that the values mean, `(*state, *state)`, in (+,x)."""
