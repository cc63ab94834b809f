"""Linear recurrences whose published text, code and derivation differ by a sign or a term."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from recc.passes.analyse import Proof, analyse

T, D, N = 40, 3, 4


@cache
def compiled(name: str) -> Callable[..., Any]:
    return recc.load(name)


def proof(name: str) -> Proof:
    (component,) = analyse(recc.check(name).recurrences[0]).components
    assert isinstance(component.verdict, Proof)
    return component.verdict


@pytest.fixture
def normal() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(9)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


# --------------------------------------------------------------------- RG-LRU: which way the decay's parameter points


def rg_lru_gate(lam: Tensor, r: Tensor) -> Tensor:
    """What one step without input leaves of a state of ones."""
    zero = torch.zeros_like(r)
    h, _ = compiled("rg_lru")(zero, r, zero, lam, initial_state=torch.ones(1, D, dtype=r.dtype))
    return h


def test_the_decay_of_rg_lru_is_a_power_of_a_sigmoid(normal: Callable[..., Tensor]) -> None:
    """a = sigmoid(Lambda), a_t = a^(c r_t): the paper's Lambda is -lam."""
    Lambda, r = normal(D), normal(1, 1, D)
    power = torch.sigmoid(Lambda) ** (8 * torch.sigmoid(r))
    assert_close(rg_lru_gate(-Lambda, r), power, rtol=1e-12, atol=0.0)
    printed = torch.exp(-8 * torch.sigmoid(r) * torch.nn.functional.softplus(Lambda))
    assert (printed - power).abs().min() > 1e-4


def test_a_large_parameter_of_rg_lru_forgets_and_a_small_one_keeps() -> None:
    r = torch.zeros(1, 1, D, dtype=torch.float64)
    forgets, half, keeps = rg_lru_gate(torch.tensor([9.0, 0.0, -9.0], dtype=torch.float64), r).flatten().tolist()
    assert forgets < 1e-15
    assert half == pytest.approx(2**-4, rel=1e-12)
    assert 0.9995 < keeps < 1


@pytest.mark.parametrize("lam", [-40.0, 40.0])
def test_rg_lru_is_finite_where_its_decay_rounds_to_zero_or_one(lam: float) -> None:
    x = torch.ones(1, 9, D, dtype=torch.float64)
    params = torch.full((D,), lam, dtype=torch.float64, requires_grad=True)
    h, _ = compiled("rg_lru")(x, x, x, params)
    (gradient,) = torch.autograd.grad(h.sum(), params)
    assert torch.isfinite(h).all()
    assert torch.isfinite(gradient).all()


def test_the_decay_of_rg_lru_is_proved_to_lie_between_zero_and_one() -> None:
    assert proof("rg_lru").log_space
    assert proof("rg_lru").text == "diagonal decay over D, in (0, 1)"


# ------------------------------------------------------------- Longhorn: the diagonal of a rank-1 matrix, or all of it


def longhorn_arguments(normal: Callable[..., Tensor], keys: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`x`, `dt` of every channel, and `k`, `q`; the keys of axes point along one axis each."""
    k = normal(1, T, N)
    if keys == "axes":
        k = k * torch.nn.functional.one_hot(torch.arange(T) % N, N)
    return normal(1, T, D), normal(1, T, D), k, normal(1, T, N)


def shipped(x: Tensor, dt: Tensor, k: Tensor, q: Tensor) -> Tensor:
    return compiled("longhorn")(x, dt, k, q, torch.zeros(D, dtype=x.dtype))[0]


def exact(x: Tensor, dt: Tensor, k: Tensor, q: Tensor) -> Tensor:
    """Every channel is a lane, with a value of one element."""
    wide_q, wide_k = q[:, :, None], k[:, :, None]
    return compiled("longhorn_exact")(wide_q, wide_k, x[..., None], dt)[0][..., 0]


def test_longhorn_as_shipped_is_exact_where_keys_point_along_axes(normal: Callable[..., Tensor]) -> None:
    given = longhorn_arguments(normal, "axes")
    assert_close(shipped(*given), exact(*given), rtol=1e-11, atol=1e-12)


def test_longhorn_as_shipped_is_another_recurrence_elsewhere(normal: Callable[..., Tensor]) -> None:
    given = longhorn_arguments(normal, "any")
    assert_close(shipped(*given)[:, 0], exact(*given)[:, 0], rtol=1e-11, atol=1e-12)  # nothing to erase as yet
    assert (shipped(*given) - exact(*given))[:, 1:].abs().max() > 0.1


def test_what_longhorn_keeps_decides_about_its_structure() -> None:
    assert proof("longhorn").text == "diagonal decay over D, N, in (0, 1]"
    assert proof("longhorn_exact").text == "identity + rank 1"


@pytest.mark.parametrize("method", ["sequential", "scan"])
def test_exact_longhorn_is_deltanet_with_a_smaller_rate(method: str, normal: Callable[..., Tensor]) -> None:
    """beta' = beta / (1 + beta k^T k), for keys of any length."""
    q, k, v, dt = normal(2, T, N), normal(2, T, N), normal(2, T, D), normal(2, T)
    leaves = [x.requires_grad_() for x in (q, k, v, dt)]
    found, state = compiled("longhorn_exact")(q, k, v, dt, output_final_state=True, method=method)
    beta = torch.sigmoid(dt)
    rate = beta / (1 + beta * (k**2).sum(-1))
    wanted, wanted_state = compiled("deltanet")(q, k, v, rate, output_final_state=True, method=method)
    assert_close((found, state), (wanted, wanted_state), rtol=1e-11, atol=1e-12)
    weight = normal(*found.shape)
    gradients = [torch.autograd.grad(out, leaves, weight, retain_graph=True) for out in (found, wanted)]
    assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-11)


def test_exact_longhorn_is_deltanet_with_unit_keys_and_a_rate_below_one(normal: Callable[..., Tensor]) -> None:
    q, k, v, dt = normal(2, T, N), 5 * normal(2, T, N), normal(2, T, D), normal(2, T)
    length = k.norm(dim=-1, keepdim=True)
    strength = torch.sigmoid(dt) * length[..., 0] ** 2
    rate = strength / (1 + strength)
    assert rate.max() < 1
    found, _ = compiled("longhorn_exact")(q, k, v, dt)
    wanted, _ = compiled("deltanet")(q, k / length, v / length, rate)
    assert_close(found, wanted, rtol=1e-11, atol=1e-12)
