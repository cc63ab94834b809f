"""Sums of native code, which are added up in several parts and rows at once, at sizes that no vector divides."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import recc

SPECS = Path(__file__).parents[3] / "specs"


def gradients(K: int, V: int, dtype: torch.dtype, backend: str) -> list[torch.Tensor]:
    """Output and cotangents of a delta rule: sums over rows, over lanes and over both."""
    rng = torch.Generator().manual_seed(K * 1000 + V)
    q, k, v = (torch.randn(2, 5, size, generator=rng).to(dtype).requires_grad_() for size in (K, K, V))
    g, beta = (torch.rand(2, 5, generator=rng).to(dtype).requires_grad_() for _ in range(2))
    out, _ = recc.load(SPECS / "gated_deltanet.rec")(q, k / K, v, -g, beta, backend=backend)
    return [out, *torch.autograd.grad(out.square().sum(), (q, k, v, g, beta))]


@pytest.mark.parametrize("K", [1, 2, 12, 16, 35, 64])
@pytest.mark.parametrize("V", [1, 9, 32, 50, 66, 67])
def test_sums_at_all_sizes(K: int, V: int) -> None:
    pairs = zip(gradients(K, V, torch.float64, "cpu"), gradients(K, V, torch.float64, "torch"), strict=True)
    for got, want in pairs:
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("K", "V"), [(35, 50), (64, 32), (16, 128)])
def test_sums_in_single_precision(K: int, V: int) -> None:
    pairs = zip(gradients(K, V, torch.float32, "cpu"), gradients(K, V, torch.float64, "torch"), strict=True)
    for got, want in pairs:
        assert (got - want).abs().max() <= 1e-5 * want.abs().max().clamp(min=1)


def test_a_sum_over_time_of_a_matrix() -> None:
    """Cotangents of params lie as states do, whatever the order of their axes."""
    f = recc.load(SPECS / "mamba.rec")
    rng = torch.Generator().manual_seed(0)
    shapes = {"x": (2, 6, 35), "dt": (2, 6, 35), "B": (2, 6, 3), "C": (2, 6, 3), "A_log": (35, 3), "skip": (35,)}
    given = {
        name: torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_() for name, shape in shapes.items()
    }
    found = [torch.autograd.grad(f(**given, backend=backend)[0].square().sum(), list(given.values()))
             for backend in ("cpu", "torch")]  # fmt: skip
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("advised", [True, False])
def test_large_results(advised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of many megabytes may lie in large pages, which nobody else has to know of; they do not have to."""
    f = recc.load(SPECS / "linear_scan.rec")
    if not advised:
        monkeypatch.setitem(f.__globals__, "HUGEPAGE", None)
    a, x = torch.rand(4, 2100, 1024).requires_grad_(), torch.randn(4, 2100, 1024)
    assert x.nbytes >= f.__globals__["LARGE_RESULT"]
    got, want = (f(a, x, backend=backend)[0] for backend in ("cpu", "torch"))
    torch.testing.assert_close(got, want)
    assert got.is_contiguous() and got.untyped_storage().nbytes() == got.nbytes
    got.mul_(2)
    (grad,) = torch.autograd.grad(got.sum(), a)
    torch.testing.assert_close(grad, torch.autograd.grad(2 * want.sum(), a)[0])
