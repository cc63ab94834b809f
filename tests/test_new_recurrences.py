"""Recurrences that stand in no catalogue: what the front end makes of them is what NumPy computes from the same lines,
and what is emitted for them agrees with that in every method that they admit, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from recc.compiler import analyse, front
from recc.ir.interpreter import run
from recc.ir.nodes import Const, Expr, Var
from recc.verify import verify
from tests.new_recurrences import memories, states
from tests.new_recurrences.cases import CASES, SIZES, STEPS

assert memories and states, "importing them fills CASES"


@pytest.mark.parametrize("name", CASES)
def test_meaning(name: str) -> None:
    """The interpreter computes what the spec's lines say in NumPy."""
    text, _, reference = CASES[name]
    recurrence = front(text).recurrences[0]
    rng = np.random.default_rng(len(name))
    inputs = {var.name: _sample(rng, var, (STEPS,)) for var in recurrence.inputs}
    params = {var.name: _sample(rng, var, ()) for var in recurrence.params}
    outputs, _, _ = run(recurrence, inputs, params)
    wanted = reference(inputs, params)
    assert outputs.keys() == wanted.keys()
    for key, values in wanted.items():
        np.testing.assert_allclose(outputs[key], values, rtol=1e-9, atol=1e-9, err_msg=key)


def _sample(rng: np.random.Generator, var: Var, leading: tuple[int, ...]) -> np.ndarray:
    """Values for a variable in its promised range."""
    shape = leading + tuple(size if isinstance(size, int) else SIZES[size] for size in var.sizes)
    if var.interval is not None:
        return rng.uniform(_end(var.interval.low, -1.0), _end(var.interval.high, 1.0), size=shape)
    values = rng.normal(size=shape)
    return values + 1j * rng.normal(size=shape) if var.complex else values


def _end(end: Expr | None, otherwise: float) -> float:
    """The end of a promised range, or something else where there is none."""
    if end is None:
        return otherwise
    assert isinstance(end, Const) and isinstance(end.value, (int, float))
    return end.value


@pytest.mark.parametrize("name", CASES)
def test_every_method(name: str) -> None:
    """Every method that is admitted agrees with the interpreter, values and gradients, and no other is admitted."""
    text, methods, _ = CASES[name]
    assert {method.name for method in analyse(text).methods} == methods
    results = verify(text, lengths=(0, 1, 7))
    assert {result.method for result in results} == methods
    for result in results:
        assert result.passed, result
