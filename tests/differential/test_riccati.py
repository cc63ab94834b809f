"""Scans of matrices that follow a Riccati recursion, and of matrices that are multiplied from both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import recc
from recc.compiler import front
from recc.ir.nodes import Recurrence, Var
from recc.passes.adjoint import adjoint
from recc.passes.analyse import Proof, Refusal, analyse
from recc.passes.guard import guard
from recc.passes.lower_scan import is_scannable, lower_scan
from recc.passes.tangent import tangent
from recc.structures.matrix_fraction import MatrixFraction
from tests.differential.scans import Arrays, check, compiled, higher_derivatives, listed, tensors

T, ROWS, SIZES = 41, 2, {"D": 3, "M": 2, "N": 2}

HEAD = """
recurrence covariance:
    input  u[D], w[D], a in (0.5, 1), beta in (0, 1), x[D, N], q[D] >= 0
    param  F[D, D], r > 0, lam in (0.9, 1)
    state  P[D, D] = 2 * eye(D)
"""
TAIL = "\n    output trace[D] = u @ P\n"
STEPS = {
    "drift and downdate": """
    P = a**2 * P + (1 - a**2) * eye(D)
    z = P @ u
    K = z / (u @ z + r)
    P = P - outer(K, u @ P)""",
    "gain times rows": """
    K = P @ u / (r + u @ P @ u)
    P = (eye(D) - outer(K, u)) @ P + outer(w, w)""",
    "one line": "P = F @ (P - outer(P @ u, u @ P) / (u @ P @ u + r)) @ F.T + x @ x.T",
    "forgetting (recursive least squares)": """
    K = P @ u / (lam + u @ P @ u)
    P = (P - outer(K, u @ P)) / lam""",
    "weighted": """
    P = P + outer(w, w) * q
    P = P - beta * outer(P @ u, u @ P) / (1 + beta * (u @ P @ u))""",
    "two observations": """
    P = P - outer(P @ u, u @ P) / (u @ P @ u + r)
    P = P - outer(P @ w, w @ P) / (w @ P @ w + 2 * r)
    P[i, j] = F[i, j] * 0 + P[i, j] + where(i == j, q[i], 0)""",
    "reflections": """
    H = eye(D) - 0.5 * outer(w, w)
    P = H @ P @ H.T
    P = P - outer(P @ u, u @ P) / (u @ P @ u + r)""",
    "a batch of observations": """
    P = 0.9 * P + outer(q, q)
    for j in 2: P = P - outer(P @ (w * j + u), (w * j + u) @ P) / ((w * j + u) @ P @ (w * j + u) + r)
    if beta > 0.5: P = where(a > 0.95, F @ P @ F.T, 0.5 * P)""",
    "missing observations": """
    P = 0.9 * P + 0.1 * eye(D)
    if beta > 0.5: P = P - outer(P @ u, u @ P) / (u @ P @ u + r)""",
    "forgotten observations": """
    P = P - outer(P @ u, u @ P) / (u @ P @ u + r)
    if t % 7 == 3: P = lam * eye(D)
    P = P - outer(P @ w, w @ P) / (w @ P @ w + r)""",
    "restarts": """
    if t % 7 == 3: P = eye(D)
    P = P - outer(P @ u, u @ P) / (u @ P @ u + r)""",
    "the other way round": "P = P - outer(P @ (2 * u), u @ P) * lam / (2 * lam * (P @ u) @ u + r / 2)",
}
STEPS["weighted"] = STEPS["weighted"].replace("outer(w, w) * q", "outer(w, w)")
STEPS["two observations"] = STEPS["two observations"].replace("F[i, j] * 0 + ", "")
LANES = """
recurrence batched:
    input  u[M, D], r[M] > 0
    state  P[M, D, D], m[M, D]
    P[n, i, j] = 0.9 * P[n, i, j] + where(i == j, 0.3, 0)
    z[n, i] = sum(P[n, i, j] * u[n, j], axis=j)
    back[n, j] = sum(u[n, i] * P[n, i, j], axis=i)
    d[n] = sum(u[n, i] * z[n, i], axis=i) + r[n]
    m = m + z / d * sum(u)
    P[n, i, j] = P[n, i, j] - z[n, i] * back[n, j] / d[n]
    output m
"""
ADAPTIVE = """
recurrence adaptive:
    input  u[D], y
    state  c, P[D, D] = eye(D), S[D, D]
    c = 0.9 * c + 0.1 * y
    P = P + softplus(c) * eye(D)
    K = P @ u / (u @ P @ u + 0.1 + c**2)
    P = P - outer(K, u @ P)
    S = (eye(D) - outer(K, u)) @ S @ (eye(D) - outer(u, K)) + outer(u, K) * y
    output o[D] = u @ S
"""


def text_of(name: str) -> str:
    return HEAD + "    " + STEPS[name].strip() + TAIL


def problem(text: str, steps: int = T, seed: int = 0) -> tuple[Arrays, Arrays, Arrays]:
    """Random values; the state is not symmetric, but its symmetric part is positive."""
    rng = np.random.default_rng(seed)
    recurrence = front(text).recurrences[0]

    def draw(var: Var, *lead: int) -> np.ndarray:
        shape = (*lead, *(SIZES[str(size)] for size in var.sizes))
        return rng.uniform(0.91, 0.99, shape) if var.interval is not None else rng.normal(size=shape) * 0.7

    inputs = {var.name: draw(var, ROWS, steps) for var in recurrence.inputs}
    if "beta" in inputs:
        inputs["beta"] = rng.uniform(0.1, 0.9, inputs["beta"].shape)
    params = {var.name: draw(var) for var in recurrence.params}
    states = {state.name: draw(state.var, ROWS) for state in recurrence.states}
    if "P" in states:
        states["P"] = states["P"] @ states["P"].swapaxes(-1, -2) + 0.1 * states["P"]
    if "t" in states:
        states["t"] = np.zeros(ROWS)
    return inputs, params, states


def proof_of(recurrence: Recurrence, state: str) -> Proof:
    (verdict,) = (c.verdict for c in analyse(recurrence).components if state in c.states)
    assert isinstance(verdict, Proof), verdict
    return verdict


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_proved_and_scanned(name: str) -> None:
    text = text_of(name)
    assert isinstance(proof_of(front(text).recurrences[0], "P").structure, MatrixFraction)
    inputs, params, states = problem(text)
    check(text, inputs, params, states, tolerance=1e-9)
    check(text, inputs, params, tolerance=1e-9)


@pytest.mark.parametrize("text", [LANES, ADAPTIVE], ids=["lanes", "adaptive"])
def test_beside_other_states(text: str) -> None:
    inputs, params, states = problem(text)
    check(text, inputs, params, states, tolerance=1e-9)


def test_nothing_grows_with_the_fourth_power() -> None:
    """Neither the scan of the matrix nor those of its gradient and its tangent keep a matrix of matrices."""
    for name in STEPS:
        recurrence = front(text_of(name)).recurrences[0]
        for derived in (recurrence, adjoint(recurrence), guard(adjoint(recurrence)), tangent(recurrence)):
            for level in lower_scan(derived, analyse(derived)):
                assert all(len(part.var.sizes) <= 2 for part in level.parts), (name, derived.name, level.parts)
        with open(compiled(text_of(name)).__code__.co_filename, encoding="utf-8") as file:
            assert "A_d_P_0" in file.read(), name


REFUSED = {
    "P - outer(K, K)": "`P - P u u' P / (r + u' P u)` for one vector",
    "P - outer(K, P @ u)": "`P u u' P'` is linear-fractional in a symmetric `P` alone",
    "P - outer(K, w @ P)": "`P - P u u' P / (r + u' P u)` for one vector",
    "P - 2 * outer(K, u @ P)": "`P - P u u' P / (r + u' P u)` for one vector",
    "P + outer(K, u @ P)": "`P - P u u' P / (r + u' P u)` for one vector",
    "P - outer(K, u @ P) + outer(u, w)": "not known to be positive semidefinite",
    "P - outer(K, u @ P) + F": "not known to be positive semidefinite",
    "F * (P - outer(K, u @ P))": "not of the form `W @ P @ W.T`",
    "F @ (P - outer(K, u @ P))": "not of the form `W @ P @ W.T`",
    "w[0] * (P - outer(K, u @ P))": "may be negative",
    "P - outer(P @ u, u @ P) / (u @ P @ u + w[0])": "what the denominator adds is not known to be positive",
    "P - outer(P @ u, u @ P) / (u @ P @ u * sum(P) + r)": "product of two values that depend on the previous `P`",
    "P / (1 + sum(P))": "division by a value that depends on the previous `P`",
    "tanh(P - outer(K, u @ P))": "division by a value that depends on the previous `P`",
}


@pytest.mark.parametrize("update", REFUSED)
def test_what_is_not_a_riccati_recursion_is_refused_with_its_reason(update: str) -> None:
    text = HEAD + f"    K = P @ u / (u @ P @ u + r)\n    P = {update}" + TAIL
    analysis = analyse(front(text).recurrences[0])
    assert not is_scannable(analysis)
    (refusal,) = analysis.refusals
    assert isinstance(refusal, Refusal) and REFUSED[update] in refusal.reason, refusal.reason


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_sequences_stay_finite_and_accurate(dtype: torch.dtype) -> None:
    """Without drift the covariance shrinks like one over the number of steps, and the information grows."""
    steps = 2000
    for gamma, tolerance in ((1.0, 2e-4), (0.98, 1e-4)):
        rng = np.random.default_rng(5)
        given = [torch.from_numpy(rng.normal(size=(2, steps, 4))), torch.from_numpy(rng.normal(size=(2, steps)))]
        given += [torch.full((2, steps), gamma, dtype=torch.float64)]
        given += [torch.tensor(value, dtype=torch.float64) for value in (1.5, 0.3)]
        module = recc.load("kalman")
        exact, (m, P) = module(*given, output_final_state=True, method="sequential")
        outputs, finals = module(*(x.to(dtype) for x in given), output_final_state=True, method="scan")
        for found, wanted in zip((*outputs, *finals), (*exact, m, P), strict=True):
            error = tolerance if dtype == torch.float32 else 1e-11
            assert_close(found.double(), wanted, rtol=error, atol=error * float(wanted.abs().max()))


def test_scan_of_packed_and_reversed_sequences() -> None:
    text = text_of("drift and downdate")
    inputs, params, _ = problem(text, 60)
    packed = [x.reshape(1, -1, *x.shape[2:]) for x in tensors(inputs)]
    given = (*packed, *tensors(params))
    limits = torch.tensor([0, 7, 60, 120])
    for options in ({"cu_seqlens": limits}, {"reverse": True}, {"cu_seqlens": limits, "reverse": True}):
        walked, scanned = (listed(compiled(text)(*given, method=m, **options)[0]) for m in ("sequential", "scan"))
        assert_close(scanned, walked, rtol=1e-9, atol=1e-9)


def test_higher_derivatives() -> None:
    text = text_of("drift and downdate")
    inputs, params, states = problem(text, 20)
    given = [*tensors(inputs), *tensors(params)]
    walked, scanned = (higher_derivatives(text, given, tensors(states), m) for m in ("sequential", "scan"))
    assert_close(scanned, walked, rtol=1e-7, atol=1e-7)


TWO_SIDED = {
    "X @ F.T": 1,
    "F @ X @ F.T": 2,
    "(eye(D) - outer(u, v)) @ X @ (eye(D) - outer(w, u))": 2,
    "a * (X - outer(u, v @ X) - outer(X @ w, v) + (v @ X @ w) * outer(u, v))": 2,
    "X - outer(u, v @ X) - outer(X @ w, v)": 1,
    "X - outer(u, v @ X) - outer(X @ w, v) + 2 * (v @ X @ w) * outer(u, v)": 1,
    "a * X + F @ X @ F.T": 1,
    "outer(u, w) * X + outer(v, u)": 2,
}


@pytest.mark.parametrize("update", TWO_SIDED)
def test_matrices_multiplied_from_both_sides(update: str) -> None:
    """A product from both sides is kept as two matrices; a sum of two such is not one."""
    text = f"""
recurrence both:
    input  u[D], v[D], w[D], a, x[D, D]
    param  F[D, D]
    state  X[D, D]
    X = 0.4 * ({update}) + x
    output X
"""
    recurrence = front(text).recurrences[0]
    (level,) = lower_scan(recurrence, analyse(recurrence))
    assert len(level.parts) == TWO_SIDED[update], level.parts
    check(text, *problem(text), tolerance=1e-9)
