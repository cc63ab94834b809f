"""Directional derivatives of a recurrence in three ways: its adjoint, its tangent, and differences of the interpreter.

Everything has one batch dimension; results are one number for each row of the batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from recc.ir.evaluation import Array
from recc.ir.interpreter import Values, run
from recc.ir.nodes import Recurrence
from recc.passes.adjoint import adjoint
from recc.passes.tangent import tangent

STEP = 1e-6
KINK = 1e-3


class Point(NamedTuple):
    """Inputs `(B, T, *features)`, params `(*features)` or `(B, *features)`, states `(B, *features)`; or a direction."""

    inputs: Values
    params: Values
    state: Values


@dataclass(frozen=True)
class Slopes:
    """`smooth` is False where the differences to both sides disagree: there the third has no meaning."""

    adjoint: Array
    tangent: Array
    difference: Array
    smooth: Array


def without_totals(recurrence: Recurrence) -> Recurrence:
    """What can be differentiated again: totals are no outputs."""
    return replace(recurrence, totals=())


def random_like(values: Values, rng: np.random.Generator) -> Values:
    return {name: _normal(value, rng) for name, value in values.items()}


def _normal(value: Array, rng: np.random.Generator) -> Array:
    real = rng.standard_normal(value.shape)
    return real + 1j * rng.standard_normal(value.shape) if np.iscomplexobj(value) else real


def gradient(recurrence: Recurrence, point: Point, d_outputs: Values, d_final: Values) -> Point:
    """The cotangents of a point, by the adjoint; those of params have a batch dimension."""
    entries = _entries(recurrence, point)
    backward = adjoint(recurrence)
    given = [*(point.inputs[var.name] for var in recurrence.inputs), *(entries[n] for n in recurrence.state_names)]
    given += [d_outputs[item.name] for item in recurrence.outputs]
    inputs = {var.name: value[:, ::-1] for var, value in zip(backward.inputs, given, strict=True)}
    params = dict(zip([var.name for var in backward.params], _ordered(recurrence, point.params), strict=True))
    last = {s.name: d_final[name] for s, name in zip(backward.states, recurrence.state_names, strict=True)}
    outputs, first, totals = run(backward, inputs, params, last)
    return Point(
        {v.name: outputs[o.name][:, ::-1] for v, o in zip(recurrence.inputs, backward.outputs, strict=True)},
        {v.name: totals[o.name] for v, o in zip(recurrence.params, backward.totals, strict=True)},
        {n: first[s.name] for n, s in zip(recurrence.state_names, backward.states, strict=True)},
    )


def _ordered(recurrence: Recurrence, params: Values) -> list[Array]:
    return [params[var.name] for var in recurrence.params]


def _entries(recurrence: Recurrence, point: Point) -> Values:
    """The states on entry to each step, `(B, T, *features)`, by single steps."""
    state = point.state
    steps = next(iter(point.inputs.values())).shape[1]
    kept: list[Values] = []
    for t in range(steps):
        kept.append(state)
        _, state, _ = run(recurrence, {n: v[:, t : t + 1] for n, v in point.inputs.items()}, point.params, state)
    return {name: np.stack([entry[name] for entry in kept], axis=1) for name in state}


def push(recurrence: Recurrence, point: Point, direction: Point) -> tuple[Values, Values]:
    """The derivatives of outputs and final states along a direction, by the tangent, under the names of both."""
    forward = tangent(recurrence)
    inputs = [*point.inputs.values(), *(direction.inputs[name] for name in point.inputs)]
    params = [*point.params.values(), *(direction.params[name] for name in point.params)]
    state = [*point.state.values(), *(direction.state[name] for name in point.state)]
    assert [var.name for var in forward.inputs[: len(point.inputs)]] == list(point.inputs)
    outputs, final, _ = run(
        forward,
        dict(zip([var.name for var in forward.inputs], inputs, strict=True)),
        dict(zip([var.name for var in forward.params], params, strict=True)),
        dict(zip(forward.state_names, state, strict=True)),
    )
    moved = forward.state_names[len(recurrence.states) :]
    return (
        {o.name: outputs[d.name] for o, d in zip(recurrence.outputs, forward.outputs, strict=True)},
        {name: final[dot] for name, dot in zip(recurrence.state_names, moved, strict=True)},
    )


def inner(cotangents: Values, values: Values) -> Array:
    """The real inner product in each row."""
    total = np.zeros(())
    for name, cotangent in cotangents.items():
        product = np.real(np.conj(cotangent) * values[name])
        total = total + product.sum(axis=tuple(range(1, product.ndim)))
    return total


def slopes(recurrence: Recurrence, point: Point, rng: np.random.Generator) -> Slopes:
    """All three along one random direction, of a random combination of outputs and final states."""
    outputs, final, _ = run(recurrence, *point)
    d_outputs, d_final = random_like(outputs, rng), random_like(final, rng)
    direction = Point(*(random_like(group, rng) for group in point))
    for group, move in zip(point, direction, strict=True):
        for name, value in group.items():
            move[name] = np.where(value == 0.0, 0.0, move[name])  # a routing weight jumps there
    if "t" in direction.state:
        direction.state["t"][...] = 0.0  # a step number is whole

    def loss(step: float) -> Array:
        moved = [
            {name: value + step * move[name] for name, value in group.items()}
            for group, move in zip(point, direction, strict=True)
        ]
        outputs, final, _ = run(recurrence, *moved)
        return inner(d_outputs, outputs) + inner(d_final, final)

    pulled = gradient(recurrence, point, d_outputs, d_final)
    rows = len(next(iter(point.inputs.values())))
    by_adjoint = np.zeros(rows)
    for found, move in zip(pulled, direction, strict=True):
        by_adjoint = by_adjoint + inner(found, move)
    pushed, pushed_final = push(recurrence, point, direction)
    by_tangent = np.zeros(rows) + inner(d_outputs, pushed) + inner(d_final, pushed_final)
    here, ahead, behind = loss(0.0), loss(STEP), loss(-STEP)
    right, left = (ahead - here) / STEP, (here - behind) / STEP
    smooth = np.abs(right - left) < KINK * (1 + np.abs(right) + np.abs(left))
    return Slopes(by_adjoint, by_tangent, (right + left) / 2, smooth)


def assert_agree(found: Slopes) -> None:
    """The adjoint and the tangent to rounding, both with the differences where there is a derivative."""
    size = 1 + np.abs(found.tangent)
    assert np.all(np.abs(found.adjoint - found.tangent) < 1e-9 * size), (found.adjoint, found.tangent)
    off = np.abs(found.tangent - found.difference)[found.smooth]
    assert np.all(off < 1e-5 * size[found.smooth]), (found.tangent, found.difference)
