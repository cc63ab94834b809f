"""Rows that are walked side by side: native code of specs that multiply by matrices of params, against torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import recc

CELL = """recurrence cell:
    input  x[D], gain
    param  W[H, D], U[H, H], A[H, H], b[H], scale
    state  h[H], count = 0
    r = sigmoid(W @ x + h @ U)
    n = tanh(gain * (U @ (r * h)) + A @ h + b)
    h = r * h + scale * (1 - r) * n
    count = count + h @ b
    output h, y[D] = h @ W, total = count
"""
HEADS = """recurrence heads:
    input  x[N, H]
    param  R[N, H, H], P[H, H]
    state  h[N, H]
    u[n, j] = sum(R[n, k, j] * h[n, k], axis=k)
    h = tanh(x + u + h @ P)
    output h
"""
ROTATION = """recurrence rotation:
    input  x[H]
    param  U[H, H]: complex
    state  h[H]: complex
    h = 0.5 * (U @ h) + x
    output y[H] = real(h)
"""


def arguments(text: str, rows: int, steps: int, sizes: dict[str, int], dtype: torch.dtype) -> list[torch.Tensor]:
    """Random inputs `(rows, steps, ...)` and params of a spec."""
    (recurrence,) = recc.check(text).recurrences
    generator = torch.Generator().manual_seed(rows + 31 * steps)

    def make(var, leading: tuple[int, ...]) -> torch.Tensor:
        shape = (*leading, *(sizes[size] for size in var.sizes))
        wide = (torch.complex128 if dtype == torch.float64 else torch.complex64) if var.complex else dtype
        scale = max(1, shape[-1] if var.sizes else 1) ** -0.5
        return (torch.randn(shape, dtype=wide, generator=generator) * scale).requires_grad_()

    inputs = [make(var, (rows, steps)) for var in recurrence.inputs]
    return inputs + [make(var, ()) for var in recurrence.params]


def results(text: str, tensors: list[torch.Tensor], backend: str, **options: object) -> list[torch.Tensor]:
    """Outputs, final states and gradients."""
    out, state = recc.load(text)(*tensors, backend=backend, output_final_state=True, **options)
    found = [*(out if isinstance(out, tuple) else (out,)), *(state if isinstance(state, tuple) else (state,))]
    weights = [torch.linspace(0.5, 1.5, y.numel(), dtype=y.real.dtype).reshape(y.shape) for y in found]
    loss = torch.stack([(w * y.real).sum() for w, y in zip(weights, found, strict=True)]).sum()
    return [*found, *torch.autograd.grad(loss, tensors, allow_unused=True, materialize_grads=True)]


def assert_same_for_any_threads(text: str, tensors: list[torch.Tensor]) -> None:
    """The same bits with one thread, with some, and with a number that divides nothing."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 4, 3):
            torch.set_num_threads(threads)
            found.append(results(text, tensors, "cpu"))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))


def compare(text: str, tensors: list[torch.Tensor], **options: object) -> None:
    pairs = [results(text, tensors, backend, **options) for backend in ("cpu", "torch")]
    for got, want in zip(*pairs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("text", [CELL, HEADS, ROTATION], ids=["cell", "heads", "rotation"])
def test_is_walked_in_blocks(text: str) -> None:
    """The tests below are about code that these specs have."""
    assert "struct block block" in recc.compile(text)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 9, 16, 17])
def test_any_number_of_rows(rows: int) -> None:
    compare(CELL, arguments(CELL, rows, 20, {"D": 5, "H": 7}, torch.float64))


@pytest.mark.parametrize("size", [1, 2, 3, 8, 15, 16, 31, 33, 40, 70])
def test_any_size_of_matrix(size: int) -> None:
    for other in (1, 9, 24):
        compare(CELL, arguments(CELL, 9, 3, {"D": other, "H": size}, torch.float64))


@pytest.mark.parametrize("size", [5, 16, 37, 64, 67])
def test_float32(size: int) -> None:
    tensors = arguments(CELL, 16, 6, {"D": 18, "H": size}, torch.float32)
    found = results(CELL, tensors, "cpu")
    exact = results(CELL, [t.detach().double().requires_grad_() for t in tensors], "torch")
    for got, want in zip(found, exact, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("text", [HEADS, ROTATION], ids=["heads", "rotation"])
@pytest.mark.parametrize("rows", [1, 4, 9])
def test_heads_and_complex_matrices(text: str, rows: int) -> None:
    compare(text, arguments(text, rows, 19, {"N": 3, "H": 6}, torch.float64))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [[9, 0, 1, 40, 7], [0], [17], [0, 0, 3], [1] * 19, [70, 2, 2, 2, 2, 2, 2, 33, 0]])
def test_packed_sequences_of_all_lengths(lengths: list[int], reverse: bool) -> None:
    tensors = arguments(CELL, 1, sum(lengths), {"D": 4, "H": 6}, torch.float64)
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    compare(CELL, tensors, cu_seqlens=bounds, reverse=reverse)


def test_what_is_void_cannot_be_seen() -> None:
    """A NaN in one sequence stays there, though its neighbours go on beyond its end."""
    lengths = [5, 30, 3, 30]
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    tensors = arguments(CELL, 1, sum(lengths), {"D": 4, "H": 6}, torch.float64)
    with torch.no_grad():
        tensors[0][0, 2] = float("nan")
    out, _ = recc.load(CELL)(*tensors, backend="cpu", cu_seqlens=bounds)
    assert out.h[0, 2:5].isnan().all() and not out.h[0, 5:].isnan().any()
    (gradient,) = torch.autograd.grad(out.h[0, 5:].sum(), tensors[0])
    assert not gradient[0, 5:].isnan().any()


def test_lanes_with_params_of_their_own() -> None:
    tensors = arguments(CELL, 6, 11, {"D": 3, "H": 5}, torch.float64)
    inputs = [torch.stack([t, 2 * t, -t], 2).detach().requires_grad_() for t in tensors[:2]]
    params = [torch.stack([t, t.roll(1), -t]).detach().requires_grad_() for t in tensors[2:]]
    compare(CELL, inputs + params)


@pytest.mark.parametrize("text", [CELL, HEADS, ROTATION], ids=["cell", "heads", "rotation"])
@pytest.mark.parametrize("rows", [1, 5, 19])
@pytest.mark.parametrize("past", [0, 2**26], ids=["replayed", "kept"])
def test_threads_change_nothing(text: str, rows: int, past: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that take blocks of their own, nor those that share one."""
    tensors = arguments(text, rows, 70, {"D": 24, "H": 70, "N": 3}, torch.float32)
    module = recc.load(text).__globals__
    monkeypatch.setitem(module, "SHARED_WORK", 1)
    monkeypatch.setitem(module, "LARGE_PRODUCTS", 1)
    monkeypatch.setitem(module, "PAST_BYTES", past)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7, 16, 1):
            torch.set_num_threads(threads)
            found.append(results(text, tensors, "cpu"))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))


def test_calls_that_share_blocks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of two calls never wait for each other."""
    tensors = [t.detach() for t in arguments(CELL, 4, 50, {"D": 8, "H": 40}, torch.float32)]
    f = recc.load(CELL)
    monkeypatch.setitem(f.__globals__, "SHARED_WORK", 1)
    monkeypatch.setitem(f.__globals__, "LARGE_PRODUCTS", 1)
    before = torch.get_num_threads()
    want, _ = f(*tensors, backend="cpu")
    try:
        torch.set_num_threads(3)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: f(*tensors, backend="cpu")[0].h, range(12)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(h, want.h) for h in found)


def test_half_precision() -> None:
    tensors = arguments(CELL, 8, 12, {"D": 5, "H": 16}, torch.float32)
    half = [t.detach().bfloat16() for t in tensors[:2]] + [t.detach() for t in tensors[2:]]
    got, _ = recc.load(CELL)(*half, backend="cpu")
    want, _ = recc.load(CELL)(*half, backend="torch")
    for x, y in zip(got, want, strict=True):
        torch.testing.assert_close(x, y)


def test_one_step_at_a_time() -> None:
    f = recc.load("gru")
    tensors = [t.detach() for t in arguments("gru", 5, 7, {"D": 33}, torch.float32)]
    out, _ = f(*tensors, backend="cpu")
    h = torch.zeros(5, 33)
    for t in range(7):
        y, h = f.step(h, *(x[:, t] for x in tensors[:3]), *tensors[3:])
        torch.testing.assert_close(y, out[:, t])
