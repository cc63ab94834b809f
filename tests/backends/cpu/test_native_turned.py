"""Matrices that are turned once for many steps: the same results as with their rows, for all threads of a block."""

from __future__ import annotations

import re

import pytest
import torch
from test_native_ahead import BOTH, HEADS, LATE, LAYER, ROTATION, SIZES
from test_native_blocks import CELL, arguments, assert_same_for_any_threads, compare

import recc

SPECS = {"layer": LAYER, "late": LATE, "both": BOTH, "heads": HEADS, "rotation": ROTATION, "cell": CELL}
MANY = 130  # steps, more than a copy takes to pay
named = pytest.mark.parametrize("text", SPECS.values(), ids=SPECS.keys())


@pytest.mark.parametrize("text", [LAYER, LATE, BOTH, HEADS, CELL], ids=["layer", "late", "both", "heads", "cell"])
def test_copies_are_made(text: str) -> None:
    """The tests below are about code that these specs have: forwards, or where only the adjoint reads rows, back."""
    assert re.search(r"if \(block.longest >= TURNED_STEPS\) turn\(&opened, copies", recc.compile(text))


@named
@pytest.mark.parametrize("rows", [1, 3, 8, 11])
@pytest.mark.parametrize("past", [0, 2**26], ids=["replayed", "kept"])
def test_many_steps(text: str, rows: int, past: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recc.load(text).__globals__
    monkeypatch.setitem(module, "LARGE_PRODUCTS", 1)
    monkeypatch.setitem(module, "PAST_BYTES", past)
    compare(text, arguments(text, rows, MANY, SIZES, torch.float64))


@pytest.mark.parametrize("size", [1, 15, 16, 33, 70])
@pytest.mark.parametrize("other", [1, 17, 40])
def test_any_size_of_matrix(size: int, other: int) -> None:
    compare(LAYER, arguments(LAYER, 4, MANY, {"C": other, "D": size}, torch.float64))


@named
@pytest.mark.parametrize("lengths", [[9, 0, 1, 140, 7], [129, 2, 127, 128, 0, 1, 2, 3, 4, 200]])
def test_packed_sequences(text: str, lengths: list[int]) -> None:
    """In blocks with a long sequence and in blocks without."""
    tensors = arguments(text, 1, sum(lengths), SIZES, torch.float64)
    compare(text, tensors, cu_seqlens=torch.tensor([0, *lengths]).cumsum(0))


@named
@pytest.mark.parametrize("rows", [1, 11])
def test_threads_change_nothing(text: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = arguments(text, rows, MANY, {"C": 40, "D": 70, "E": 33, "N": 2, "H": 24}, torch.float32)
    module = recc.load(text).__globals__
    for name, number in (("SHARED_WORK", 1), ("LARGE_PRODUCTS", 1)):
        monkeypatch.setitem(module, name, number)
    assert_same_for_any_threads(text, tensors)


def test_a_row_is_the_same_among_others() -> None:
    x, *params = (t.detach() for t in arguments(LAYER, 8, MANY, {"C": 40, "D": 33}, torch.float32))
    run = recc.load(LAYER)
    whole, _ = run(x, *params, backend="cpu")
    for rows in (slice(0, 1), slice(2, 5)):
        assert torch.equal(run(x[rows], *params, backend="cpu")[0], whole[rows])


def test_sequences_with_params_of_their_own() -> None:
    x, *params = arguments(LAYER, 3, MANY, SIZES, torch.float64)
    compare(LAYER, [x, *(torch.stack([t, t.roll(1), -t]).detach().requires_grad_() for t in params)])
