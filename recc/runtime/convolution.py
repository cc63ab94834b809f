"""Recurrences whose step is linear and the same at every step, as convolutions over time.

A system's coefficients, A, B, C and D, are what the linear part of a step makes of unit vectors. Everything from the
arguments to the outputs is ordinary torch, which torch differentiates. It is one node of the autograd graph all the
same, which keeps the arguments alone: its backward pass makes the convolutions again.

Every position of the axes that all variables of a system share is a system of its own. Data is
`(B, *lanes, *shared, channels, T)`, and matrices are `(1 or B, *lanes or 1s, *shared or 1s, rows, columns)`.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recc.runtime.autograd import Plan, feature_shape, kind_of, solve, split_arguments, window, without_autocast
from recc.runtime.linear_systems import Form, drive_system
from recc.runtime.program import Channel, Convolution, Port, System
from recc.runtime.tiles import Group, Tensors, fit


class Drive(NamedTuple):
    """What a call works on: what was prepared, initial states `(B, 1, *lanes, *features)`, constants."""

    plan: Plan
    convolution: Convolution
    p: Tensors
    s: Tensors
    c: Any


def solve_by_convolution(plan: Plan, x: Tensors, w: Tensors, s: Tensors) -> tuple[Tensors, Tensors]:
    """Outputs `(B, T, ...)` and final states `(B, 1, ...)` of a recurrence with convolutions.

    The outputs of a linear system that is the same at every step are a convolution of its inputs with its impulse
    response (Gu et al. 2021, arXiv 2110.13985)."""
    program, signature = plan.spec.primal, plan.spec.signature
    assert program.convolution is not None
    if 0 in (plan.batch, plan.steps, *plan.lanes, *plan.sizes.values()):  # a transform of nothing is an error
        walk = solve(plan, x, w, s)
        return walk.outputs, walk.final
    with without_autocast(x[0].device):
        c = program.constants(w)
        p = program.prepare(window(x, signature.inputs, Group(0, 1, plan.steps, 0), plan.dtype), c)
        drive = Drive(plan, program.convolution, p, s, c)
        kept: dict[int, Tensor] = {}
        finals: dict[int, Tensor] = {}
        for system in program.convolution.systems:
            found = solve_system(drive, system)
            kept |= found[0]
            finals |= found[1]
        outputs, _ = program.finish(tuple(kept[place] for place in range(len(kept))), p, c)
        targets = plan.output_targets()
        full = tuple(fit(o, (t.batch, plan.steps, *t.rest), t.dtype) for o, t in zip(outputs, targets, strict=True))
    return full, tuple(finals[place] for place in range(len(s)))


class Convolve(torch.autograd.Function):
    """`(plan, *inputs, *params, *initial states) -> (*outputs, *final states)`, laid out as for a walk."""

    generate_vmap_rule = True

    @staticmethod
    def forward(plan: Plan, *tensors: Tensor) -> Tensors:
        outputs, finals = solve_by_convolution(plan, *split_arguments(plan, tensors))
        return own_memory((*outputs, *finals))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.plan = inputs[0]
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        with without_autocast(grads[0].device):
            pull = torch.func.vjp(lambda *tensors: Convolve.forward(ctx.plan, *tensors), *ctx.saved_tensors)[1]
            found = pull(grads)
        return (None, *(g if need else None for g, need in zip(found, ctx.needs_input_grad[1:], strict=True)))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensors:
        """A cotangent's way back is linear, so its own way back is a tangent's way."""
        plan, saved = ctx.plan, ctx.saved_tensors
        moved = tuple(torch.zeros_like(t) if dt is None else dt for t, dt in zip(saved, tangents, strict=True))
        with without_autocast(saved[0].device):
            values, pull = torch.func.vjp(lambda *tensors: Convolve.forward(plan, *tensors), *saved)[:2]
            push = torch.func.vjp(pull, tuple(torch.zeros_like(value) for value in values))[1]
            (found,) = push(moved)
        return own_memory(found)


def own_memory(tensors: Tensors) -> Tensors:
    """Tensors with memory of their own: they may be views, of arguments even."""
    return tuple(t.clone(memory_format=torch.contiguous_format) for t in tensors)


def solve_system(drive: Drive, system: System) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """What a system keeps of all steps, and its final states, by their places."""
    plan = drive.plan
    rank, steps = len(plan.lanes), plan.steps
    lead = (plan.batch, *plan.lanes, *shared_sizes(plan, system))
    driven = [
        gather_channel(drive.p[item.place].expand(plan.batch, steps, *plan.lanes, *sizes_of(plan, item)), item, rank)
        for item in system.inputs
    ]
    if drive.convolution.offset:
        driven.append(drive.s[0].real.new_ones(()).expand(*lead, 1, steps))
    states = [gather_channel(drive.s[item.place], item, rank) for item in system.states]
    u, now = join_channels(driven, (*lead, 0, steps), drive.s[0]), join_channels(states, (*lead, 0, 1), drive.s[0])
    y, final = drive_system(form_of(drive, system), system.kind, u, now)
    return split_channels(plan, y, system.kept), split_channels(plan, final, system.states)


def sizes_of(plan: Plan, channel: Channel) -> tuple[int, ...]:
    return feature_shape(Port("", channel.axes), plan.sizes)


def shared_sizes(plan: Plan, system: System) -> tuple[int, ...]:
    """The sizes of the axes that all variables of a system have and none crosses."""
    channel = (*system.states, *system.kept)[0]
    return tuple(sizes_of(plan, channel)[place] for place in channel.shared)


def other_places(channel: Channel) -> list[int]:
    return [place for place in range(len(channel.axes)) if place not in channel.shared]


def channel_width(plan: Plan, channel: Channel) -> int:
    """The number of elements of a variable in one system."""
    return prod(sizes_of(plan, channel)[place] for place in other_places(channel))


def channel_order(channel: Channel, rank: int) -> list[int]:
    """The dimensions `(B, N, *lanes, *features)` of a variable as `(B, *lanes, *shared, *others, N)`."""
    features = (*channel.shared, *other_places(channel))
    return [0, *range(2, 2 + rank), *(2 + rank + place for place in features), 1]


def gather_channel(tensor: Tensor, channel: Channel, rank: int) -> Tensor:
    """A variable `(B, N, *lanes, *features)` as `(B, *lanes, *shared, elements, N)`."""
    moved = tensor.permute(channel_order(channel, rank))
    count = 1 + rank + len(channel.shared)
    return moved.reshape(*moved.shape[:count], prod(moved.shape[count:-1]), moved.shape[-1])


def scatter_channel(part: Tensor, plan: Plan, channel: Channel) -> Tensor:
    """The inverse of `gather`; shared axes may have size 1."""
    sizes = sizes_of(plan, channel)
    others = [sizes[place] for place in other_places(channel)]
    places = channel_order(channel, len(plan.lanes))
    moved = part.reshape(*part.shape[:-2], *others, part.shape[-1])
    return moved.permute([places.index(dim) for dim in range(len(places))])


def join_channels(parts: list[Tensor], shape: tuple[int, ...], like: Tensor) -> Tensor:
    """The elements of several variables in one dimension; zeros of a shape if there are none."""
    if not parts:
        return like.new_zeros(shape)
    return parts[0] if len(parts) == 1 else torch.cat(parts, -2)


def split_channels(plan: Plan, tensor: Tensor, channels: Sequence[Channel]) -> dict[int, Tensor]:
    """The inverse of `gather` and `stacked`: variables in their full shapes and dtypes, by their places."""
    found: dict[int, Tensor] = {}
    start = 0
    for channel in channels:
        part = scatter_channel(tensor.narrow(-2, start, channel_width(plan, channel)), plan, channel)
        start += channel_width(plan, channel)
        shape = (plan.batch, tensor.shape[-1], *plan.lanes, *sizes_of(plan, channel))
        found[channel.place] = fit(part, shape, kind_of(Port("", (), channel.complex), plan.dtype))
    return found


def form_of(drive: Drive, system: System) -> Form:
    """The coefficients of a system: what the linear part of a step makes of unit vectors; what a step adds, last of
    the inputs."""
    plan, read = drive.plan, drive.plan.spec.primal.read
    n = sum(channel_width(plan, channel) for channel in system.states)
    count = n + sum(channel_width(plan, channel) for channel in system.inputs)
    states, driven = zero_variables(plan, drive.s, count), zero_variables(plan, drive.p, count)
    at = 0
    for tensors, channels in ((states, system.states), (driven, system.inputs)):
        for channel in channels:
            tensors[channel.place] = unit_vectors(plan, channel, count, at, tensors[channel.place])
            at += channel_width(plan, channel)
    columns = rows_of(plan, system, drive.convolution.response(tuple(states), tuple(driven), drive.c), count)
    for place, same in enumerate(system.same):
        if same:
            columns = columns.narrow(1 + len(plan.lanes) + place, 0, 1)
    if drive.convolution.offset:
        rest = tuple(zero_variables(plan, drive.p, 1))[:read]
        added = rows_of(plan, system, plan.spec.primal.step(tuple(zero_variables(plan, drive.s, 1)), rest, drive.c), 1)
        lead = torch.broadcast_shapes(columns.shape[:-1], added.shape[:-1])
        columns = torch.cat([columns.expand(*lead, count), added.expand(*lead, 1)], -1)
    upper, lower = columns[..., :n, :], columns[..., n:, :]
    A, diagonal = upper[..., :n], system.kind != "dense"
    A = A.diagonal(dim1=-2, dim2=-1) if diagonal else A
    return Form(A, upper[..., n:], lower[..., :n], lower[..., n:], diagonal)


def zero_variables(plan: Plan, tensors: Tensors, count: int) -> list[Tensor]:
    """Zeros `(1, count, *1s, *features)` in place of variables."""
    rank = len(plan.lanes)
    return [t.new_zeros(()).expand(1, count, *(1,) * rank, *t.shape[2 + rank :]) for t in tensors]


def unit_vectors(plan: Plan, channel: Channel, count: int, first: int, like: Tensor) -> Tensor:
    """Unit vectors for a variable's elements, from the column `first` of `count`."""
    rows = torch.eye(count, dtype=like.dtype, device=like.device)[first : first + channel_width(plan, channel)]
    ones = (1,) * (1 + len(plan.lanes) + len(channel.shared))
    return scatter_channel(rows.reshape(*ones, *rows.shape), plan, channel).expand_as(like)


def rows_of(plan: Plan, system: System, results: tuple[Tensors, Tensors], count: int) -> Tensor:
    """What a step makes of `count` vectors, `(..., rows, count)`: rows are elements of states, then of what is kept."""
    rank = len(plan.lanes)
    parts = [(results[0][channel.place], channel) for channel in system.states]
    parts += [(results[1][channel.place], channel) for channel in system.kept]
    shapes = [t.shape[: 2 + rank] for t, _ in parts if t.dim() >= 2 + rank]
    lead = torch.broadcast_shapes((1, count, *(1,) * rank), *shapes)
    rows = [gather_channel(t.expand(*lead, *sizes_of(plan, channel)), channel, rank) for t, channel in parts]
    return torch.cat(rows, -2)
