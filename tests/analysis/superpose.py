"""Whether an update keeps the combinations of its algebra: what a proof claims, in random numbers."""

from __future__ import annotations

import numpy as np

from recc.passes.analyse import Component, Proof
from tests.analysis.measure import Array, Step, over, with_lets

PLUS = {"(max,+)": np.maximum, "(min,+)": np.minimum, "(logsumexp,+)": np.logaddexp}


def close(found: Array, expected: Array) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-7, atol=1e-9))


def superposes(step: Step, component: Component, proof: Proof, rng: np.random.Generator) -> bool:
    """An affine combination of states goes to the same combination of their updates; a fraction is the update."""
    if proof.fraction is not None:
        return _is_fraction(step, component, proof)
    if proof.riccati is not None:
        return _is_matrix_fraction(step, component, proof, rng)
    x, y = step.draw(component.states, rng), step.draw(component.states, rng)
    of_x, of_y = step(x), step(y)
    middle = step({name: _combined(proof.algebra, x[name], y[name]) for name in x})
    return all(_agree(middle[name], _combined(proof.algebra, of_x[name], of_y[name])) for name in x)


def _agree(found: Array, expected: Array) -> bool:
    """Wherever random coefficients are finite."""
    finite = np.isfinite(expected)
    return close(found[finite], expected[finite])


def _combined(algebra: str, x: Array, y: Array) -> Array:
    """A combination whose coefficients add up to the algebra's one."""
    if algebra == "(+,x)":
        with np.errstate(all="ignore"):
            return np.asarray(2.5 * x - 1.5 * y)
    small = 0.3 if algebra == "(min,+)" else -0.3
    other = np.log1p(-np.exp(small)) if algebra == "(logsumexp,+)" else 0.0
    return np.asarray(PLUS[algebra](small + x, other + y))


def _is_matrix_fraction(step: Step, component: Component, proof: Proof, rng: np.random.Generator) -> bool:
    """A linear-fractional map of matrices takes two that differ in rank one to two that do."""
    (name,) = component.states
    x = step.states[name]
    rows, columns = (np.moveaxis(step.draw((name,), rng)[name], proof.structure.layout.mixed, (-2, -1)) for _ in "uv")
    change = np.moveaxis(rows[..., :, :1] * columns[..., :1, :], (-2, -1), proof.structure.layout.mixed)
    moved = step({name: x + change})[name] - step({name: x})[name]
    values = np.linalg.svd(np.moveaxis(moved, proof.structure.layout.mixed, (-2, -1)), compute_uv=False)
    return bool((values[..., 1:] <= 1e-9 * (1 + values[..., :1])).all())


def _is_fraction(step: Step, component: Component, proof: Proof) -> bool:
    (name,) = component.states
    assert proof.fraction is not None
    var = next(state.var for state in step.recurrence.states if state.name == name)
    env = with_lets(step.recurrence, step)
    a, b, c, d = (over(part, var.axes, env, step.sizes) for part in proof.fraction.parts)
    h = step.states[name]
    with np.errstate(all="ignore"):
        return _agree(step({name: h})[name], np.asarray((a * h + b) / (c * h + d)))
