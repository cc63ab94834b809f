"""Cells that differ in one place from the cell of the same name: which side of a gate, and what the first step does."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc

T, D, K = 12, 3, 4
OPEN, SHUT = 800.0, -800.0


@cache
def compiled(name: str) -> Callable[..., Any]:
    return recc.load(name)


@pytest.fixture
def normal() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(12)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


def constant(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.float64)


# ------------------------------------------------------------ the update gate, and the place of the reset gate in GRUs


def torch_gru(x: Tensor, matrices: list[Tensor], bias: Tensor, h0: Tensor) -> Tensor:
    """`torch.nn.GRU` on inputs `(B, T, 3 D)` that are projected already, gates r, z, n; `bias` is inside the reset."""
    layer = torch.nn.GRU(3 * D, D, batch_first=True, dtype=torch.float64)
    parameters = dict(layer.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.zero_()
        parameters["weight_ih_l0"].copy_(torch.eye(3 * D))
        parameters["weight_hh_l0"].copy_(torch.cat([U.T for U in matrices]))
        parameters["bias_hh_l0"][-D:].copy_(bias)
    return layer(x, h0[None])[0]


def test_gru_is_the_one_of_torch(normal: Callable[..., Tensor]) -> None:
    x, matrices, bias, h0 = [normal(2, T, D) for _ in "rzn"], [normal(D, D) for _ in "rzn"], normal(D), normal(2, D)
    expected = torch_gru(torch.cat(x, -1), matrices, bias, h0)
    h, _ = compiled("gru")(*x, *matrices, bias, initial_state=h0)
    assert_close(h, expected, rtol=1e-11, atol=1e-12)
    other, _ = compiled("gru_reset_before")(x[1], x[0], x[2], matrices[1], matrices[0], matrices[2], initial_state=h0)
    assert (other - expected).abs().max() > 0.1


def test_an_open_update_gate_keeps_the_state_in_torch_and_takes_the_new_one_elsewhere(
    normal: Callable[..., Tensor],
) -> None:
    x, r, h0 = normal(1, 1, D), normal(1, 1, D), normal(1, D)
    gate, none, zero = constant(OPEN, 1, 1, D), torch.zeros(D, D, dtype=torch.float64), constant(0.0, D)
    kept, _ = compiled("gru")(r, gate, x, none, none, none, zero, initial_state=h0)
    assert_close(kept[:, 0], h0, rtol=0, atol=0)
    new, _ = compiled("gru_reset_before")(gate, r, x, none, none, none, initial_state=h0)
    assert_close(new, torch.tanh(x))
    newer, _ = compiled("paragru")(gate, r, x, zero, zero, zero, initial_state=h0)
    assert_close(newer, torch.tanh(x))


def test_a_shut_reset_gate_hides_the_bias_of_the_candidate_in_torch_alone(normal: Callable[..., Tensor]) -> None:
    x, h0, bias, matrices = normal(1, 1, D), normal(1, D), normal(D), [normal(D, D) for _ in range(3)]
    shut = constant(SHUT, 1, 1, D)
    new, _ = compiled("gru")(
        shut, shut, x, torch.zeros_like(matrices[0]), matrices[1] * 0, matrices[2], bias, initial_state=h0
    )
    assert_close(new, torch.tanh(x))
    gates = constant(OPEN, 1, 1, D), shut, x + bias
    newer, _ = compiled("paragru")(*gates, *constant(0.0, 2, D), bias, initial_state=h0)
    assert_close(newer, torch.tanh(x + bias))


def test_the_place_of_the_reset_gate_matters_unless_matrices_are_diagonal(normal: Callable[..., Tensor]) -> None:
    x_z, x_r, x_h, h0 = normal(2, T, D), normal(2, T, D), normal(2, T, D), normal(2, D)
    a_z, a_r, a_h, U = normal(D), normal(D), normal(D), normal(D, D)
    before = compiled("gru_reset_before")
    elementwise, _ = compiled("paragru")(x_z, x_r, x_h, a_z, a_r, a_h, initial_state=h0)
    zero = constant(0.0, D)

    def after(matrix: Tensor) -> Tensor:
        """The reset behind the product; torch's update gate is the complement of this one."""
        gates = x_r, -x_z, x_h, a_r.diag(), -a_z.diag(), matrix
        return compiled("gru")(*gates, zero, initial_state=h0)[0]

    diagonal, _ = before(x_z, x_r, x_h, a_z.diag(), a_r.diag(), a_h.diag(), initial_state=h0)
    assert_close(diagonal, elementwise, rtol=1e-11, atol=1e-12)
    assert_close(after(a_h.diag()), elementwise, rtol=1e-11, atol=1e-12)
    dense, _ = before(x_z, x_r, x_h, a_z.diag(), a_r.diag(), U, initial_state=h0)
    assert (after(U) - dense).abs().max() > 0.05


# -------------------------------------------------------------------------- the first step of sLSTM, the floor of mLSTM


def slstm_leaves(normal: Callable[..., Tensor], i: float) -> list[Tensor]:
    """Inputs i, f, z, o with an input gate around `i`, and recurrent matrices."""
    inputs = [normal(2, T, D) + shift for shift in (i, 0.0, 0.0, 0.0)]
    return [x.requires_grad_() for x in (*inputs, *(0.3 * normal(D, D) for _ in "ifzo"))]


def slstm_from_minus_infinity(x: list[Tensor], R: list[Tensor]) -> Tensor:
    """The recurrence with its stabiliser started at -inf, which needs no branch, and no floor under the normaliser."""
    y = c = n = torch.zeros(2, D, dtype=torch.float64)
    m, ys = torch.full_like(y, -torch.inf), []
    for t in range(T):
        i, f, z, o = (x[gate][:, t] + y @ R[gate] for gate in range(4))
        carried = torch.nn.functional.logsigmoid(f) + m
        m = torch.maximum(carried, i)
        c = torch.exp(carried - m) * c + torch.exp(i - m) * torch.tanh(z)
        n = torch.exp(carried - m) * n + torch.exp(i - m)
        y = torch.sigmoid(o) * c / n
        ys.append(y)
    return torch.stack(ys, 1)


@pytest.mark.parametrize("i", [0.0, -30.0, -2000.0, 2000.0])
def test_slstm_starts_as_if_its_stabiliser_were_minus_infinity(i: float, normal: Callable[..., Tensor]) -> None:
    """Also where `exp(logsigmoid(f) + m - i)` of the side not taken overflows: values and gradients."""
    leaves = slstm_leaves(normal, i)
    y, _ = compiled("slstm")(*leaves)
    expected = slstm_from_minus_infinity(leaves[:4], leaves[4:])
    assert_close(y, expected, rtol=1e-11, atol=1e-12)
    assert_close(
        torch.autograd.grad(y.sum(), leaves), torch.autograd.grad(expected.sum(), leaves), rtol=1e-9, atol=1e-10
    )


def test_slstm_takes_its_first_step_once(normal: Callable[..., Tensor]) -> None:
    """After any step the normaliser is at least one, so that a sequence in two calls has one first step."""
    leaves = slstm_leaves(normal, -5.0)
    whole, final = compiled("slstm")(*leaves, output_final_state=True)
    first, middle = compiled("slstm")(*(x[:, :1] for x in leaves[:4]), *leaves[4:], output_final_state=True)
    assert (middle.n >= 1).all() and (final.n >= 1).all()
    assert_close(middle.m, leaves[0][:, 0])
    rest, last = compiled("slstm")(
        *(x[:, 1:] for x in leaves[:4]), *leaves[4:], initial_state=middle, output_final_state=True
    )
    assert_close(torch.cat([first, rest], 1), whole, rtol=1e-12, atol=1e-13)
    assert_close(tuple(last), tuple(final), rtol=1e-12, atol=1e-13)
    stale = middle._replace(n=torch.zeros_like(middle.n))
    again, _ = compiled("slstm")(*(x[:, 1:] for x in leaves[:4]), *leaves[4:], initial_state=stale)
    assert (again - rest).abs().max() > 0.01


def mlstm_by_sums(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """mLSTM without a stabiliser, as attention over the prefix."""
    total = torch.nn.functional.logsigmoid(f).cumsum(1)
    weights = (total[:, :, None] - total[:, None] + i[:, None]).tril().exp().tril()
    scores = torch.einsum("btk,bsk->bts", q, k) * weights
    return scores @ v / scores.sum(-1, keepdim=True).abs().clamp(min=1)


@pytest.mark.parametrize("i", [-6.0, 0.0, 6.0])
def test_the_floor_under_mlstm_is_one_before_stabilising(i: float, normal: Callable[..., Tensor]) -> None:
    """`max(abs(n q), exp(-m))`, not `n >= 1` as in sLSTM; the floor is all there is where input gates are small."""
    q, k, v, gate, f = normal(2, T, K), normal(2, T, K), normal(2, T, D), normal(2, T) + i, normal(2, T)
    for method in ("sequential", "scan"):
        h, _ = compiled("mlstm")(q, k, v, gate, f, method=method)
        assert_close(h, mlstm_by_sums(q, k, v, gate, f), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["sequential", "scan"])
@pytest.mark.parametrize("i", [-600.0, 1000.0])
def test_mlstm_survives_large_input_gates(i: float, method: str, normal: Callable[..., Tensor]) -> None:
    q, k, v, f = normal(2, T, K), normal(2, T, K), normal(2, T, D), normal(2, T)
    leaves = [x.requires_grad_() for x in (q, k, v, normal(2, T) + i, f)]
    h, _ = compiled("mlstm")(*leaves, method=method)
    if i < 0:
        assert_close(h, torch.zeros_like(h), rtol=0, atol=1e-200)
    gradients = torch.autograd.grad(h.sum(), leaves)
    assert all(torch.isfinite(x).all() for x in (h, *gradients))
