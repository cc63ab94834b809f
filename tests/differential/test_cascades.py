"""Cascades: states that read others which do not read them, pass after pass, or two levels in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from recc.compiler import front
from recc.ir.nodes import Interval, Var
from recc.ir.traverse import nodes
from recc.passes.adjoint import adjoint
from recc.passes.analyse import analyse
from recc.passes.guard import guard
from recc.passes.lower_scan import LevelPlan, lower_scan
from tests.differential.scans import Arrays, check, compiled, higher_derivatives, tensors

SPECS = Path(__file__).parent.parent.parent / "specs"
T, ROWS = 49, 2
SIZES = {"K": 3, "V": 2, "D": 3, "N": 2, "R": 2, "M": 2}

MOMENTUM = """
recurrence momentum:
    input  k[K], v[V], a in (0, 1), b in (0, 1)
    state  S[K, V], M[K, V]
    S = b * S + outer(k, v)
    M = a * M + S
    output o[V] = k @ M
"""
GATED = """
recurrence gated:
    input  k[K], v[V], a[K] in (0, 1), b[V] in (0, 1)
    state  S[K, V], M[K, V]
    M = a * M + 0.5 * S
    S = b * S + outer(k, v)
    output o[V] = k @ M
"""
READ = """
recurrence summed_reads:
    input  q[K], k[K], v[V], g in (0, 1), beta in (0, 1)
    state  S[K, V], F[V]
    S = S - beta * outer(k, k @ S - v)
    F = g * F + q @ S
    output F
"""
TURNED = """
recurrence turned:
    input  x[D]
    param  W[D, D], U[D, D]
    state  s[D], f[D]
    s = W @ s + x
    f = U @ f + 0.5 * s
    output f
"""
CHOSEN = """
recurrence chosen:
    input  x[D], y[D]
    state  s[D], f[D]
    s = where(y > 0, x, 0.5 * s)
    f = 0.9 * f + where(y < 0, s / y, x)
    output f
"""
TWO = """
recurrence two_feeds:
    input  x[D], a[D] in (0, 1)
    state  s[D], r, f[D], g[D]
    s = a * s + x
    r = 0.7 * r + sum(x)
    f = 0.9 * f + a * s - r
    g = g + f * f
    output f, g
"""
COMPLEX = """
recurrence complex_feed:
    input  x[D]
    param  w[D] in (0, 1)
    state  s[D]: complex, f[D]: complex
    s = exp(1j * w) * 0.9 * s + x
    f = 0.5 * f + 1j * s
    output y[D] = real(f)
"""
LIFTED = {"momentum": MOMENTUM, "gated": GATED, "summed_reads": READ, "chosen": CHOSEN, "two": TWO, "complex": COMPLEX}
KEPT_APART = {
    "nonlinear": MOMENTUM.replace("M = a * M + S", "M = a * M + S * S"),
    "gating": MOMENTUM.replace("M = a * M + S", "M = S * M + a"),
    "divided": MOMENTUM.replace("M = a * M + S", "M = a * M + 1 / (2 + S * S)"),
    "contracted": (SPECS / "hla2.rec").read_text(encoding="utf-8"),
    "maximum": MOMENTUM.replace("S = b * S + outer(k, v)", "S = max(b + S, outer(k, v))"),
}


def random_problem(text: str, steps: int = T) -> tuple[Arrays, Arrays]:
    """Inputs and params; what is promised to lie between zero and one does."""
    rng = np.random.default_rng(0)
    recurrence = front(text).recurrences[0]
    sizes = SIZES | dict(recurrence.sizes)

    def draw(var: Var, *lead: int) -> np.ndarray:
        shape = (*lead, *(sizes[size] if isinstance(size, str) else size for size in var.sizes))
        bounds = var.interval or Interval()
        high = 0.9 if bounds.high is not None else 1.0
        if bounds.low is not None:
            return rng.uniform(0.1, high, shape)
        return rng.uniform(-1.0, -0.1 if bounds.high is not None else 1.0, shape) * (1.0 if lead else 0.5)

    inputs = {var.name: draw(var, ROWS, steps) for var in recurrence.inputs}
    return inputs, {var.name: draw(var) for var in recurrence.params}


def levels_of(text: str) -> tuple[LevelPlan, ...]:
    recurrence = front(text).recurrences[0]
    return lower_scan(recurrence, analyse(recurrence))


@pytest.mark.parametrize("name", [*LIFTED, "turned"])
def test_lifted_cascades(name: str) -> None:
    text = {**LIFTED, "turned": TURNED}[name]
    check(text, *random_problem(text))


@pytest.mark.parametrize("name", KEPT_APART)
def test_cascades_that_are_not_lifted(name: str) -> None:
    text = KEPT_APART[name]
    assert len(levels_of(text)) == 2 and not any(level.remark for level in levels_of(text))
    check(text, *random_problem(text))


def test_two_levels_become_one_pass_where_that_is_cheaper() -> None:
    """Momentum needs three numbers in place of a second walk of `S`; reads of a delta rule a vector of `K`."""
    blocks = {}
    for name in ("momentum", "gated", "summed_reads"):
        (level,) = levels_of(LIFTED[name])
        assert "in one pass" in level.remark and level.earlier == ()
        blocks[name] = {part.var.name: part.var.sizes for part in level.parts}
    assert blocks["momentum"] == {"A_S": (), "A_M": (), "A_M_S": ()}
    assert blocks["gated"] == {"A_S": ("V",), "A_M": ("K",), "A_M_S": ("K", "V")}
    assert blocks["summed_reads"] == {"A_S": ("K", "K"), "A_F": (), "A_F_S": ("K",)}


def test_two_dense_systems_stay_apart() -> None:
    """A third D x D block costs as much as a walk of `s` saves many times over."""
    assert len(levels_of(TURNED)) == 2


def test_kronecker_factors_are_composed_apart() -> None:
    """Levels are merged along L, the delta rule acts along K: two small matrices, not their product."""
    text = (SPECS / "loglinear_gdn.rec").read_text(encoding="utf-8")
    levels = levels_of(text)
    assert [part.var.sizes for part in levels[-1].parts] == [("L", "L"), ("K", "K")]
    gradient = Path(
        compiled((SPECS / "loglinear_gdn.rec").read_text(encoding="utf-8")).__code__.co_filename
    ).read_text()
    assert "A_d_S_0, A_d_S_1 = transition" in gradient
    both = "recurrence r:\n    input x[K], y[V]\n    state S[K, V]\n    S = x * S\n    S = y * S + 1\n    output S\n"
    (level,) = levels_of(both)
    assert [part.var.sizes for part in level.parts] == [("K",), ("V",)]
    check(both, *random_problem(both))


def test_products_are_summed_before_they_meet_the_summary() -> None:
    """`W[i, j, d] x[d]` is a matrix of its own: no product of the transition has four axes."""
    (level,) = levels_of((SPECS / "bilinear_rnn.rec").read_text(encoding="utf-8"))
    exprs = [*(let.expr for let in level.compose.lets), *level.compose.updates]
    assert max(len(node.axes) for expr in exprs for node in nodes(expr)) == 3


CATALOGUE = (
    "hla2", "flowformer", "signature2", "lightnet", "mlstm", "kalman_scalar", "rat_intra", "loglinear_mamba2",
    "loglinear_gdn", "mom", "bilinear_rnn", "slice_dense", "slice_block", "titans_linear", "hippo_legs", "aaren",
)  # fmt: skip


@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogue(name: str) -> None:
    text = (SPECS / f"{name}.rec").read_text(encoding="utf-8")
    inputs, params = random_problem(text)
    if name == "kalman_scalar":
        params = {key: np.abs(value) + 0.1 for key, value in params.items()}
    check(text, inputs, params, tolerance=1e-10)


@pytest.mark.parametrize("text", [MOMENTUM, READ, CHOSEN, COMPLEX], ids=["momentum", "reads", "chosen", "complex"])
def test_directional_and_second_derivatives(text: str) -> None:
    """Tangents are a cascade themselves: the state, then its tangent."""
    inputs, params = random_problem(text, 37)
    given = [*tensors(inputs), *tensors(params)]
    walked, scanned = (higher_derivatives(text, given, None, method) for method in ("sequential", "scan"))
    assert_close(scanned, walked, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["mlstm", "kalman_scalar", "rwkv4", "hgrn"])
def test_adjoints_of_cascades_are_scannable(name: str) -> None:
    """Every state of an adjoint is solved exactly once."""
    recurrence = guard(adjoint(front(SPECS / f"{name}.rec").recurrences[0]))
    levels = lower_scan(recurrence, analyse(recurrence))
    assert sorted(name for level in levels for name in level.states) == sorted(recurrence.state_names)


def test_growing_products_keep_their_digits() -> None:
    """A product of matrices that grow like 10**70 differs between methods by its rounding, relative to its size."""
    text = (SPECS / "slice_block.rec").read_text(encoding="utf-8")
    A = np.random.default_rng(0).normal(size=(1, 300, 2, 3, 3))
    exact = np.ones((2, 3), dtype=np.longdouble)
    for step in A[0]:
        exact = exact + np.einsum("nij,nj->ni", step.astype(np.longdouble), exact)
    scale = np.abs(exact).max(-1, keepdims=True)
    for method in ("sequential", "scan"):
        outputs, _ = compiled(text)(torch.from_numpy(A), method=method)
        assert np.max(np.abs(outputs[0, -1].numpy() - exact) / scale) < 1e-11
