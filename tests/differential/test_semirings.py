"""Scans in (max,+), (min,+) and (logsumexp,+): scalars, vectors and matrices, with ties and with -inf."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from recc.compiler import front
from recc.passes.analyse import Proof, Refusal, analyse
from tests.differential.scans import Arrays, check, compiled, slopes_of, tensors

T, ROWS = 49, 2

UPDATES = {
    "relu": ("h[D] = 0.5", "h = relu(h + x)", "(max,+)"),
    "relu of a maximum": ("h[D]", "h = relu(max(h, y) - x)", "(max,+)"),
    "softplus": ("h[D]", "h = softplus(h + x)", "(logsumexp,+)"),
    "softplus between steps": ("h[D]", "r = softplus(h) - y\n    h = logaddexp(r, x)", "(logsumexp,+)"),
    "minimum": ("h[D] = inf", "h = min(h + x, y)", "(min,+)"),
    "rolled": ("h[D]", "h = max(roll(h, 1, axis=D) + x, y)", "(max,+)"),
    "rolled sums": ("h[D]", "h = logaddexp(roll(h, -1, axis=D) + x, h + y)", "(logsumexp,+)"),
    "rolled and constant along the axis": ("h", "r = roll(max(x, h), 1, axis=D)\n    h = max(r[0], r[1])", "(max,+)"),
    "sum of copies": ("h", "h = logsumexp(logaddexp(x, h), axis=D)", "(logsumexp,+)"),
    "maximum of copies": ("h", "h = max(max(x, h + 1), axis=D) - 1.5", "(max,+)"),
    "matrix": ("h[D]", "h[j] = max(max(h[i] + W[i, j], axis=i) + x[j], y[j])", "(max,+)"),
    "matrix of sums": ("h[D]", "h[j] = relu(h[j]) + x[j]\n    h[j] = max(h[i] + W[i, j], axis=i)", "(max,+)"),
    "log of a matrix": ("h[D]", "h[j] = logaddexp(logsumexp(h[i] + W[i, j], axis=i), x[j])", "(logsumexp,+)"),
    "reset": ("h[D]", "h = where(y > 1, x, max(h, x) + y)", "(max,+)"),
    "started anew": ("h[D]", "if t % 7 == 0: h = -inf\n    h = logaddexp(h, x)", "(logsumexp,+)"),
    "coupled": ("g[D], h[D]", "g, h = max(g + x, h), max(g, h + y)", "(max,+)"),
}


def spec(kind: str) -> str:
    states, update, _ = UPDATES[kind]
    first = states[0]
    param = "    param W[D, D]\n" if "W[" in update else ""
    return f"recurrence r:\n    input x[D], y[D]\n{param}    state {states}\n    {update}\n    output z = {first}\n"


def given(text: str, whole: bool) -> tuple[Arrays, Arrays]:
    """Random inputs; of few whole numbers, many of them tie."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return np.round(rng.normal(size=shape)) if whole else rng.normal(size=shape)

    inputs = {"x": draw(ROWS, T, 3), "y": draw(ROWS, T, 3)}
    params = {"W": draw(3, 3)} if "param W" in text else {}
    return inputs, params


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", UPDATES)
def test_values_and_gradients(kind: str, whole: bool) -> None:
    text = spec(kind)
    verdicts = [c.verdict for c in analyse(front(text).recurrences[0]).components]
    assert all(isinstance(verdict, Proof) for verdict in verdicts)
    assert UPDATES[kind][2] in [verdict.algebra for verdict in verdicts]
    check(text, *given(text, whole))


@pytest.mark.parametrize(
    "update",
    ["relu(0.5 * h + x)", "softplus(2 * h)", "relu(h) + softplus(h)", "relu(-h)", "tanh(relu(h))", "relu(h) * x"],
)
def test_what_is_not_linear_in_a_semiring(update: str) -> None:
    text = f"recurrence r:\n    input x[D]\n    state h[D]\n    h = {update}\n    output h\n"
    (component,) = analyse(front(text).recurrences[0]).components
    assert isinstance(component.verdict, Refusal)


FORWARD = """
recurrence hmm_forward:
    input  e[N]
    param  log_A[N, N], log_pi[N]
    state  a[N] = log_pi
    a[j] = logsumexp(a[i] + log_A[i, j], axis=i) + e[j]
    output alpha = a, loglik = logsumexp(a)
"""
VITERBI = (
    FORWARD.replace("hmm_forward", "viterbi").replace("logsumexp(a[i]", "max(a[i]").replace("logsumexp(a)", "max(a)")
)


def chain(steps: int, blocked: bool) -> tuple[Arrays, Arrays]:
    """Log-probabilities of a random chain; `blocked`, without the way back from the last state, and with emissions
    that some states cannot make."""
    rng = np.random.default_rng(1)
    A = rng.dirichlet(np.ones(4), 4)
    e = np.log(rng.dirichlet(np.ones(4), (ROWS, steps)))
    pi = np.log(rng.dirichlet(np.ones(4)))
    with np.errstate(divide="ignore"):
        if blocked:
            A[3, :3] = 0.0
            pi[1] = -math.inf
            e[:, ::3, 2] = -math.inf
        return {"e": e}, {"log_A": np.log(A), "log_pi": pi}


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("text", [FORWARD, VITERBI], ids=["forward", "viterbi"])
def test_chains_over_a_thousand_steps(text: str, blocked: bool) -> None:
    check(text, *chain(1000, blocked))


@pytest.mark.parametrize("text", [FORWARD, VITERBI], ids=["forward", "viterbi"])
def test_gradients_of_a_blocked_chain_are_finite(text: str) -> None:
    inputs, params = chain(200, True)
    for method in ("sequential", "scan"):
        assert all(torch.isfinite(slope).all() for slope in slopes_of(text, inputs, params, None, method))


def test_single_precision_keeps_the_likelihood_of_a_long_chain() -> None:
    inputs, params = chain(2000, False)
    exact, single = (
        compiled(FORWARD)(*(t.to(dtype) for t in (*tensors(inputs), *tensors(params))), method="scan")[0].loglik
        for dtype in (torch.float64, torch.float32)
    )
    assert_close(single.double(), exact, rtol=1e-5, atol=0)
