"""Adjoints and tangents against finite differences of the interpreter: on specs, on random programs, and repeated."""

from __future__ import annotations

import numpy as np
import pytest

from recc.catalogue import shipped
from recc.compiler import front
from recc.ir.interpreter import run
from recc.ir.nodes import Recurrence, Size
from recc.passes.adjoint import adjoint
from recc.passes.tangent import tangent
from tests.ir.random_programs import random_recurrence, random_values
from tests.passes.slopes import Point, Slopes, assert_agree, slopes, without_totals
from tests.references import NAMES, random_case
from tests.references.ports import SIZES

MORE_SIZES: dict[Size, int] = {"C": 2, "X": 4, "N": 3, "M": 2, "E": 2}
ROWS, STEPS = 3, 4
TWICE = [(outer, inner) for outer in (adjoint, tangent) for inner in (adjoint, tangent)]

# What specs that ship do not have: neighbourhoods, solves, selections, reductions of many kinds, complex values.
OTHERS = {
    "convolution": """
    input  u[C, X]
    param  W[C, C, 3]
    state  h[C, X]
    h = tanh(conv(h, W, axis=X) + u)
    output h
""",
    "wrapped convolution": """
    input  u[C, X]
    param  W[C, C, 3]
    state  h[C, X]
    h = conv(roll(h, 1, axis=X), W, axis=X, wrap=True) + u
    output h
""",
    "solve": """
    input  u[N]
    param  A[N, N]
    state  x[N]
    x = solve(4 * eye(N) - A, x + u)
    output x
""",
    "solve of many": """
    input  u[M, N], A[N, N]
    state  x[M, N]
    x[m, n] = tanh(u[m, n] + x[m, n])
    y = solve(4 * eye(N) + A, x[0])
    output y
""",
    "renamed temporaries": """
    input  u[D]
    param  A[D], W[D, D], b[D]
    state  z[D]
    phi[d] = where(d < D - 2, z[d], relu(z[d]))
    z = A * z + phi @ W + b + u
    output z
""",
    "reductions": """
    input  x[D, E]
    state  h[D], m, s
    h = 0.5 * h + max(x, axis=E) - min(x, axis=E) + mean(x, axis=E) * softmax(h)
    m = max(m, logsumexp(x)) + norm(x - m)
    s = 0.3 * s + sum(l2norm(x, axis=D)) + layernorm(h) @ rmsnorm(h)
    output h, m, s
""",
    "memory of inputs": """
    input  x[D], k
    state  S[D, D]
    S = 0.5 * S + outer(prev(x), hold(x, every=2)) * exp(-k * k) + prev(S, 2) * 0.1
    output y[D] = S @ x
""",
    "inner objective": """
    input  k[K], v[V], eta
    state  W[K, V], m[K, V]
    g = grad(sumsq(tanh(k @ W) - v), W)
    m = 0.9 * m - 0.1 * sigmoid(eta) * g
    W = W + m
    output y[V] = k @ W
""",
    "complex": """
    input  u[N]: complex, x
    param  lam[N]: complex
    state  h[N]: complex, r
    h = lam * h / (1 + abs(h)) + conj(u) * exp(1j * x)
    r = 0.5 * r + sum(real(h) * imag(h))
    output y = r, z[N] = real(h) + abs(h)
""",
}


def spec_point(name: str, rng: np.random.Generator) -> tuple[Recurrence, Point]:
    """Different values in each row; the state is the one that some steps lead to."""
    recurrence = front(shipped()[name]).recurrences[0]
    cases = [random_case(name, STEPS + 2, SIZES, rng) for _ in range(ROWS)]
    inputs = {n: np.stack([case[0][n] for case in cases]) for n in cases[0][0]}
    params = {n: np.stack([case[1][n] for case in cases]) for n in cases[0][1]}
    _, state, _ = run(recurrence, {n: v[:, :2] for n, v in inputs.items()}, params)
    return recurrence, Point({n: v[:, 2:] for n, v in inputs.items()}, params, state)


def values_of(recurrence: Recurrence, rng: np.random.Generator, steps: int = STEPS) -> Point:
    inputs, params, state = random_values(recurrence, rng, steps, (ROWS,), MORE_SIZES)
    return Point(inputs, params, state)


def other(name: str) -> Recurrence:
    return front(f"recurrence r:{OTHERS[name]}").recurrences[0]


def assert_measured(found: Slopes) -> None:
    """The comparison was not empty, and has something to compare."""
    assert found.smooth.any()
    assert np.abs(found.tangent).max() > 1e-3
    assert_agree(found)


@pytest.mark.parametrize("name", NAMES)
def test_specs(name: str) -> None:
    rng = np.random.default_rng(1)
    assert_measured(slopes(*spec_point(name, rng), rng))


@pytest.mark.parametrize("name", OTHERS)
def test_other_constructs(name: str) -> None:
    rng = np.random.default_rng(2)
    recurrence = other(name)
    assert_measured(slopes(recurrence, values_of(recurrence, rng), rng))


@pytest.mark.parametrize("seed", range(48))
def test_random_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recurrence = random_recurrence(rng, affine_bias=seed % 4 / 3, complex=seed % 3 == 0)
    assert_agree(slopes(recurrence, values_of(recurrence, rng), rng))


def test_most_random_programs_are_measured() -> None:
    """The kinks that are left out above are few."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        recurrence = random_recurrence(rng)
        found.append(slopes(recurrence, values_of(recurrence, rng), rng).smooth)
    assert np.mean(found) > 0.7


@pytest.mark.parametrize(("outer", "inner"), TWICE, ids=[f"{a.__name__} of {b.__name__}" for a, b in TWICE])
@pytest.mark.parametrize("name", ["gated_deltanet", "mlstm", "gru", "lru", "minlstm", "delta_by_objective"])
def test_derivatives_of_derivatives(name: str, outer, inner) -> None:
    """`slopes` differentiates the derivative itself, in both modes; `outer` is what must not fail on it."""
    rng = np.random.default_rng(3)
    recurrence, _ = spec_point(name, rng)
    once = without_totals(inner(recurrence))
    assert outer(once).states
    assert_agree(slopes(once, smooth_values(once, rng), rng))


def smooth_values(recurrence: Recurrence, rng: np.random.Generator) -> Point:
    inputs, params, state = random_values(recurrence, rng, 2, (ROWS,), {**SIZES})
    return Point(inputs, params, state)


@pytest.mark.parametrize("seed", range(16))
def test_derivatives_of_derivatives_of_random_programs(seed: int) -> None:
    rng = np.random.default_rng(1000 + seed)
    recurrence = random_recurrence(rng, affine_bias=seed % 4 / 3, complex=seed % 3 == 0)
    once = without_totals((adjoint, tangent)[seed % 2](recurrence))
    assert_agree(slopes(once, values_of(once, rng, 2), rng))


def test_a_wrong_derivative_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import recc.passes.adjoint as module

    original = module.unary_partial
    monkeypatch.setattr(module, "unary_partial", lambda op, x, y: original("sigmoid" if op == "tanh" else op, x, y))
    rng = np.random.default_rng(1)
    with pytest.raises(AssertionError):
        assert_measured(slopes(*spec_point("gru", rng), rng))
