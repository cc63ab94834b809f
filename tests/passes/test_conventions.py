"""Where a derivative is a convention: ties, zeros, infinities, and the side of a choice that is not taken."""

from __future__ import annotations

import numpy as np
import pytest

from recc.compiler import front
from recc.ir.evaluation import Array
from recc.ir.interpreter import run
from recc.ir.nodes import Recurrence
from recc.passes.adjoint import adjoint
from recc.passes.tangent import tangent
from tests.passes.rules import NOT_TAKEN, RULES, spec_of
from tests.passes.slopes import Point, gradient, push, without_totals


def of_rule(name: str) -> tuple[Recurrence, Point]:
    _, x, y, _ = RULES[name]
    recurrence = front(spec_of(name)).recurrences[0]
    return recurrence, Point({"x": np.array([[x]]), "y": np.array([[y]])}, {}, {"s": np.zeros(1)})


def gradient_of_sum(recurrence: Recurrence, point: Point) -> Array:
    """For the output `z` alone."""
    outputs, final, _ = run(recurrence, *point)
    cotangents = {name: np.full_like(value, float(name == "z")) for name, value in outputs.items()}
    return gradient(recurrence, point, cotangents, {name: 0 * value for name, value in final.items()}).inputs["x"][0, 0]


@pytest.mark.parametrize("name", RULES)
def test_adjoint(name: str) -> None:
    np.testing.assert_allclose(gradient_of_sum(*of_rule(name)), RULES[name][3], rtol=1e-14)


@pytest.mark.parametrize("name", RULES)
def test_tangent(name: str) -> None:
    recurrence, point = of_rule(name)
    found = []
    for place in range(3):
        direction = Point(*({n: np.zeros_like(v) for n, v in group.items()} for group in point))
        direction.inputs["x"][..., place] = 1.0
        found.append(push(recurrence, point, direction)[0]["z"].sum())
    np.testing.assert_allclose(found, RULES[name][3], rtol=1e-14)


@pytest.mark.parametrize("derivative", [adjoint, tangent])
@pytest.mark.parametrize("name", NOT_TAKEN)
def test_no_nan_in_second_derivatives(name: str, derivative) -> None:
    """The side that is not taken leaves nothing behind when its derivative is differentiated again."""
    recurrence, point = of_rule(name)
    once = without_totals(derivative(recurrence))
    extra = [var for var in once.inputs if var.name not in point.inputs]
    inputs = dict(point.inputs)
    for var in extra:
        inputs[var.name] = np.ones((1, 1, *(3 for _ in var.sizes)))
    state = {s.name: np.ones((1, *(3 for _ in s.var.sizes))) for s in once.states}
    wide = Point(inputs, {}, state)
    outputs, final, _ = run(once, *wide)
    found = gradient(once, wide, outputs, final)
    for value in (*outputs.values(), *found.inputs.values(), *found.state.values()):
        assert np.isfinite(value).all()


def test_max_shares_between_state_and_input_at_a_tie() -> None:
    spec = "recurrence r:\n    input x\n    state h = -inf\n    h = max(h, x)\n    output h\n"
    recurrence = front(spec).recurrences[0]
    point = Point({"x": np.array([[1.0, 1.0, 1.0]])}, {}, {"h": np.array([-np.inf])})
    found = gradient(recurrence, point, {"h": np.array([[0.0, 0.0, 1.0]])}, {"h": np.zeros(1)})
    np.testing.assert_array_equal(found.inputs["x"], [[0.25, 0.25, 0.5]])
    assert found.state["h"] == 0
