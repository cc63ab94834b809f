"""One node of the autograd graph for a whole sequence: forward, backward and forward-mode derivatives.

The forward pass keeps the states at the entry of each tile, and no other. The backward pass replays a group of tiles
from them and runs the adjoint over the group. The entry states are outputs of the node: when the backward pass is
differentiated itself, what it does to them comes back to the node as one more cotangent.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from recc.runtime.program import Port, Spec
from recc.runtime.tiles import (
    Group,
    Mode,
    Target,
    Tensors,
    Walk,
    cut,
    fit,
    group_tiles,
    replay,
    run,
    tile_steps,
    zeros_like_shape,
)

SEQUENTIAL_TILE = 64  # steps between the states that the backward pass starts from


@dataclass(frozen=True, eq=False)
class Plan:
    """What is fixed about one call: sizes, dtypes and how time is walked. `batch` is 1 or the number of rows."""

    spec: Spec
    batch: int
    steps: int
    lanes: tuple[int, ...]
    sizes: dict[str, int]
    dtype: torch.dtype  # of states and of what is computed, where it is real
    out_dtype: torch.dtype  # of outputs, where they are real
    scan: bool
    tile: int
    group: int

    def groups(self) -> tuple[Group, ...]:
        return cut(self.steps, self.tile, self.group)

    def shape(self, port: Port) -> tuple[int, ...]:
        """The dimensions of a port after batch and time."""
        return (*self.lanes, *feature_shape(port, self.sizes))

    def output_targets(self) -> list[Target]:
        ports = self.spec.signature.outputs
        return [Target(self.batch, self.shape(p), kind_of(p, self.out_dtype)) for p in ports]


def feature_shape(port: Port, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in port.axes)


def kind_of(port: Port, dtype: torch.dtype) -> torch.dtype:
    """`dtype`, or its complex counterpart (complex64 at least) for a complex port."""
    if port.complex:
        return torch.complex128 if dtype == torch.float64 else torch.complex64
    return dtype


def make_plan(
    spec: Spec,
    shape: tuple[int, int, tuple[int, ...]],
    sizes: dict[str, int],
    dtypes: tuple[torch.dtype, torch.dtype],
    scan: bool,
    tile: int | None = None,
) -> Plan:
    """A plan for `(B, T, lanes)`, with tiles of `tile` steps or of a size that suits the number of steps."""
    batch, steps, lanes = shape
    states = (prod(feature_shape(port, sizes)) for port in spec.signature.states)
    elements = batch * prod(lanes) * max(states, default=1)
    tile = tile or spec.tile
    if tile is None:
        side = group_tiles(elements, 1, scan)
        tile = tile_steps(steps, side, len(spec.primal.levels)) if scan else min(SEQUENTIAL_TILE, max(1, steps))
    return Plan(spec, batch, steps, lanes, sizes, *dtypes, scan, tile, group_tiles(elements, tile, scan))


def may_write(tensors: Sequence[Tensor | None]) -> bool:
    """Whether results may be written in place: nothing differentiates or batches what is computed from `tensors`."""
    if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
        return False
    batched = torch._C._functorch.is_legacy_batchedtensor  # pyright: ignore[reportAttributeAccessIssue]
    return not any(t is not None and batched(t) for t in tensors)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Autocast would undo the dtypes that the arguments were promoted to."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def window(tensors: Sequence[Tensor], ports: Sequence[Port], group: Group, dtype: torch.dtype) -> Tensors:
    """One group's part of tensors with time at dimension 1, in the dtype that is computed in."""
    count = group.tiles * group.steps
    return tuple(
        t.narrow(1, group.start, count).to(kind_of(port, dtype)) for t, port in zip(tensors, ports, strict=True)
    )


def solve(plan: Plan, x: Tensors, w: Tensors, s: Tensors) -> Walk:
    """The primal recurrence over a whole sequence."""
    spec = plan.spec

    in_place = may_write((*x, *w, *s))

    def fetch(group: Group) -> Tensors:
        return window(x, spec.signature.inputs, group, plan.dtype)

    return run(spec.primal, fetch, w, s, plan.groups(), plan.output_targets(), Mode(plan.scan, False, in_place))


def filled(
    cotangents: Sequence[Tensor | None], like: Sequence[tuple[tuple[int, ...], torch.dtype]], x: Tensor
) -> Tensors:
    """Cotangents with zeros for those that are absent."""
    return tuple(
        zeros_like_shape(shape, dtype, x.device) if c is None else c
        for c, (shape, dtype) in zip(cotangents, like, strict=True)
    )


def differentiate(
    plan: Plan,
    x: Tensors,
    w: Tensors,
    entries: Tensors,
    cotangents: tuple[Sequence[Tensor | None], Sequence[Tensor | None], Sequence[Tensor | None]],
    wanted: Sequence[bool],
) -> tuple[Tensors, Tensors, Tensors]:
    """Cotangents of inputs, params and initial states from those of outputs, final states and entry states.

    Of inputs that are not `wanted` they are zeros.
    """
    spec, signature = plan.spec, plan.spec.signature
    constants = spec.primal.constants(w)
    counted = (plan.batch, plan.steps)
    d_out = filled(cotangents[0], [((*counted, *t.rest), t.dtype) for t in plan.output_targets()], x[0])
    state_like = [((plan.batch, 1, *plan.shape(p)), kind_of(p, plan.dtype)) for p in signature.states]
    d_final = filled(cotangents[1], state_like, x[0])
    d_entries = None
    if any(c is not None for c in cotangents[2]):
        d_entries = filled(cotangents[2], [(tuple(e.shape), e.dtype) for e in entries], x[0])

    def fetch(group: Group) -> Tensors:
        inputs = window(x, signature.inputs, group, plan.dtype)
        entry = tuple(e.narrow(1, group.tile, group.tiles) for e in entries)
        before = replay(spec.primal, spec.primal.prepare(inputs, constants), entry, constants, group)
        return (*inputs, *before, *window(d_out, signature.outputs, group, plan.dtype))

    mode = Mode(plan.scan, True, may_write((*x, *w, *entries, *d_out, *d_final, *(d_entries or ()))))
    targets = [Target(t.shape[0], tuple(t.shape[2:]), t.dtype, want) for t, want in zip(x, wanted, strict=True)]
    walk = run(spec.adjoint, fetch, w, d_final, plan.groups(), targets, mode, d_entries)
    totals = walk.totals or tuple(torch.zeros((), dtype=t.dtype, device=t.device) for t in w)
    d_w = tuple(
        fit(total if total.dim() == 0 else total.unsqueeze(1), t.shape, t.dtype)
        for total, t in zip(totals, w, strict=True)
    )
    return walk.outputs, d_w, walk.final


def push_forward(plan: Plan, primals: tuple[Tensors, Tensors, Tensors], tangents: Sequence[Tensor | None]) -> Walk:
    """The tangents of outputs, and of final and entry states; the walk's states are primal ones, then tangents."""
    x, w, s = primals
    signature = plan.spec.signature
    flat = tuple(
        zeros_like_shape(t.shape, t.dtype, t.device) if dt is None else dt
        for t, dt in zip((*x, *w, *s), tangents, strict=True)
    )
    dx, dw, ds = flat[: len(x)], flat[len(x) : len(x) + len(w)], flat[len(x) + len(w) :]

    in_place = may_write((*x, *w, *s, *flat))

    def fetch(group: Group) -> Tensors:
        ports = signature.inputs
        return (*window(x, ports, group, plan.dtype), *window(dx, ports, group, plan.dtype))

    return run(
        plan.spec.tangent,
        fetch,
        (*w, *dw),
        (*s, *ds),
        plan.groups(),
        plan.output_targets(),
        Mode(plan.scan, False, in_place),
    )


class SolveRecurrence(torch.autograd.Function):
    """`(plan, *inputs, *params, *initial states) -> (*outputs, *final states, *entry states)`.

    Inputs are `(B, T, *lanes, *features)` in any of the accepted dtypes; params and states are in the dtype that is
    computed in, params `(1 or B, 1, ...)`, states `(B, 1, *lanes, *features)`, entry states `(B, tiles, ...)`.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(plan: Plan, *tensors: Tensor) -> Tensors:
        x, w, s = split_arguments(plan, tensors)
        with without_autocast(x[0].device):
            walk = solve(plan, x, w, s)
        final = tuple(f.clone() for f in walk.final)
        return (*walk.outputs, *final, *walk.entries)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.plan = inputs[0]
        ctx.set_materialize_grads(False)
        entries = output[-len(ctx.plan.spec.signature.states) :]
        ctx.save_for_backward(*inputs[1:], *entries)
        ctx.save_for_forward(*inputs[1:], *entries)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        saved = ctx.saved_tensors
        count = len(plan.spec.signature.states)
        if all(g is None for g in grads):
            return (None,) * (1 + len(saved) - count)
        x, w, _ = split_arguments(plan, saved[:-count])
        outs = len(plan.spec.signature.outputs)
        cotangents = (grads[:outs], grads[outs : outs + count], grads[outs + count :])
        with without_autocast(x[0].device):
            wanted = ctx.needs_input_grad[1:]
            dx, dw, ds = differentiate(plan, x, w, saved[-count:], cotangents, wanted[: len(x)])
        return (None, *(g if need else None for g, need in zip((*dx, *dw, *ds), wanted, strict=True)))

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensors:
        plan: Plan = ctx.plan
        count = len(plan.spec.signature.states)
        primals = split_arguments(plan, ctx.saved_tensors[:-count])
        with without_autocast(primals[0][0].device):
            walk = push_forward(plan, primals, tangents)
        return (*walk.outputs, *(f.clone() for f in walk.final[count:]), *walk.entries[count:])


def split_arguments(plan: Plan, tensors: Sequence[Tensor]) -> tuple[Tensors, Tensors, Tensors]:
    """Inputs, params and states from their concatenation."""
    inputs, states = len(plan.spec.signature.inputs), len(plan.spec.signature.states)
    return tuple(tensors[:inputs]), tuple(tensors[inputs:-states]), tuple(tensors[-states:])
