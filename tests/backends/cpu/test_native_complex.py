"""Complex systems of equations and powers in native code: against the interpreter, NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from recc.verify import verify

SYSTEMS = {
    "both complex": "input x[N]: complex, A[N, N]: complex|solve(A + 4 * eye(N), x + 0.1 * h)",
    "a real matrix": "input x[N]: complex|solve(0.3 * tanh(R) + 2 * N * eye(N), x + 0.1 * h)",
    "a real right side": "input x[N], A[N, N]: complex|0.5 * h + solve(A + 4 * eye(N), x)",
}
POWERS = {
    "large": "0.001 * x ** 11 + x ** 2",
    "negative": "(x + 5) ** -2 + (x + 5) ** -11",
    "real": "x ** 1.5 + (x + 0.1) ** p",
    "complex": "(x + 0.1) ** (0.3 * z) + 2.0 ** (0.3 * z)",
    "of real numbers": "(1 + p * p) ** (0.3 * x) + p ** 1j",
}


def passes(text: str) -> None:
    results = verify(f"recurrence r:\n{text}", lengths=(0, 1, 5))
    assert {result.backend for result in results} == {"torch", "cpu"}
    for result in results:
        assert result.passed, result


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems(name: str) -> None:
    declared, update = SYSTEMS[name].split("|")
    passes(
        f"    {declared}\n    param R[N, N]\n    state h[N]: complex\n    h = {update} + sum(R) * 0.01\n    output h\n"
    )


def test_a_system_for_each_column() -> None:
    passes("""
    input  x[N, M]: complex
    param  A[N, N]: complex
    state  h[N, M]: complex
    h = solve(A + 8 * eye(N), x + 0.1 * h)
    output h
""")


def test_a_system_whose_right_side_is_no_array() -> None:
    passes("    input A[N, N]\n    state h[N]\n    h = 0.5 * h + solve(A + 8 * eye(N), arange(N))\n    output h\n")


SOLVE = """
recurrence solves:
    input  A[N, N]: complex, b[N]: complex
    state  h[N]: complex
    h = solve(A, b)
    output h
"""


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_systems_are_as_exact_as_torchs(size: int, dtype: torch.dtype) -> None:
    """Nearly singular ones, badly scaled ones, ones that need rows exchanged: what is left over is rounding."""
    A, b = torch.randn(5, 1, size, size, dtype=dtype), torch.randn(5, 1, size, dtype=dtype)
    if size > 1:
        A[1, 0, -1] = (0.3 + 1j) * A[1, 0, 0] + 1e-5 * A[1, 0, -1]
        A[2, 0, 0, 0] = 0
        A[3, 0] *= torch.logspace(-12, 12, size)[:, None]
    A[4] *= 1e18
    solver = recc.load(SOLVE)
    found = {backend: solver(A, b, backend=backend)[0] for backend in ("cpu", "torch")}
    left = {
        backend: torch.einsum("btij,btj->bti", A.to(torch.complex128), h.to(torch.complex128)) - b
        for backend, h in found.items()
    }
    scale = A.abs().double().sum(-1) * found["torch"].abs().double().amax(-1, keepdim=True) + b.abs()
    rounding = torch.finfo(dtype).eps
    for backend in found:
        assert (left[backend].abs() / scale).amax() <= 8 * rounding * size, backend


def test_what_is_singular_is_not_finite() -> None:
    A, b = torch.zeros(1, 1, 2, 2, dtype=torch.complex128), torch.ones(1, 1, 2, dtype=torch.complex128)
    assert not recc.load(SOLVE)(A, b, backend="cpu")[0].isfinite().any()


# --- powers ---


@pytest.mark.parametrize("name", POWERS)
def test_powers(name: str) -> None:
    passes(f"""
    input  x[N]: complex, z[N]: complex, p[N]
    state  h[N]: complex
    h = 0.5 * h + {POWERS[name]} + 0.01 * z + p
    output h
""")


BASES = [0, 1, -1, 1j, -1j, 2, -2, 0.5 - 0.25j, -3 + 4j, -3 - 4j, -1e-3 + 1e-9j, 1e3j, -7 - 1e-9j]
EXPONENTS = [0, 1, 2, 5, 8, 9, 30, -1, -2, -9, 0.5, 1.5, -0.5, -1.5, 1j, -2j, 0.5 + 1j, -1 - 0.5j]


def applied(text: str, *given: Tensor) -> Tensor:
    function = recc.load(f"recurrence apply:\n{text}")
    return function(*(t[None, None] for t in given), backend="cpu")[0][0, 0]


def expected(base: Tensor, exponent: Tensor) -> Tensor:
    with np.errstate(all="ignore"):
        return torch.from_numpy(np.power(base.numpy().astype(complex), exponent.numpy().astype(complex)))


def agrees(found: Tensor, wanted: Tensor) -> None:
    assert torch.equal(found.isfinite(), wanted.isfinite())
    inside = wanted.isfinite()
    assert_close(found[inside], wanted[inside].to(found.dtype), rtol=2e-14, atol=1e-300)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_a_fixed_power_of_special_values(exponent: complex) -> None:
    """Also at zero, where only one is one, and on the negative axis."""
    x = torch.tensor(BASES, dtype=torch.complex128)
    shown = repr(exponent).strip("()")
    found = applied(f"    input x[D]: complex\n    state h[D]: complex\n    h = x ** ({shown})\n    output h\n", x)
    wanted = expected(x, torch.tensor(exponent, dtype=torch.complex128))
    error = (found - wanted).abs() / wanted.abs().clamp(min=1e-300)
    assert torch.equal(found.isnan(), wanted.isnan())
    assert error[wanted.isfinite()].max() < 1e-14 * max(4, abs(exponent))


@pytest.mark.parametrize("kinds", [("complex", "complex"), ("complex", "real"), ("real", "complex")])
def test_any_power_of_special_values(kinds: tuple[str, str]) -> None:
    def chosen(values: list[complex], kind: str) -> Tensor:
        own = [value for value in values if kind == "complex" or complex(value).imag == 0]
        dtype = torch.complex128 if kind == "complex" else torch.float64
        return torch.tensor(own, dtype=torch.complex128).to(dtype) if dtype.is_complex else torch.tensor(own).to(dtype)

    bases, exponents = chosen(BASES, kinds[0]), chosen(EXPONENTS, kinds[1])
    x, y = (part.reshape(-1) for part in torch.broadcast_tensors(bases[:, None], exponents[None]))
    names = [f"{name}[D]{': complex' * (kind == 'complex')}" for name, kind in zip("xy", kinds, strict=True)]
    text = f"    input {', '.join(names)}\n    state h[D]: complex\n    h = x ** y\n    output h\n"
    found, wanted = applied(text, x.contiguous(), y.contiguous()), expected(x, y)
    assert torch.equal(found.isnan(), wanted.isnan())
    error = (found - wanted).abs() / wanted.abs().clamp(min=1e-300)
    assert error[wanted.isfinite()].max() < 1e-13


DECAYING = "recurrence r:\n    {}\n    h = 0.5 * h + x ** p\n    output h\n"


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_gradients_of_powers_of_negative_numbers(backend: str) -> None:
    """A real base has the principal logarithm of a complex number where the exponent is one: torch is the oracle."""
    text = DECAYING.format("input  x[N], p[N]: complex\n    state  h[N]: complex")
    x = torch.tensor([-2.0, 3.0, -0.1], dtype=torch.float64).expand(1, 2, 3).clone().requires_grad_()
    p = torch.randn(1, 2, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y, _ = recc.load(text)(x, p, backend=backend)
    power = x**p
    wanted = torch.stack((power[:, 0], 0.5 * power[:, 0] + power[:, 1]), 1)
    assert_close(y, wanted)
    for got, want in zip(*(torch.autograd.grad(v.abs().sum(), (x, p)) for v in (y, wanted)), strict=True):
        assert_close(got, want)


@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_a_power_of_zero_does_not_change_with_its_exponent(backend: str) -> None:
    text = DECAYING.format("input  x: complex, p: complex\n    state  h: complex")
    x, p = torch.zeros(1, 1, dtype=torch.complex128), torch.full((1, 1), 2 + 1j, dtype=torch.complex128)
    p.requires_grad_()
    y, _ = recc.load(text)(x, p, backend=backend)
    (gradient,) = torch.autograd.grad(y.real.sum(), p)
    assert_close(gradient, torch.zeros_like(gradient))


def test_systems_larger_than_a_stack() -> None:
    text = "recurrence r:\n    input b[N]\n    param A[N, N]\n    state h[N]\n    h = solve(A, b) + h\n    output h\n"
    n = 1100  # 8 N^2 bytes are more than the 8 MiB that a thread has
    matrix = torch.eye(n, dtype=torch.float64) * 2 + torch.ones(n, n, dtype=torch.float64) / n
    b = torch.randn(1, 1, n, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="systems of so many equations do not fit a stack"):
        recc.load(text)(b, matrix, backend="cpu")
    y, _ = recc.load(text)(b, matrix)
    assert_close(y[0, 0], torch.linalg.solve(matrix, b[0, 0]))


OTHER_KIND = {
    "a real output": "x[N]: complex|z = 0.5 * z + x\n    output x[N] = real(z)",
    "a complex output": "x[N], a[N]: complex|z = 0.5 * tanh(a) * z + x\n    x = z\n    output x",
}


@pytest.mark.parametrize("name", OTHER_KIND)
def test_an_output_called_as_a_variable_of_the_other_kind(name: str) -> None:
    inputs, update = OTHER_KIND[name].split("|")
    passes(f"    input {inputs}\n    state z[N]: complex\n    {update}\n")
