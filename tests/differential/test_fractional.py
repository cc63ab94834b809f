"""Scans of linear-fractional updates: products of 2x2 matrices, for every element of the state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from recc.compiler import front
from recc.ir.nodes import Var
from recc.passes.adjoint import adjoint
from recc.passes.analyse import Proof, analyse
from recc.passes.lower_scan import is_scannable, lower_scan
from recc.passes.tangent import tangent
from tests.differential.scans import Arrays, call, check, compiled, higher_derivatives, slopes_of, tensors

T, ROWS, D = 53, 2, 3

MOBIUS = """
recurrence mobius:
    input  a[D], b[D], c[D], d[D]
    state  h[D]
    h = (a * h + b) / (c * h + d)
    output h
"""
SHARED = """
recurrence shared:
    input  x, y[D]
    state  h[E, D] = 1
    param  w[E, D]
    h = w * (x * h + 1) / (h + x)
    output s[E] = sum(h * y, axis=D)
"""
RESET = """
recurrence restarted:
    input  x[D]
    state  h[D]
    if t % 5 == 0: h = x
    h = 1 / (x + h)
    output h
"""
CHOSEN = """
recurrence chosen:
    input  x[D], y[D]
    state  h[D]
    h = where(y > 0, x / (x + h), y * y + h)
    output h
"""
CASCADE = """
recurrence cascade:
    input  x[D], v[D]
    param  a in (0, 1)
    state  m[D], h[D] = 1, s[D]
    m = a * m + (1 - a) * x
    h = (m * h + 1) / (h + m)
    s = h * s / (1 + h) + v
    output s, h
"""
BESIDE = """
recurrence beside:
    input  x[D]
    state  h[D] = 1, m[D], top = -inf
    h = 1 / (x + h)
    m = 0.9 * m + x
    top = max(top, sum(x))
    output y[D] = h * m + top
"""
COMPLEX = """
recurrence turned:
    input  x[D]: complex
    state  h[D]: complex
    h = (h + 1j * x) / (2 + 0.5 * h)
    output y[D] = real(h)
"""
KALMAN = """
recurrence kalman_scalar:
    input  y
    param  a, c, q >= 0, r > 0
    state  m, P = 1
    prior = a**2 * P + q
    K = c * prior / (c**2 * prior + r)
    m = a * m + K * (y - c * a * m)
    P = r * prior / (c**2 * prior + r)
    output mean = m, var = P
"""


def positive(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(0.3, 1.7, shape)


def problem(text: str, steps: int = T) -> tuple[Arrays, Arrays, Arrays]:
    """Inputs, params and states of positive numbers: away from the poles."""
    rng = np.random.default_rng(0)
    recurrence = front(text).recurrences[0]
    sizes = {"D": D, "E": 2}

    def draw(var: Var, *lead: int) -> np.ndarray:
        value = positive(rng, *lead, *(sizes[str(size)] for size in var.sizes))
        if var.name in ("a", "r") and not lead:
            return value / 2
        return value + 0.4j * positive(rng, *value.shape) if var.complex else value

    inputs = {var.name: draw(var, ROWS, steps) for var in recurrence.inputs}
    if "y" in inputs and text is CHOSEN:
        inputs["y"] = inputs["y"] - 1
    params = {var.name: draw(var) for var in recurrence.params}
    states = {state.name: draw(state.var, ROWS) for state in recurrence.states}
    if "t" in states:
        states["t"] = np.zeros(ROWS)
    return inputs, params, states


@pytest.mark.parametrize("text", [MOBIUS, SHARED, RESET, CHOSEN, CASCADE, BESIDE, COMPLEX, KALMAN])
def test_values_and_gradients(text: str) -> None:
    inputs, params, states = problem(text)
    check(text, inputs, params, states)
    if text is not MOBIUS:
        check(text, inputs, params)


def test_matrix_has_the_axes_of_the_coefficients() -> None:
    """In `shared` they differ along E and D because of `w`; in `kalman_scalar` there are none."""
    sizes = {}
    for text in (SHARED, KALMAN):
        recurrence = front(text).recurrences[0]
        levels = lower_scan(recurrence, analyse(recurrence))
        sizes[text] = [part.var.sizes for part in levels[0].parts]
    assert sizes[SHARED] == [("E", "D")] * 4
    assert sizes[KALMAN] == [()] * 4


def test_coefficients_are_made_before_the_steps() -> None:
    """What the matrices are made of depends on the params alone, so that no step squares `a` again."""
    with open(compiled(KALMAN).__code__.co_filename, encoding="utf-8") as file:
        module = file.read()
    compose = module.partition("def primal_0_compose")[2].partition("\ndef ")[0]
    assert "**" in module and "**" not in compose


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_over_many_steps_neither_overflow_nor_vanish(dtype: torch.dtype) -> None:
    """Products of these matrices grow like 9**T, or shrink like 0.01**T."""
    for scale in (9.0, 0.01):
        inputs, _, states = problem(MOBIUS, 900)
        given = [x.to(dtype) * scale for x in tensors(inputs)]
        start = tuple(x.to(dtype) for x in tensors(states))
        walked, scanned = (compiled(MOBIUS)(*given, initial_state=start, method=m)[0] for m in ("sequential", "scan"))
        assert_close(scanned, walked, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)


@pytest.mark.parametrize("text", [CASCADE, CHOSEN, KALMAN], ids=["cascade", "chosen", "kalman"])
def test_second_derivatives_and_directional_derivatives(text: str) -> None:
    inputs, params, states = problem(text, 40)
    given = [*tensors(inputs), *tensors(params)]
    walked, scanned = (higher_derivatives(text, given, tensors(states), m) for m in ("sequential", "scan"))
    assert_close(scanned, walked, rtol=1e-9, atol=1e-9)


def test_kalman_in_its_stationary_state_has_the_gradient_of_the_closed_form() -> None:
    """The variance of a filter that has run for long solves `P = r (a^2 P + q) / (c^2 (a^2 P + q) + r)`."""
    a, c, q, r = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.9, 1.2, 0.3, 0.5))
    y = torch.zeros(1, 400, dtype=torch.float64)
    outputs, _ = compiled(KALMAN)(y, a, c, q, r, method="scan")
    first, second = c**2 * a**2, c**2 * q + r - r * a**2
    stationary = (-second + torch.sqrt(second**2 + 4 * first * r * q)) / (2 * first)
    leaves = (a, c, q, r)
    assert_close(outputs.var[0, -1], stationary)
    assert_close(torch.autograd.grad(outputs.var[0, -1], leaves), torch.autograd.grad(stationary, leaves))


def test_what_is_not_fractional_is_not_scanned() -> None:
    for update in ("h / (1 + h * h)", "h * h / h", "x / (1 + h) + h", "exp(h) / (1 + h)", "h / (1 + sum(h))"):
        text = f"recurrence r:\n    input x[D]\n    state h[D]\n    h = {update}\n    output h\n"
        analysis = analyse(front(text).recurrences[0])
        assert not is_scannable(analysis), update


def test_derivatives_of_a_fraction_are_linear_given_its_state() -> None:
    """So the gradient scans as well; no product of matrices is taken twice."""
    recurrence = front(KALMAN).recurrences[0]
    for derived in (adjoint(recurrence), tangent(recurrence)):
        verdicts = [c.verdict for c in analyse(derived).components]
        assert all(isinstance(verdict, Proof) for verdict in verdicts)
        fractions = [verdict for verdict in verdicts if isinstance(verdict, Proof) and verdict.fraction]
        assert len(fractions) == (0 if derived.name.endswith("adjoint") else 1)
    assert slopes_of(KALMAN, *problem(KALMAN, 5), "scan")
    assert call(KALMAN, *problem(KALMAN, 5), method="scan")
