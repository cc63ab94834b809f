"""What a backward pass computes once, or takes from the forward pass: the gradients are those of computing it again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_native_blocks import CELL, HEADS, ROTATION, arguments, results

import recc

SPECS = Path(__file__).parents[3] / "specs"
GATED = """recurrence gated:
    input  x[D], k[D], s
    param  a[D]
    state  h[D], n
    z = sigmoid(x + a)
    norm = sqrt(sum(h * h) + 1)
    n = n * exp(-s * s) + norm
    h = (1 - z) * h + z * tanh(k) / norm
    output h, m = n
"""
OSCILLATORS = """recurrence oscillators:
    input  x[D]
    param  w[D], C[D, D]
    state  z[D]: complex
    z = exp(1j * w) * z + tanh(real(z)) * x
    output y[D] = real(z)
"""
PACKED = torch.tensor([0, 3, 3, 40, 41, 77, 100])


def part_of(text: str, name: str) -> str:
    """A function of a module's C text."""
    return text.partition(f"static void {name}(")[2].partition("\n}\n")[0]


def test_dear_values_are_computed_once() -> None:
    text = recc.compile(GATED)
    replay, backward = part_of(text, "replay_step"), part_of(text, "backward_step")
    for function in ("real_sigmoid", "real_tanh", "real_exp", "real_sqrt"):
        assert function in replay
        assert function not in backward


def test_cheap_values_are_not_kept() -> None:
    """What a multiplication makes costs less than to store it and to read it."""
    text = recc.compile(
        "recurrence cheap:\n    input a[D], x[D]\n    state h[D]\n    h = (a * x + 1) * h + x\n    output h\n"
    )
    assert "kept_" not in text


def test_nothing_is_kept_where_nothing_is_replayed() -> None:
    """The adjoint of a step that is linear in a state whose factor it does not learn needs no states."""
    text = recc.compile("recurrence plain:\n    input x[D]\n    state h[D]\n    h = 0.5 * h + exp(x)\n    output h\n")
    assert "replay_step" not in text
    assert "real_exp" in part_of(text, "backward_step")


@pytest.mark.parametrize("text", [GATED, OSCILLATORS], ids=["gated", "oscillators"])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"cu_seqlens": PACKED}], ids=["dense", "reverse", "packed"])
@pytest.mark.parametrize("size", [1, 7, 32])
def test_gradients(text: str, options: dict[str, object], size: int) -> None:
    tensors = arguments(text, 1 if "cu_seqlens" in options else 3, 100, {"D": size}, torch.float64)
    for got, want in zip(
        results(text, tensors, "cpu", **options), results(text, tensors, "torch", **options), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("text", [CELL, HEADS, ROTATION], ids=["cell", "heads", "rotation"])
@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (3, 70), (8, 65), (17, 20)])
def test_steps_of_a_block_are_kept_or_computed_again(
    text: str, rows: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = arguments(text, rows, steps, {"D": 5, "H": 7, "N": 3}, torch.float64)
    same_both_ways(text, tensors, monkeypatch)


@pytest.mark.parametrize("text", [CELL, HEADS, ROTATION], ids=["cell", "heads", "rotation"])
@pytest.mark.parametrize("bounds", [PACKED, torch.tensor([0, 100]), torch.arange(101), torch.tensor([0] * 9 + [100])])
def test_packed_blocks_are_kept_or_computed_again(
    text: str, bounds: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = arguments(text, 1, 100, {"D": 5, "H": 7, "N": 3}, torch.float64)
    same_both_ways(text, tensors, monkeypatch, cu_seqlens=bounds)
    same_both_ways(text, tensors, monkeypatch, cu_seqlens=bounds, reverse=True)


def test_lanes_of_blocks_are_kept_or_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = {"x": (3, 20, 2, 5, 5), "gain": (3, 20, 2, 5)}
    tensors = [
        torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_() for shape in sizes.values()
    ]
    tensors += arguments(CELL, 1, 1, {"D": 5, "H": 7}, torch.float64)[2:]
    same_both_ways(CELL, tensors, monkeypatch)


def same_both_ways(text: str, tensors: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
    """With what all steps need kept from the forward pass, and with the states at the entry of tiles alone."""
    module = recc.load(text).__globals__
    assert kept_bytes(text, tensors, **options) == 0  # so small a step is quickly computed again
    monkeypatch.setitem(module, "LARGE_PRODUCTS", 0)
    plan = kept_bytes(text, tensors, **options)
    assert plan > 0
    kept = results(text, tensors, "cpu", **options)
    monkeypatch.setitem(module, "PAST_BYTES", plan - 1)
    assert kept_bytes(text, tensors, **options) == 0
    again = results(text, tensors, "cpu", **options)
    monkeypatch.undo()
    for got, want in zip(kept, again, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def kept_bytes(text: str, tensors: list[torch.Tensor], **options: object) -> int:
    """What a call's autograd node says that it keeps of all steps."""
    out, _ = recc.load(text)(*tensors, backend="cpu", **options)
    nodes = [(out if isinstance(out, tuple) else (out,))[0].grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None and hasattr(node, "plan"):
            return node.plan.past  # pyright: ignore[reportAttributeAccessIssue]
        nodes += [] if node is None else [before for before, _ in node.next_functions]
    raise AssertionError("no native code was differentiated")
