"""The time of a few sequences shared out among threads: its chunks are summed up first, then walked side by side.

What a chunk does to the state it begins with is summed up in C, as a scan sums tiles up in torch. The states between
chunks follow from these summaries one after the other, and then each chunk is a sequence of its own. Whether, and into
how many chunks, follows from shapes and the machine, so that results do not depend on the number of threads.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recc.runtime.native import (
    final_cotangents,
    invoke,
    laid_out,
    output_cotangents,
    walk_backward,
    walk_forward,
)
from recc.runtime.native_plan import NativeCall
from recc.runtime.native_threads import processors
from recc.runtime.program import Port, Program, Sharing
from recc.runtime.tiles import Tensors, fit, spread


class Chunks(NamedTuple):
    """The chunks of all sequences, as packed sequences: their bounds, and the first chunk of each sequence, with one
    more for the end of the last."""

    bounds: Tensor
    firsts: tuple[int, ...]

    def inner(self, plan: NativeCall) -> NativeCall:
        """The call that walks the chunks."""
        return replace(plan, rows=self.firsts[-1], steps=int(self.bounds[-1]), bounds=self.bounds, chunks=(None, None))

    def orders(self, back: bool) -> list[list[int]]:
        """The chunks of each sequence, in the order in which they are walked."""
        found = [list(range(*pair)) for pair in zip(self.firsts, self.firsts[1:], strict=False)]
        return [order[::-1] for order in found] if back else found

    def sequences(self) -> Tensor:
        """The sequence that each chunk belongs to."""
        return torch.repeat_interleave(torch.tensor(self.firsts, device="cpu").diff())


def split_time(plan: NativeCall) -> tuple[Chunks | None, Chunks | None]:
    """The chunks of a call forwards and back, where the machine has more processors than there are rows and they are
    expected to pay. Tiles are never split: both ways of walking keep the same entry states."""
    rows = plan.rows * prod(plan.lanes)
    if plan.rows == 0 or rows >= processors() or plan.spec.cost is None:
        return None, None
    lengths = [plan.steps] * plan.rows if plan.bounds is None else plan.bounds.diff().tolist()
    expected = plan.spec.cost(plan.sizes, sum(lengths) // plan.rows, rows, 1, True, processors())
    forward, backward = (chunks_of(lengths, count, plan.tile) for count in expected.chunks)
    return forward, backward


def chunks_of(lengths: Sequence[int], count: int, tile: int) -> Chunks | None:
    """Sequences in `count` chunks each, where they are of average length; None if none has more than one."""
    length = -(-sum(lengths) // (len(lengths) * count * tile)) * tile
    if count < 2 or length >= max(lengths):
        return None
    bounds, firsts = [0], [0]
    for steps in lengths:
        begin = bounds[-1]
        bounds += [begin + min(end, steps) for end in range(length, max(steps, 1) + length, length)]
        firsts.append(len(bounds) - 1)
    return Chunks(torch.tensor(bounds, device="cpu"), tuple(firsts))


def forward_in_chunks(
    plan: NativeCall, x: Tensors, w: Tensors, s: Tensors, keep: bool
) -> tuple[Tensors, Tensors, Tensors]:
    """What `walk_forward` returns."""
    chunks = plan.chunks[0]
    inner, signature = chunks.inner(plan), plan.spec.signature
    flat = in_line(plan, x, signature.inputs)
    each = each_chunk(chunks, w)
    groups = [(flat, True), (laid_out(each, signature.params, plan.dtype), False)]
    sum_up = partial(summaries, inner, "summary", groups)
    starts = states_between(chunks, plan.spec.primal, each, s, sum_up, plan.reverse)
    if starts is None:
        return walk_forward(plan, x, w, s, keep)
    outputs, finals, entries = walk_forward(inner, flat, each, starts, keep)
    last = [order[-1] for order in chunks.orders(plan.reverse)]
    return (
        tuple(apart(plan, t, plan.over_time()) for t in outputs),
        tuple(t[last] for t in finals),
        tuple(apart(plan, t, plan.tiles()[0]) for t in entries) if keep else entries,
    )


def backward_in_chunks(
    plan: NativeCall, x: Tensors, w: Tensors, entries: Tensors, grads: Sequence[Tensor | None]
) -> tuple[Tensors, Tensors, Tensors]:
    """What `walk_backward` returns."""
    chunks = plan.chunks[1]
    inner, of = chunks.inner(plan), plan.spec.signature
    flat, began = in_line(plan, x, of.inputs), in_line(plan, entries, of.states)
    each = each_chunk(chunks, w)
    count = len(of.outputs)
    g_out = output_cotangents(inner, [None if g is None else end_to_end(plan, g) for g in grads[:count]])
    g_final = final_cotangents(plan, grads[count:])
    groups = [(flat, True), (laid_out(each, of.params, plan.dtype), False), (began, True), (g_out, True)]
    sum_up = partial(summaries, inner, "adjoint_summary", groups)
    ends = states_between(chunks, plan.spec.adjoint, each, g_final, sum_up, not plan.reverse)
    if ends is None:
        return walk_backward(plan, x, w, entries, grads)
    d_x, d_w, d_s = walk_backward(inner, flat, each, began, (*g_out, *ends))
    first = [order[0] for order in chunks.orders(plan.reverse)]
    return (
        tuple(fit(apart(plan, d, plan.over_time()), t.shape, t.dtype) for d, t in zip(d_x, x, strict=True)),
        tuple(each_sequence(chunks, d, t) for d, t in zip(d_w, w, strict=True)),
        tuple(d[first] for d in d_s),
    )


def summaries(plan: NativeCall, name: str, groups: Sequence[Any], number: int, begun: Tensors) -> Tensors:
    """The summaries of a level for all chunks, from those of no step at all."""
    ends = tuple(torch.empty_like(t) for t in begun)
    invoke(plan, f"{name}_{number}", [*groups, (begun, False), (ends, False)], None)
    return ends


def states_between(
    chunks: Chunks,
    program: Program,
    w: Tensors,
    s: Tensors,
    sum_up: Callable[[int, Tensors], Tensors],
    back: bool,
) -> Tensors | None:
    """The states that each chunk begins with, `(chunks, 1, ...)`, from those that the sequences begin with; None where
    they are not finite: what a long chunk does to any state may be beyond all numbers when what it does to this one is
    not.

    `sum_up` takes the summaries of a level from those of no step at all to those of the chunks."""
    c, sequences = program.constants(w), chunks.sequences()
    starts = [t[sequences].contiguous() for t in s]
    for number, level in enumerate(program.levels):
        A, b = level.begin(tuple(starts[i] for i in level.states), c)
        begun = tuple(t.contiguous() for t in (*(starts[i] for i in level.earlier), *A, *b))
        ends = sum_up(number, begun)[len(level.earlier) :]
        for order in chunks.orders(back):
            now = full = tuple(starts[i][order[0]].unsqueeze(0) for i in level.states)
            for chunk, after in zip(order, order[1:], strict=False):
                own = tuple(t[chunk].unsqueeze(0) for t in ends)
                now = spread(level.advance(own[: len(A)], own[len(A) :], now), full)
                if not all(state.isfinite().all() for state in now):
                    return None
                for i, state in zip(level.states, now, strict=True):
                    starts[i][after] = state[0]
    return tuple(starts)


def in_line(plan: NativeCall, tensors: Sequence[Tensor], ports: Sequence[Port]) -> Tensors:
    """What there is of each step, or each tile, of all sequences one after the other."""
    return laid_out([end_to_end(plan, t) for t in tensors], ports, plan.dtype)


def end_to_end(plan: NativeCall, tensor: Tensor) -> Tensor:
    """Sequences `(B, T, ...)`, or what there is of each tile, one after the other: `(1, B * T, ...)`."""
    if plan.bounds is not None:
        return tensor
    return tensor.expand(plan.rows, *tensor.shape[1:]).flatten(0, 1).unsqueeze(0)


def apart(plan: NativeCall, tensor: Tensor, leading: tuple[int, int]) -> Tensor:
    """The inverse of `end_to_end`."""
    return tensor if plan.bounds is not None else tensor.unflatten(1, leading).squeeze(0)


def each_chunk(chunks: Chunks, w: Tensors) -> Tensors:
    """Params of each chunk, where sequences have their own."""
    return tuple(t[chunks.sequences()] if t.shape[0] > 1 else t for t in w)


def each_sequence(chunks: Chunks, d: Tensor, like: Tensor) -> Tensor:
    """The cotangent of a param from those of chunks."""
    return d if like.shape[0] == 1 else torch.zeros_like(like).index_add_(0, chunks.sequences(), d)


SHARING = Sharing(split_time, forward_in_chunks, backward_in_chunks)
