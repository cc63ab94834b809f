"""Linear systems by Fourier transforms against one step after the other."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from recc.runtime import linear_systems
from recc.runtime.linear_systems import Form, causal_convolution, drive_system, fast_size, powers_of

KINDS = ("zero", "identity", "diagonal", "dense")


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def random_form(kind: str, n: int, inputs: int, outputs: int, dtype: torch.dtype, lead: tuple[int, ...]) -> Form:
    parts = random(*lead, n, inputs, dtype=dtype), random(*lead, outputs, n, dtype=dtype)
    D = random(*lead, outputs, inputs, dtype=dtype)
    A = {"zero": torch.zeros, "identity": torch.ones}.get(kind)
    if A is not None:
        return Form(A(*lead, n, dtype=dtype), *parts, D, True)
    scale = 0.5 if kind == "diagonal" else 0.7 / max(1, n) ** 0.5
    return Form(
        scale * random(*lead, *((n,) if kind == "diagonal" else (n, n)), dtype=dtype), *parts, D, kind != "dense"
    )


def stepwise(form: Form, u: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """The definition of a system."""
    A = torch.diag_embed(form.A) if form.diagonal else form.A
    outputs = []
    for step in u.unbind(-1):
        outputs.append(form.C @ s + form.D @ step.unsqueeze(-1))
        s = A @ s + form.B @ step.unsqueeze(-1)
    return torch.cat(outputs, -1), s


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 29])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 1, 1), (3, 2, 4), (2, 9, 9), (3, 0, 2), (3, 2, 0)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("kind", KINDS)
def test_against_steps(kind: str, dtype: torch.dtype, sizes: tuple[int, int, int], steps: int) -> None:
    n, inputs, outputs = sizes
    form = random_form(kind, n, inputs, outputs, dtype, (1, 2))
    u, s = random(3, 2, inputs, steps, dtype=dtype), random(3, 2, n, 1, dtype=dtype)
    for got, wanted in zip(drive_system(form, kind, u, s), stepwise(form, u, s), strict=True):
        assert_close(got, wanted, rtol=1e-12, atol=1e-12)


def test_no_state() -> None:
    form = random_form("zero", 0, 2, 3, torch.float64, ())
    u = random(2, 2, 5)
    y, s = drive_system(form, "zero", u, torch.zeros(2, 0, 1, dtype=torch.float64))
    assert_close(y, form.D @ u)
    assert s.shape == (2, 0, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 6])
def test_segments(kind: str, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long sequence is cut, and the state is handed on."""
    form = random_form(kind, n, 1, 2, torch.float64, ())
    u, s = random(2, 1, 53), random(2, n, 1)
    whole = drive_system(form, kind, u, s)
    monkeypatch.setattr(linear_systems, "SEGMENT_STEPS", 12)
    for got, wanted, cut in zip(whole, stepwise(form, u, s), drive_system(form, kind, u, s), strict=True):
        assert_close(got, wanted, rtol=1e-12, atol=1e-12)
        assert_close(cut, wanted, rtol=1e-12, atol=1e-12)


def test_growing_powers_stay_finite() -> None:
    """Powers over all 20000 steps would overflow float32; those over a segment do not."""
    form = Form(torch.tensor([1.01]), torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1, 1), True)
    u = torch.zeros(1, 20000)
    y, s = drive_system(form, "diagonal", u, torch.zeros(1, 1))
    assert torch.isfinite(y).all() and torch.isfinite(s).all()


def test_counting_is_exact() -> None:
    one = torch.ones(1, 1)
    y, s = drive_system(Form(torch.ones(1), one, one, 0 * one, True), "identity", torch.ones(1, 10000), 0 * one)
    assert torch.equal(y[0], torch.arange(10000.0)) and s.item() == 10000


def test_powers_in_single_precision() -> None:
    """Squaring doubles a relative error every time: in float32 alone, this would be off by 1e-4."""
    A = torch.tensor([0.9999, -0.9998])
    exact = A.double().unsqueeze(-1) ** torch.arange(4096)
    assert_close(powers_of(A, 4096).double(), exact, rtol=1e-7, atol=0)


def test_causal_sums() -> None:
    kernel, u = random(2, 3, 7), random(4, 3, 7)
    expected = torch.stack([sum(kernel[..., j] @ u[..., t - j].mT for j in range(t + 1)).mT for t in range(7)], -1)  # type: ignore[union-attr]
    assert_close(causal_convolution(kernel, u), expected)


def test_sizes_of_transforms() -> None:
    for least in range(1, 300):
        size = fast_size(least)
        rest = size // (size & -size)
        assert least <= size and rest in (1, 3, 5) and size < 2 * least + 2
