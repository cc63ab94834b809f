"""Packed sequences against the same sequences one by one."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from runtime_recurrences import SPECS, arguments, flat, methods
from test_values import assert_same
from torch import Tensor
from torch.testing import assert_close

from recc.runtime.call import call
from recc.runtime.packing import pack

CASES = [(name, method) for name in SPECS for method in methods(name)]
LENGTHS = [[5, 0, 23, 5, 7, 0, 30], [8], [4, 4, 4], [9, 5, 2], [2, 5, 9], [0, 3]]


def bounds(lengths: list[int], dtype: torch.dtype = torch.int32) -> Tensor:
    return torch.tensor([0, *torch.tensor(lengths, dtype=torch.long).cumsum(0).tolist()], dtype=dtype)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("reverse", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize(("name", "method"), CASES)
def test_one_by_one(name: str, method: str, lengths: list[int], reverse: bool, given: bool) -> None:
    spec = replace(SPECS[name], tile=4)
    x, w, _ = arguments(name, 1, sum(lengths))
    s = arguments(name, len(lengths), 1)[2]
    tensors = [t.requires_grad_() for t in x + w + (s if given else [])]
    cu = bounds(lengths)

    def solve(x: list[Tensor], rows: slice, **options: Any) -> list[Tensor]:
        start = tuple(t[rows] for t in s) if given else None
        outputs, final = call(spec, x, w, start, True, reverse=reverse, **options)
        return [*flat(outputs), *flat(final)]

    packed = solve(x, slice(None), cu_seqlens=cu, method=method)
    each = [
        solve([t[:, cu[i] : cu[i + 1]] for t in x], slice(i, i + 1), method="sequential") for i in range(len(lengths))
    ]
    count = len(spec.signature.outputs)
    expected = [torch.cat(parts, 1 if i < count else 0) for i, parts in enumerate(zip(*each, strict=True))]
    assert_same(packed, expected, tensors)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]], ids=str)
@pytest.mark.parametrize(("name", "method"), CASES)
def test_nothing_but_empty_sequences(name: str, method: str, lengths: list[int]) -> None:
    x, w, _ = arguments(name, 1, 0)
    s = [t.requires_grad_() for t in arguments(name, len(lengths), 1)[2]]
    outputs, final = call(SPECS[name], x, w, tuple(s), True, cu_seqlens=bounds(lengths), method=method)
    assert all(o.shape[:3] == (1, 0, 2) for o in flat(outputs))
    assert_close(flat(final), s)
    torch.cat([f.abs().flatten() for f in flat(final)]).sum().backward()
    assert_close([t.grad for t in s], [t.detach().sgn() for t in s])


def test_params_by_sequence() -> None:
    x, (u, U, h0), _ = arguments("rnn", 1, 9)
    own = [torch.stack([u, -u, 2 * u]), U, h0]
    tensors = [t.requires_grad_() for t in x + own]
    cu = bounds([2, 4, 3])
    packed, _ = call(SPECS["rnn"], x, own, cu_seqlens=cu)
    each = [call(SPECS["rnn"], [x[0][:, cu[i] : cu[i + 1]]], [own[0][i], U, h0])[0] for i in range(3)]
    assert_same([packed], [torch.cat(each, 1)], tensors)


def test_the_order_in_which_sequences_are_packed_does_not_matter() -> None:
    x, _, _ = arguments("delta", 1, 30)
    one, _ = call(SPECS["delta"], x, [], cu_seqlens=bounds([10, 17, 3]))
    swapped = [torch.cat([t[:, 10:27], t[:, :10], t[:, 27:]], 1) for t in x]
    two, _ = call(SPECS["delta"], swapped, [], cu_seqlens=bounds([17, 10, 3]))
    assert_close(torch.cat([two[:, 17:27], two[:, :17], two[:, 27:]], 1), one)


def test_blocks_have_no_padding() -> None:
    lengths = [5, 0, 23, 5, 7]
    packing = pack(lengths, False, torch.device("cpu"))
    assert [tuple(block) for block in packing.blocks] == [(4, 0, 5), (2, 5, 7), (1, 7, 23)]
    assert packing.steps is not None and sorted(packing.steps.tolist()) == list(range(40))
    assert packing.order.tolist() == [2, 4, 0, 3, 1]
    assert pack([4, 4], False, torch.device("cpu")).steps is None


def test_many_sequences() -> None:
    lengths = torch.randint(0, 7, (3000,)).tolist()
    x = [torch.rand(1, sum(lengths), 1), torch.rand(1, sum(lengths), 1)]
    output, final = call(SPECS["linear"], x, [], output_final_state=True, cu_seqlens=bounds(lengths))
    ends = bounds(lengths)[1:].long()
    assert_close(final[:, 0], torch.where(torch.tensor(lengths) > 0, output[0, ends - 1, 0], 0.0))


@pytest.mark.parametrize(
    ("cu_seqlens", "error", "message"),
    [
        ([0, 4, 9], TypeError, "cu_seqlens: expected a tensor, got list"),
        (torch.tensor([0.0, 9.0]), TypeError, "cu_seqlens: expected int32 or int64, got torch.float32"),
        (torch.tensor([[0, 9]]), ValueError, "cu_seqlens: expected shape (N + 1,), got (1, 2)"),
        (torch.tensor([], dtype=torch.int32), ValueError, "cu_seqlens: expected shape (N + 1,), got (0,)"),
        (torch.tensor([1, 9]), ValueError, "cu_seqlens: expected to start at 0, got 1"),
        (torch.tensor([0, 5, 3, 9]), ValueError, "cu_seqlens: expected to never decrease, got 5 and then 3 at index 2"),
        (torch.tensor([0, 5]), ValueError, "cu_seqlens: expected to end at the number of steps, 9, got 5"),
        (torch.tensor([0, 12]), ValueError, "cu_seqlens: expected to end at the number of steps, 9, got 12"),
    ],
    ids=str,
)
def test_bad_bounds(cu_seqlens: Any, error: type[Exception], message: str) -> None:
    x, _, _ = arguments("linear", 1, 9)
    with pytest.raises(error) as raised:
        call(SPECS["linear"], x, [], cu_seqlens=cu_seqlens)
    assert str(raised.value) == message


def test_packed_sequences_have_no_batch() -> None:
    x, _, _ = arguments("linear", 2, 9)
    with pytest.raises(ValueError, match=r"^a: expected B = 1 with cu_seqlens, as in \(1, 9, ...\), got B = 2$"):
        call(SPECS["linear"], x, [], cu_seqlens=bounds([4, 5]))
