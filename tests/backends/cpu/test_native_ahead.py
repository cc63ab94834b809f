"""Products that need not be done step by step: native code of layers with their input products, against torch in
float64."""

from __future__ import annotations

import re

import pytest
import torch
from test_native_blocks import CELL, arguments, assert_same_for_any_threads, compare

import recc

LAYER = """recurrence layer:
    input  x[C]
    param  W[D, C], V[C, D], U[D, D], b[D]
    state  h[D], c[D]
    f = sigmoid(W @ x + U @ h + b)
    n = tanh(x @ V + f * (U @ h))
    c = f * c + (1 - f) * n
    h = tanh(c) * f
    output h
"""
LATE = """recurrence late:
    input  x[C]
    param  W[D, C], U[D, D], P[E, D], b[E]
    state  h[D]
    h = tanh(W @ exp(-x * x) + U @ h)
    output y[E] = P @ h + b, h
"""
BOTH = """recurrence both:
    input  x[D], gain
    param  W[D, D], V[D, D], U[D, D]
    state  h[D]
    u = gain * (x @ W)
    h = tanh(U @ h + u * x + V @ tanh(u)) + u * h
    output y[D] = u * h, z[D] = x @ W
"""
CHOSEN = """recurrence chosen:
    input  x[C], gate
    param  W[D, C], U[D, D], P[D, D], b[D]
    state  h[D]
    h = where(gate > 0, tanh(W @ x + U @ h), h)
    output y[D] = where(max(h, b) > 0.1, P @ h, gate), z[C] = where(gate > 0, 0, h @ W)
"""
HEADS = """recurrence heads:
    input  x[N, H]
    param  R[N, H, H], P[N, H, H], Q[N, H, H]
    state  h[N, H]
    u[n, j] = sum(R[n, k, j] * h[n, k], axis=k)
    v[n, j] = sum(P[n, j, k] * x[n, k], axis=k)
    h = tanh(u + v)
    o[n, j] = sum(Q[n, k, j] * h[n, k], axis=k)
    output o
"""
ROTATION = """recurrence rotation:
    input  x[C]: complex, r[C]
    param  U[H, H]: complex, W[H, C]: complex, V[H, C], P[C, H]: complex
    state  h[H]: complex
    h = 0.5 * (U @ h) + W @ x + V @ r
    output y[C]: complex = P @ h, z[H] = real(W @ x)
"""
SPECS = {
    "layer": LAYER,
    "late": LATE,
    "both": BOTH,
    "chosen": CHOSEN,
    "heads": HEADS,
    "rotation": ROTATION,
    "cell": CELL,
}
SIZES = {"C": 5, "D": 6, "E": 3, "N": 2, "H": 4}
STRETCH = 64  # steps, of so small matrices
named = pytest.mark.parametrize("text", SPECS.values(), ids=SPECS.keys())


@named
def test_products_are_taken_out_of_the_step(text: str) -> None:
    """The tests below are about code that these specs have."""
    code = recc.compile(text)
    for name in ("forward_ahead", "forward_behind" if text == CHOSEN else "backward_behind"):
        assert re.search(rf"void {name}_step\(.*?^}}", code, re.DOTALL | re.MULTILINE)
    step = re.search(r"void forward_step\(.*?^}", code, re.DOTALL | re.MULTILINE)
    assert step is not None and "x_rows" not in step[0]


def test_what_waits_for_the_state_is_left_in_the_step() -> None:
    code = recc.compile(
        "recurrence r:\n    input x[D]\n    param U[D, D]\n    state h[D]\n    h = tanh(x + U @ h)\n    output h\n"
    )
    assert "struct block block" in code and "STRETCH" not in code and "widened" not in code


@named
@pytest.mark.parametrize("steps", [0, 1, STRETCH - 1, STRETCH, STRETCH + 1, 2 * STRETCH + 5])
def test_any_number_of_steps(text: str, steps: int) -> None:
    compare(text, arguments(text, 3, steps, SIZES, torch.float64))


@named
@pytest.mark.parametrize("rows", [1, 8, 11])
@pytest.mark.parametrize("past", [0, 2**26], ids=["replayed", "kept"])
def test_any_number_of_rows(text: str, rows: int, past: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recc.load(text).__globals__
    monkeypatch.setitem(module, "LARGE_PRODUCTS", 1)
    monkeypatch.setitem(module, "PAST_BYTES", past)
    compare(text, arguments(text, rows, STRETCH + 9, SIZES, torch.float64))


@pytest.mark.parametrize("size", [1, 15, 16, 33, 70])
@pytest.mark.parametrize("other", [1, 17, 40])
def test_any_size_of_matrix(size: int, other: int) -> None:
    compare(LAYER, arguments(LAYER, 4, 10, {"C": other, "D": size}, torch.float64))


@named
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [[9, 0, 1, 140, 7], [0], [0, 0, 3], [70, 2, 2, 64, 2, 2, 2, 33, 0, 65]])
def test_packed_sequences(text: str, lengths: list[int], reverse: bool) -> None:
    tensors = arguments(text, 1, sum(lengths), SIZES, torch.float64)
    compare(text, tensors, cu_seqlens=torch.tensor([0, *lengths]).cumsum(0), reverse=reverse)


@named
@pytest.mark.parametrize("rows", [1, 3, 11])
@pytest.mark.parametrize("past", [0, 2**26], ids=["replayed", "kept"])
def test_threads_change_nothing(text: str, rows: int, past: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that take blocks of their own, nor those that share one."""
    tensors = arguments(text, rows, 75, {"C": 40, "D": 70, "E": 33, "N": 2, "H": 24}, torch.float32)
    module = recc.load(text).__globals__
    for name, number in (("SHARED_WORK", 1), ("LARGE_PRODUCTS", 1), ("PAST_BYTES", past)):
        monkeypatch.setitem(module, name, number)
    assert_same_for_any_threads(text, tensors)


def test_a_row_is_the_same_among_others_and_in_shorter_sequences() -> None:
    """Sums are taken in one order, however many rows and steps are computed at once."""
    x, *params = (t.detach() for t in arguments(LAYER, 8, STRETCH + 7, {"C": 40, "D": 33}, torch.float32))
    run = recc.load(LAYER)
    whole, _ = run(x, *params, backend="cpu")
    for steps in (1, 5, STRETCH):
        part, _ = run(x[:, :steps], *params, backend="cpu")
        assert torch.equal(part, whole[:, :steps])
    mixed, _ = run(torch.cat((x[:5], x.flip(0))), *params, backend="cpu")
    assert torch.equal(mixed[:5], whole[:5])


def test_what_is_void_cannot_be_seen() -> None:
    """A NaN in one sequence stays there, though its neighbours' products are done together with its own."""
    lengths = [5, 90, 3, 90]
    tensors = arguments(LATE, 1, sum(lengths), SIZES, torch.float64)
    with torch.no_grad():
        tensors[0][0, 2] = float("nan")
    out, _ = recc.load(LATE)(*tensors, backend="cpu", cu_seqlens=torch.tensor([0, *lengths]).cumsum(0))
    assert out.y[0, 2:5].isnan().all() and not out.y[0, 5:].isnan().any()
    (gradient,) = torch.autograd.grad(out.y[0, 5:].sum(), tensors[0])
    assert not gradient[0, 5:].isnan().any()


def test_half_precision() -> None:
    tensors = arguments(BOTH, 8, STRETCH + 2, {"D": 16}, torch.float32)
    x = [t.detach().bfloat16().requires_grad_() for t in tensors[:2]] + [t.detach() for t in tensors[2:]]
    found = []
    for backend in ("cpu", "torch"):
        out, _ = recc.load(BOTH)(*x, backend=backend)
        found.append([*out, *torch.autograd.grad(out.y.float().sum() + out.z.float().sum(), x[:2])])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=2e-2, atol=2e-2)


def test_lanes_with_params_of_their_own() -> None:
    x, *params = arguments(LAYER, 6, 11, SIZES, torch.float64)
    inputs = [torch.stack([x, 2 * x, -x], 2).detach().requires_grad_()]
    own = [torch.stack([t, t.roll(1), -t]).detach().requires_grad_() for t in params]
    compare(LAYER, inputs + own)
