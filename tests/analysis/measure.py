"""Recurrences for the tests of the analysis, and what their updates do to random numbers."""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recc.frontend.parse import parse_text
from recc.frontend.resolve import resolve
from recc.ir.evaluation import Evaluation
from recc.ir.interpreter import step
from recc.ir.nodes import Axis, Expr, Recurrence
from recc.passes.analyse import Analysis, Proof, Refusal, analyse
from tests.ir.random_programs import SIZES, random_values

Array = NDArray[Any]


def spec(text: str, **constants: int | float) -> Recurrence:
    """The recurrence of some lines without a header; its first state is put out."""
    states = re.findall(r"^state +(\w+)", text, re.MULTILINE)
    text = "recurrence r:\n" + indent(f"{text}\noutput out = {states[0]}\n", "    ")
    file = parse_text(text)
    return resolve(file.recurrences[0], file, constants)


def verdict(text: str, state: str | None = None) -> Proof | Refusal:
    """What the analysis says of the component that holds a state, by default the last one."""
    components = analyse(spec(text)).components
    return next(c for c in reversed(components) if state is None or state in c.states).verdict


def proof(text: str, state: str | None = None) -> Proof:
    found = verdict(text, state)
    assert isinstance(found, Proof), found
    return found


def refusal(text: str, state: str | None = None) -> Refusal:
    found = verdict(text, state)
    assert isinstance(found, Refusal), found
    return found


class Step:
    """One step of a recurrence with random inputs and params: a function of the states of one component."""

    def __init__(self, recurrence: Recurrence, rng: np.random.Generator, sizes: dict[str, int] | None = None) -> None:
        self.recurrence = recurrence
        self.sizes: dict[Any, int] = {**SIZES, **(sizes or {}), **dict(recurrence.sizes)}
        inputs, params, self.states = random_values(recurrence, rng, 1, (), self.sizes)
        self.env: dict[str, Array] = {**params, **{name: value[0] for name, value in inputs.items()}}

    def __call__(self, carried: dict[str, Array]) -> dict[str, Array]:
        """The updated values of the given states; all others are as they were drawn."""
        _, new, _ = step(self.recurrence, {**self.env, **self.states, **carried}, self.sizes, 0)
        return {name: new[name] for name in carried}

    def draw(self, names: tuple[str, ...], rng: np.random.Generator) -> dict[str, Array]:
        """Other values of some states."""
        _, _, state = random_values(self.recurrence, rng, 1, (), self.sizes)
        return {name: np.asarray(state[name]) for name in names}

    def jacobian(self, target: str, source: str, names: tuple[str, ...]) -> Array:
        """The linear map `(*target, *source)` of an affine update, by its columns."""
        zero = {name: np.zeros_like(self.states[name]) for name in names}
        rest = self(zero)[target]
        shape = zero[source].shape
        columns = []
        for place in np.ndindex(shape):
            unit = zero[source].copy()
            unit[place] = 1
            columns.append(self({**zero, source: unit})[target] - rest)
        return np.stack(columns, -1).reshape((*np.shape(rest), *shape))


def with_lets(recurrence: Recurrence, step: Step) -> dict[str, Array]:
    """Everything that a step defines, by name."""
    env = {**step.env, **step.states}
    for let in recurrence.lets:
        env[let.name] = over(let.expr, let.axes, env, step.sizes)
    return env


def over(expr: Expr, axes: tuple[Axis, ...], env: dict[str, Array], sizes: dict[Any, int]) -> Array:
    """An expression's value over some axes, in their order."""
    with np.errstate(all="ignore"):
        return Evaluation(env, sizes, 0).over(expr, axes)


def levels(analysis: Analysis) -> list[list[tuple[str, ...]]]:
    return [[component.states for component in level] for level in analysis.levels]
