"""Packed sequences of different lengths, without padding and without masks.

Sequences are sorted by length, longest first. Between two consecutive distinct lengths the same rows are active, and
their steps form a dense block; a sequence that has ended drops out, and its state with it. Outputs go back to where
their steps came from. All of it is indexing, so gradients need nothing of their own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recc.runtime.tiles import Tensors


class Block(NamedTuple):
    """The steps `begin` to `end` of the `rows` longest sequences, all of which have them."""

    rows: int
    begin: int
    end: int


class Packing(NamedTuple):
    """How packed sequences become blocks: `steps` lists the packed steps block by block, row by row."""

    blocks: tuple[Block, ...]
    steps: Tensor | None  # (total); None when that is the order they are in
    order: Tensor  # (N), the sequences, longest first


def check_cu_seqlens(cu_seqlens: Any, batch: int, total: int, name: str) -> Tensor:
    """`cu_seqlens` if it may be one, by type and shape; `name` is an input's, for the message on its batch size."""
    if not isinstance(cu_seqlens, Tensor):
        raise TypeError(f"cu_seqlens: expected a tensor, got {type(cu_seqlens).__name__}")
    if cu_seqlens.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"cu_seqlens: expected int32 or int64, got {cu_seqlens.dtype}")
    if cu_seqlens.dim() != 1 or cu_seqlens.shape[0] == 0:
        raise ValueError(f"cu_seqlens: expected shape (N + 1,), got {tuple(cu_seqlens.shape)}")
    if batch != 1:
        raise ValueError(f"{name}: expected B = 1 with cu_seqlens, as in (1, {total}, ...), got B = {batch}")
    return cu_seqlens


def sequence_lengths(cu_seqlens: Tensor, total: int) -> list[int]:
    """The lengths of packed sequences; raises ValueError unless they fill `total` steps."""
    bounds: list[int] = cu_seqlens.tolist()
    if bounds[0] != 0:
        raise ValueError(f"cu_seqlens: expected to start at 0, got {bounds[0]}")
    for i, (a, b) in enumerate(zip(bounds, bounds[1:], strict=False)):
        if b < a:
            raise ValueError(f"cu_seqlens: expected to never decrease, got {a} and then {b} at index {i + 1}")
    if bounds[-1] != total:
        raise ValueError(f"cu_seqlens: expected to end at the number of steps, {total}, got {bounds[-1]}")
    return [b - a for a, b in zip(bounds, bounds[1:], strict=False)]


def pack(lengths: Sequence[int], reverse: bool, device: torch.device) -> Packing:
    """The blocks of sequences of these lengths, each sequence from its end if in reverse."""
    count = torch.tensor(lengths, dtype=torch.long)
    order = torch.argsort(count, descending=True, stable=True)
    ends = count.cumsum(0)
    firsts = (ends - 1 if reverse else ends - count)[order].unsqueeze(1)
    distinct = sorted({n for n in lengths if n > 0})
    rows = (len(lengths) - torch.searchsorted(count[order.flip(0)], torch.tensor(distinct))).tolist()
    blocks = tuple(map(Block, rows, [0, *distinct], distinct))
    offsets = [torch.arange(block.begin, block.end) for block in blocks]
    steps = [firsts[: block.rows] + (-k if reverse else k) for block, k in zip(blocks, offsets, strict=True)]
    index = torch.cat([part.flatten() for part in steps]) if steps else torch.zeros(0, dtype=torch.long)
    same = bool((index == torch.arange(len(index))).all())
    return Packing(blocks, None if same else index.to(device), order.to(device))


def inverse(permutation: Tensor) -> Tensor:
    return torch.argsort(permutation)


def block_of(tensor: Tensor, block: Block, start: int) -> Tensor:
    """A block's steps `(rows, steps, ...)`, of a tensor `(1, total, ...)` that is in the order of the blocks."""
    count = block.end - block.begin
    return tensor.narrow(1, start, block.rows * count).reshape(block.rows, count, *tensor.shape[2:])


def longest(tensors: Tensors, rows: int) -> Tensors:
    """The first rows of tensors that have a row for each sequence; params may have one for all."""
    return tuple(t if t.shape[0] == 1 else t.narrow(0, 0, rows) for t in tensors)


def solve_packed(
    dense: Callable[[Tensors, Tensors, Tensors], tuple[Tensors, Tensors]],
    x: Tensors,
    w: Tensors,
    s: Tensors,
    packing: Packing,
) -> tuple[Tensors, Tensors]:
    """Outputs `(1, total, ...)` and final states `(N, 1, ...)` of packed sequences.

    `dense(x, w, s)` solves `(rows, steps, ...)`. `s` has a row for each sequence, and so may params.
    """
    order, steps = packing.order, packing.steps
    s = tuple(t.index_select(0, order) for t in s)
    w = tuple(t if t.shape[0] == 1 else t.index_select(0, order) for t in w)
    if steps is not None:
        x = tuple(t.index_select(1, steps) for t in x)
    parts: list[Tensors] = []
    ended: list[Tensors] = []
    start = 0
    for block in packing.blocks:
        ended.append(tuple(t.narrow(0, block.rows, t.shape[0] - block.rows) for t in s))
        inputs = tuple(block_of(t, block, start) for t in x)
        outputs, s = dense(inputs, longest(w, block.rows), longest_states(s, block.rows))
        parts.append(tuple(o.flatten(0, 1).unsqueeze(0) for o in outputs))
        start += block.rows * (block.end - block.begin)
    ended.append(s)
    finals = tuple(
        torch.cat(column, 0).index_select(0, inverse(order)) for column in zip(*reversed(ended), strict=True)
    )
    if not parts:
        return dense(x, one_row(w), one_row(s))[0], finals
    joined = (torch.cat(column, 1) for column in zip(*parts, strict=True))
    return tuple(o if steps is None else o.index_select(1, inverse(steps)) for o in joined), finals


def longest_states(states: Tensors, rows: int) -> Tensors:
    return tuple(t.narrow(0, 0, rows) for t in states)


def one_row(tensors: Tensors) -> Tensors:
    """Any values in the shape of one sequence: there is no step that would read them."""
    return tuple(t.new_zeros((1, *t.shape[1:])) for t in tensors)


def differentiate_packed(
    forward: Callable[[Tensors, Tensors, Tensors], tuple[Any, Tensors]],
    backward: Callable[[Any, Tensors, Tensors], tuple[Tensors, Tensors, Tensors]],
    arguments: tuple[Tensors, Tensors, Tensors],
    cotangents: tuple[Tensors, Tensors],
    packing: Packing,
) -> tuple[Tensors, Tensors, Tensors]:
    """Cotangents of `(x, w, s)` from those of what `solve_packed` returns, where no autograd graph can be recorded.

    `forward(x, w, s)` solves one block and returns what `backward` needs, and the final states.
    """
    (x, w, s), (d_outputs, d_finals) = arguments, cotangents
    order, steps = packing.order, packing.steps
    s, d_finals = (tuple(t.index_select(0, order) for t in ts) for ts in (s, d_finals))
    d_w = tuple(torch.zeros_like(t) for t in w)
    sorted_w = tuple(t if t.shape[0] == 1 else t.index_select(0, order) for t in w)
    if steps is not None:
        x, d_outputs = (tuple(t.index_select(1, steps) for t in ts) for ts in (x, d_outputs))
    starts, saved = [0], []
    for block in packing.blocks:
        inputs = tuple(block_of(t, block, starts[-1]) for t in x)
        kept, s = forward(inputs, longest(sorted_w, block.rows), longest_states(s, block.rows))
        saved.append(kept)
        starts.append(starts[-1] + block.rows * (block.end - block.begin))
    d_s: Tensors = tuple(t.narrow(0, 0, 0) for t in d_finals)
    parts: list[Tensors] = []
    for block, start, kept in reversed(list(zip(packing.blocks, starts, saved, strict=False))):
        d_s = with_rows(d_s, d_finals, block.rows)
        d_x, d_block, d_s = backward(kept, tuple(block_of(t, block, start) for t in d_outputs), d_s)
        parts.append(tuple(t.flatten(0, 1).unsqueeze(0) for t in d_x))
        d_w = tuple(add_rows(total, part) for total, part in zip(d_w, d_block, strict=True))
    d_s = with_rows(d_s, d_finals, d_finals[0].shape[0])
    back = inverse(order)
    d_w = tuple(t if t.shape[0] == 1 else t.index_select(0, back) for t in d_w)
    joined = tuple(torch.cat(column, 1) for column in zip(*reversed(parts), strict=True)) or tuple(
        map(torch.zeros_like, x)
    )
    d_x = joined if steps is None else tuple(t.index_select(1, inverse(steps)) for t in joined)
    return d_x, d_w, tuple(t.index_select(0, back) for t in d_s)


def with_rows(top: Tensors, full: Tensors, rows: int) -> Tensors:
    """The rows of `top`, and those of `full` after them, up to `rows`."""
    return tuple(torch.cat([a, b.narrow(0, a.shape[0], rows - a.shape[0])], 0) for a, b in zip(top, full, strict=True))


def add_rows(total: Tensor, part: Tensor) -> Tensor:
    """`part` added to the first rows of `total`."""
    rest = total.narrow(0, part.shape[0], total.shape[0] - part.shape[0])
    return torch.cat([total.narrow(0, 0, part.shape[0]) + part, rest], 0)
