"""What the generated wrapper calls: a whole sequence, one step, and the initial states."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from recc.runtime.arguments import (
    Bound,
    bind,
    bind_states,
    check_choices,
    param_layout,
    real_part,
    take_sizes,
    use_scan,
)
from recc.runtime.autograd import SolveRecurrence, feature_shape, kind_of, make_plan, without_autocast
from recc.runtime.operator import solve_by_operator
from recc.runtime.packing import check_cu_seqlens, pack, sequence_lengths, solve_packed
from recc.runtime.program import Choice, Spec
from recc.runtime.promises import check_promises
from recc.runtime.tiles import Tensors


def call(
    spec: Spec,
    x: Sequence[Tensor],
    w: Sequence[Tensor],
    initial_state: Any = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
    reverse: bool = False,
    method: str = "auto",
    backend: str = "auto",
) -> tuple[Any, Any]:
    """Runs a recurrence over inputs `(B, T, *lanes, *features)`, or `(1, total, ...)` with `cu_seqlens` `(N + 1,)`.

    Returns the outputs `(B, T, *lanes, *features)`, a named tuple if there are several, and the final states
    `(B or N, *lanes, *features)` likewise, or None. Raises ValueError or TypeError for arguments that do not fit.
    """
    check_choices(spec, method, backend)
    rows = None
    if cu_seqlens is not None:
        first = spec.signature.inputs[0].name
        batch, total = x[0].shape[:2] if isinstance(x[0], Tensor) and x[0].dim() > 1 else (1, 0)
        cu_seqlens = check_cu_seqlens(cu_seqlens, batch, total, first)
        rows = cu_seqlens.shape[0] - 1
    bound = bind(spec, x, w, initial_state, rows)
    check_promises(spec, bound.x, bound.w)
    solver = solve_by_torch if torch.compiler.is_compiling() else solve_here
    outputs, finals = solver(spec, bound, cu_seqlens, reverse, method, backend)
    return pack_values(spec.outputs_type, outputs), pack_states(spec, finals) if output_final_state else None


def solve_here(
    spec: Spec, bound: Bound, cu_seqlens: Tensor | None, reverse: bool, method: str, backend: str
) -> tuple[Tensors, Tensors]:
    """Outputs and final states, in native code where that is chosen, else by torch."""
    if cu_seqlens is not None:
        sequence_lengths(cu_seqlens, bound.steps)

    def by_torch(x: Tensors, w: Tensors, s: Tensors) -> tuple[Tensors, Tensors]:
        return solve_by_torch(spec, bound._replace(x=x, w=w, s=s), cu_seqlens, reverse, method, backend)

    training = tracks_gradients((*bound.x, *bound.w, *bound.s))
    choice = Choice(method, backend, cu_seqlens, reverse, by_torch, training=training)
    native = None if spec.native is None else spec.native.choose(spec, bound, choice)
    if spec.native is None or native is None:
        return by_torch(bound.x, bound.w, bound.s)
    return spec.native.solve(native, bound.x, bound.w, bound.s)


def solve_by_torch(
    spec: Spec, bound: Bound, cu_seqlens: Tensor | None, reverse: bool, method: str, backend: str
) -> tuple[Tensors, Tensors]:
    """Outputs and final states by the torch programs, or by an operator while torch compiles."""
    flip = reverse and cu_seqlens is None
    if flip:
        bound = bound._replace(x=tuple(t.flip(1) for t in bound.x))
    if torch.compiler.is_compiling():
        outputs, finals = solve_by_operator(spec, bound, cu_seqlens, reverse, method, backend)
    else:
        outputs, finals = solve_eagerly(spec, bound, cu_seqlens, reverse, method)
    return tuple(o.flip(1) for o in outputs) if flip else outputs, finals


def pack_values(kind: Callable[..., Any] | None, values: Tensors) -> Any:
    return values[0] if kind is None else kind(*values)


def pack_states(spec: Spec, states: Tensors) -> Any:
    """States `(B, 1, ...)` as a user sees them, `(B, ...)`."""
    return pack_values(spec.states_type, tuple(s.squeeze(1) for s in states))


def solve_eagerly(
    spec: Spec, bound: Bound, cu_seqlens: Tensor | None, reverse: bool, method: str
) -> tuple[Tensors, Tensors]:
    """Outputs and final states, as one autograd node, or one for each block of packed sequences."""

    def dense(x: Tensors, w: Tensors, s: Tensors) -> tuple[Tensors, Tensors]:
        batch, steps = x[0].shape[:2]
        rows = batch
        for lane in bound.lanes:
            rows *= lane
        scan = use_scan(spec, method, bound.sizes, steps, rows, tracks_gradients((*x, *w, *s)))
        plan = make_plan(spec, (batch, steps, bound.lanes), bound.sizes, (bound.dtype, bound.out_dtype), scan)
        node = spec.convolver.node if method == "convolution" and spec.convolver else SolveRecurrence
        flat: Tensors = node.apply(plan, *x, *w, *s)  # pyright: ignore[reportAssignmentType]
        outs, states = len(spec.signature.outputs), len(spec.signature.states)
        return flat[:outs], flat[outs : outs + states]

    if cu_seqlens is None:
        return dense(bound.x, bound.w, bound.s)
    packing = pack(sequence_lengths(cu_seqlens, bound.steps), reverse, bound.x[0].device)
    return solve_packed(dense, bound.x, bound.w, bound.s, packing)


def step_call(spec: Spec, state: Any, x: Sequence[Tensor], w: Sequence[Tensor]) -> tuple[Any, Any]:
    """One step on inputs `(B, *lanes, *features)`: the outputs in the same layout, and the new state.

    `state` is what the previous step or a whole sequence returned, or None at the beginning.
    """
    if spec.native is not None and not torch.compiler.is_compiling():
        made = spec.native.step(spec, state, x, w)
        if made is not None:
            return pack_values(spec.outputs_type, made[0]), pack_values(spec.states_type, made[1])
    bound = bind(spec, x, w, state, timed=False)
    if tracks_gradients((*bound.x, *bound.w, *bound.s)):
        outputs, new = solve_by_torch(spec, bound, None, False, "sequential", "torch")
    else:
        outputs, new = step_plainly(spec, bound)
    return pack_values(spec.outputs_type, tuple(o.squeeze(1) for o in outputs)), pack_states(spec, new)


def tracks_gradients(tensors: Tensors) -> bool:
    """Whether a derivative of any kind may be taken of what is computed from `tensors`."""
    if torch.compiler.is_compiling():
        return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    forward = torch.autograd.forward_ad._current_level >= 0
    return forward or (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))


def step_plainly(spec: Spec, bound: Bound) -> tuple[Tensors, Tensors]:
    """Outputs `(B, 1, ...)` and new states of one step, with no autograd node around it."""
    program, signature = spec.primal, spec.signature
    with without_autocast(bound.x[0].device):
        c = program.constants(bound.w)
        inputs = tuple(t.to(kind_of(p, bound.dtype)) for p, t in zip(signature.inputs, bound.x, strict=True))
        p = program.prepare(inputs, c)
        s, y = program.step(bound.s, p[: program.read], c)
        outputs, _ = program.finish(y, p, c)
    lead = (bound.rows, 1, *bound.lanes)
    full = tuple(
        o.to(kind_of(port, bound.out_dtype)).expand(*lead, *feature_shape(port, bound.sizes))
        for port, o in zip(signature.outputs, outputs, strict=True)
    )
    return full, tuple(a.expand_as(b) for a, b in zip(s, bound.s, strict=True))


def initial_state(
    spec: Spec,
    batch: int,
    lanes: Sequence[int] = (),
    sizes: dict[str, int] | None = None,
    w: Sequence[Tensor] = (),
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Any:
    """The states before the first step, `(batch, *lanes, *features)`; `sizes` gives the axes that no param has.

    Raises ValueError for an axis whose size is not known, and for a param that does not fit.
    """
    seen: dict[str, tuple[int, str]] = {}
    known = {**spec.signature.sizes, **(sizes or {})}
    dtype = torch.promote_types(real_part(dtype), torch.float32)
    params: list[Tensor] = []
    for port, value in zip(spec.signature.params, w, strict=True):
        take_sizes(port.name, port, value.shape, seen, known)
        batched = value.dim() - len(port.axes) > len(lanes)
        params.append(param_layout(port, value, batched, len(lanes)).to(kind_of(port, dtype)))
    for port in spec.signature.states:
        for axis in port.axes:
            if isinstance(axis, str) and axis not in known:
                raise ValueError(f"initial_state: expected the size of {axis}, the axis of {port.name}")
    place = params[0].device if params and device is None else torch.device(device or "cpu")
    states = bind_states(spec, None, tuple(params), (batch, tuple(lanes)), known, dtype, place)
    return pack_states(spec, tuple(s.contiguous() for s in states))
