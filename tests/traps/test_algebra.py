"""Recurrences whose algebra is not what their text, or their structure at first sight, suggests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from recc.ir.nodes import Recurrence
from recc.passes.analyse import Proof, analyse

Normal = Callable[..., Tensor]
METHODS = ("sequential", "scan")


@cache
def compiled(source: str) -> Callable[..., Any]:
    return recc.load(source)


def recurrence_of(source: str) -> Recurrence:
    return recc.check(source).recurrences[0]


def proofs(source: str) -> dict[str, Proof]:
    """The proofs of a recurrence that has no refusals, by state."""
    analysis = analyse(recurrence_of(source))
    assert not analysis.refusals
    return {state: c.verdict for c in analysis.components for state in c.states if isinstance(c.verdict, Proof)}


@pytest.fixture
def normal() -> Normal:
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


# -------------------------------------------------- higher-order linear attention: a published scan that is not one


PUBLISHED_HLA = """
recurrence published_hla:
    input  q[K], k[K], v[V]
    param  gamma in (0, 1]
    state  S[K, K], C[K, V], G[K, V]
    G = gamma * G + outer(k, k @ C)
    S = gamma * S + outer(k, k)
    C = gamma * C + outer(q, v)
    output o[V] = q @ (S @ C - G)
"""


class Segment(NamedTuple):
    """What the published scan keeps of a stretch of tokens: its decay and its three sums."""

    decay: float
    S: Tensor
    C: Tensor
    G: Tensor


def published_join(a: Segment, b: Segment) -> Segment:
    """The project page's operator: what the left part holds is decayed by the right part before it is joined."""
    S, C, G = (b.decay * part for part in a[1:])
    return Segment(a.decay * b.decay, S + b.S, C + b.C, G + b.G + b.S @ C)


def published_scan(q: Tensor, k: Tensor, v: Tensor, gamma: float) -> Segment:
    tokens = [
        Segment(gamma, k[t].outer(k[t]), q[t].outer(v[t]), torch.zeros(q.shape[1], v.shape[1])) for t in range(12)
    ]
    total = tokens[0]
    for token in tokens[1:]:
        total = published_join(total, token)
    return total


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_hla_published_scan_is_right_without_decay_only(gamma: float, normal: Normal) -> None:
    q, k, v = normal(12, 4), normal(12, 4), normal(12, 3)
    function, decay = compiled(PUBLISHED_HLA), torch.tensor(gamma, dtype=torch.float64)
    arguments = (q[None], k[None], v[None], decay)
    found = {method: function(*arguments, output_final_state=True, method=method) for method in METHODS}
    assert_close(found["scan"], found["sequential"], rtol=1e-11, atol=1e-11)
    page = published_scan(q, k, v, gamma)
    _, (S, C, G) = found["sequential"]
    assert_close((S[0], C[0]), (page.S, page.C))
    distance = (G[0] - page.G).abs().max().item()
    assert distance < 1e-11 if gamma == 1 else distance > 0.1


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_hla_published_readout_masks_earlier_pairs_without_decay_only(gamma: float, normal: Normal) -> None:
    q, k, v = normal(1, 12, 4), normal(1, 12, 4), normal(1, 12, 3)
    decay = torch.tensor(gamma, dtype=torch.float64)
    ordered, _ = compiled("hla2")(q, k, v, decay)
    page, _ = compiled(PUBLISHED_HLA)(q, k, v, decay)
    distance = (ordered - page).abs().max().item()
    assert distance < 1e-11 if gamma == 1 else distance > 1


@pytest.mark.parametrize("gamma", [0.5, 0.9, 1.0])
def test_hla2_scans_to_the_sum_over_ordered_pairs(gamma: float, normal: Normal) -> None:
    q, k, v = normal(1, 100, 4), normal(1, 100, 4), normal(1, 100, 3)
    o, _ = compiled("hla2")(q, k, v, torch.tensor(gamma, dtype=torch.float64), method="scan")
    time = torch.arange(100, dtype=torch.float64)
    decays = torch.where(time[:, None] >= time, gamma ** (time[:, None] - time), 0.0)
    # gamma^(2t - i - j) is gamma^(t - i) gamma^(t - j), over i <= j <= t
    to_first, first_to_second = decays * (q[0] @ k[0].T), torch.triu(k[0] @ q[0].T)
    assert_close(o[0], (to_first @ first_to_second * decays) @ v[0], rtol=1e-9, atol=1e-9)


# ----------------------------------------------------- SLiCE: the published code is not quite linear, and has no drift


CLAMPED_SLICE = """
recurrence clamped_slice(bound=1e11):
    input  w[D]
    param  A[D, N, N]
    state  h[N] = 1
    h = bound * tanh((h + (w @ A) @ h) / bound)
    output h
"""


def test_slice_with_the_soft_clamp_of_its_code_has_no_scan(normal: Normal) -> None:
    (refusal,) = analyse(recurrence_of(CLAMPED_SLICE)).refusals
    assert refusal.culprit.span is not None and refusal.culprit.span.text.startswith("tanh(")
    assert set(proofs("slice_dense")) == {"h"}
    w, A = 0.1 * normal(1, 50, 3), normal(3, 4, 4)
    with pytest.raises(ValueError, match="clamped_slice has no scan"):
        compiled(CLAMPED_SLICE)(w, A, method="scan")
    clamped, _ = compiled(CLAMPED_SLICE)(w, A)
    linear, _ = compiled("slice_dense")(w, A, method="scan")
    assert_close(clamped, linear, rtol=1e-9, atol=1e-9)


def test_slice_clamp_matters_where_the_path_is_long(normal: Normal) -> None:
    w, A = torch.ones(1, 60, 1, dtype=torch.float64), torch.eye(2, dtype=torch.float64)[None]
    clamped, _ = compiled(CLAMPED_SLICE)(w, A)
    linear, _ = compiled("slice_dense")(w, A)
    assert_close(linear[0, -1], torch.full((2,), 2.0**60, dtype=torch.float64))
    assert clamped.max() <= 1e11


@pytest.mark.parametrize("method", METHODS)
def test_slice_has_no_drift(method: str, normal: Normal) -> None:
    zero = torch.zeros(1, 4, dtype=torch.float64)
    h, final = compiled("slice_dense")(
        normal(1, 30, 3), normal(3, 4, 4), initial_state=zero, output_final_state=True, method=method
    )
    assert not h.any() and not final.any()


# ------------------------------------------------------------------- pLSTM: marks, transitions and the direct path


def test_plstm_transitions_may_be_negative_or_zero(normal: Normal) -> None:
    proof = proofs("plstm_1d")["C"]
    assert not proof.log_space
    T, transition = 60, torch.tensor([1.0, -1.0, 0.0, 0.5, -0.5], dtype=torch.float64).repeat(12)[None]
    inputs = (normal(1, T, 3), normal(1, T, 3), normal(1, T, 2), normal(1, T), transition, normal(1, T), normal(1, T))
    found = [compiled("plstm_1d")(*inputs, output_final_state=True, method=method) for method in METHODS]
    assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_plstm_source_transition_and_mark_meet_the_right_tokens(sign: float, normal: Normal) -> None:
    """One token writes, a later one reads: its source, the transitions strictly between them, and the reader's mark."""
    T, write, read = 8, 2, 6
    q, k, v = normal(1, T, 3), normal(1, T, 3), normal(1, T, 2)
    source, mark, direct, transition = torch.zeros(1, T), normal(1, T), torch.zeros(1, T), sign * normal(1, T).sigmoid()
    source[0, write] = 2.0
    o, _ = compiled("plstm_1d")(q, k, v, source.double(), transition, mark, direct.double())
    between = transition[0, write + 1 : read].prod()
    assert_close(o[0, read], mark[0, read] * between * 2.0 * (q[0, read] @ k[0, write]) * v[0, write])
    assert not o[0, : write + 1].any()


def test_plstm_cell_cannot_explode(normal: Normal) -> None:
    """One edge leaves each token of a sequence, so that abs(transition) <= 1 is P-mode's bound on what leaves it."""
    T = 400
    k, v, transition = normal(1, T, 3), normal(1, T, 2), 2 * torch.rand(1, T, dtype=torch.float64).round() - 1
    ones = torch.ones(1, T, dtype=torch.float64)
    _, C = compiled("plstm_1d")(
        k, k, v, ones, transition, ones, ones, initial_state=None, output_final_state=True, method="scan"
    )
    bound = torch.einsum("tk,tv->kv", k[0].abs(), v[0].abs())
    assert (C[0].abs() <= bound).all()


# -------------------------------------------------------------- negative eigenvalues: a decay that has no logarithm


def decay(factor: str, inputs: str) -> str:
    return f"recurrence r:\n    input x, {inputs}\n    state h\n    h = {factor} * h + x\n    output h\n"


@pytest.mark.parametrize(
    ("factor", "inputs", "log_space"),
    [
        ("exp(g)", "g <= 0", True),
        ("sigmoid(a)", "a", True),
        ("a", "a in (0, 1)", True),
        ("(1 - beta)", "beta in (0, 1)", True),
        ("a", "a in [0, 1]", False),
        ("a", "a", False),
        ("-exp(g)", "g <= 0", False),
        ("(2 * sigmoid(a) - 1)", "a", False),
        ("tanh(a)", "a", False),
        ("(1 - beta)", "beta in (0, 2)", False),
        ("(1 - 2 * sigmoid(a))", "a", False),
        ("a * b", "a in (-1, 0), b in (0, 1)", False),
        ("cos(a)", "a", False),
        ("relu(a)", "a", False),
    ],
)
def test_only_a_positive_decay_has_a_logarithm(factor: str, inputs: str, log_space: bool) -> None:
    assert proofs(decay(factor, inputs))["h"].log_space == log_space


@pytest.mark.parametrize(
    ("name", "state"), [("linear_scan", "h"), ("plstm_1d", "C"), ("laughing_hyena", "x"), ("rat_intra", "ks")]
)
def test_specs_whose_decay_may_be_negative_complex_or_zero_have_no_logarithm(name: str, state: str) -> None:
    assert not proofs(name)[state].log_space


def test_parity_by_a_negative_eigenvalue() -> None:
    """h = (1 - 2 bit) h: what no positive decay can do."""
    text = "recurrence parity:\n    input bit in [0, 1]\n    state h = 1\n    h = (1 - 2 * bit) * h\n    output h\n"
    assert not proofs(text)["h"].log_space
    bit = torch.randint(2, (1, 300), generator=torch.Generator().manual_seed(1)).double()
    for method in METHODS:
        h, _ = compiled(text)(bit, method=method)
        assert torch.equal(h, (-1.0) ** bit.cumsum(1))


def test_negative_and_zero_decays_scan_exactly(normal: Normal) -> None:
    a, x = torch.tensor([-1.0, 0.5, 0.0, -0.25], dtype=torch.float64).repeat(50)[None, :, None], normal(1, 200, 1)
    found = []
    for method in METHODS:
        leaf = a.clone().requires_grad_()
        h, _ = compiled("linear_scan")(leaf, x, method=method)
        found.append((h.detach(), *torch.autograd.grad(h.square().sum(), leaf)))
    assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)
