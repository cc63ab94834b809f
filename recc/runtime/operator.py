"""A recurrence under torch.compile: a pair of opaque operators, whatever the number of steps.

Dynamo would otherwise unroll the walk over time. The operators know the shapes of what they return, with no guard on
any size: the forward one returns outputs, final states and the states at the entry of each tile of a fixed size; with
packed sequences, whose tiles depend on data, it returns none of these and the backward one walks forward again. Nor
does it by convolutions, which the backward one makes again, for autograd to differentiate.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recc.runtime.arguments import Bound, use_scan
from recc.runtime.autograd import (
    SEQUENTIAL_TILE,
    Plan,
    differentiate,
    feature_shape,
    filled,
    kind_of,
    make_plan,
    solve,
    without_autocast,
)
from recc.runtime.packing import differentiate_packed, pack, sequence_lengths, solve_packed
from recc.runtime.program import Choice, Spec
from recc.runtime.tiles import Tensors

STATIC_SCHEMA = "Tensor? cu_seqlens, SymInt[] sizes, SymInt[] lanes, bool reverse, str method, " + (
    "ScalarType dtype, ScalarType out_dtype, str backend"
)
OPERATORS: dict[str, Callable[..., Any]] = {}


class Static(NamedTuple):
    """What an operator is told beside its tensors; `sizes` are in the order of `size_names`."""

    cu_seqlens: Tensor | None
    sizes: Sequence[int]
    lanes: Sequence[int]
    reverse: bool
    method: str
    dtype: torch.dtype
    out_dtype: torch.dtype
    backend: str

    @property
    def bounded(self) -> bool:
        """Whether the states at the bounds of tiles are returned."""
        return self.cu_seqlens is None and self.method != "convolution"


def size_names(spec: Spec) -> list[str]:
    """The axes with a name, in order of appearance."""
    ports = (*spec.signature.inputs, *spec.signature.params)
    named = [*spec.signature.sizes, *(axis for port in ports for axis in port.axes if isinstance(axis, str))]
    return list(dict.fromkeys(named))


def solve_by_operator(
    spec: Spec, bound: Bound, cu_seqlens: Tensor | None, reverse: bool, method: str, backend: str
) -> tuple[Tensors, Tensors]:
    """Outputs and final states through the recurrence's operator."""
    sizes = [bound.sizes[name] for name in size_names(spec)]
    static = (cu_seqlens, sizes, list(bound.lanes), reverse and cu_seqlens is not None, method)
    flat = OPERATORS[spec.key](
        list(bound.x), list(bound.w), list(bound.s), *static, bound.dtype, bound.out_dtype, backend
    )
    outs, states = len(spec.signature.outputs), len(spec.signature.states)
    return tuple(flat[:outs]), tuple(flat[outs : outs + states])


def plan_for(spec: Spec, static: Static, x: Sequence[Tensor]) -> Plan:
    """The plan for dense inputs `(B, T, ...)`, with a tile whose size does not depend on theirs."""
    sizes, lanes = dict(zip(size_names(spec), static.sizes, strict=True)), tuple(static.lanes)
    batch, steps = x[0].shape[:2]
    scan = use_scan(spec, static.method, sizes, steps, batch * prod(lanes))
    return make_plan(spec, (batch, steps, lanes), sizes, (static.dtype, static.out_dtype), scan, SEQUENTIAL_TILE)


def solve_flat(
    spec: Spec, x: Sequence[Tensor], w: Sequence[Tensor], s: Sequence[Tensor], static: Static
) -> list[Tensor]:
    """Outputs, final states, and the states at the bounds of tiles, if these are `bounded`.

    The bounds, of which there is one more than tiles, make a dimension that is never 1: tracing would guard on that.
    """
    x, w, s = tuple(x), tuple(w), tuple(s)
    if static.method == "convolution" and spec.convolver:
        outputs, finals = spec.convolver.solve(spec, x, w, s, static)
        return [fresh(t) for t in (*outputs, *finals)]
    native = native_call(spec, x, w, s, static)
    if spec.native is not None and native is not None:
        outputs, finals, entries = spec.native.forward(native, x, w, s, static.bounded)
        bounds = (torch.cat((e, f), 1) for e, f in zip(entries, finals, strict=True)) if static.bounded else ()
        return [*outputs, *finals, *bounds]
    with without_autocast(x[0].device):
        if static.cu_seqlens is None:
            walk = solve(plan_for(spec, static, x), x, w, s)
            bounds = (torch.cat((e, f), 1) for e, f in zip(walk.entries, walk.final, strict=True))
            return [*walk.outputs, *(f.clone() for f in walk.final), *bounds]

        def dense(x: Tensors, w: Tensors, s: Tensors) -> tuple[Tensors, Tensors]:
            walk = solve(plan_for(spec, static, x), x, w, s)
            return walk.outputs, walk.final

        packing = pack(sequence_lengths(static.cu_seqlens, x[0].shape[1]), static.reverse, x[0].device)
        outputs, finals = solve_packed(dense, x, w, s, packing)
        return [*(o.contiguous() for o in outputs), *finals]


def native_call(spec: Spec, x: Tensors, w: Tensors, s: Tensors, static: Static) -> Any:
    """The call in native code, or None where torch makes it."""
    if spec.native is None:
        return None
    sizes = dict(zip(size_names(spec), static.sizes, strict=True))
    kinds = static.dtype, static.out_dtype
    bound = Bound(x, w, s, x[0].shape[1], s[0].shape[0], tuple(static.lanes), sizes, *kinds)
    choice = Choice(static.method, static.backend, static.cu_seqlens, static.reverse, None, SEQUENTIAL_TILE)
    if static.cu_seqlens is not None:
        sequence_lengths(static.cu_seqlens, bound.steps)
    return spec.native.choose(spec, bound, choice)


def differentiate_flat(
    spec: Spec,
    x: Sequence[Tensor],
    w: Sequence[Tensor],
    s: Sequence[Tensor],
    bounds: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    static: Static,
) -> list[Tensor]:
    """Cotangents of inputs, params and initial states."""
    x, w, s = tuple(x), tuple(w), tuple(s)
    if static.method == "convolution" and spec.convolver:
        return [fresh(g) for g in spec.convolver.differentiate(spec, x, w, s, grads, static)]
    outs, states = len(spec.signature.outputs), len(spec.signature.states)
    entries = tuple(b[:, :-1] for b in bounds)
    native = native_call(spec, x, w, s, static)
    if spec.native is not None and native is not None:
        if not static.bounded:
            entries = spec.native.forward(native, x, w, s, True)[2]
        parts = spec.native.backward(native, x, w, entries, grads[: outs + states])
        return [g.contiguous() for part in parts for g in part]
    cotangents = (grads[:outs], grads[outs : outs + states], ())
    with without_autocast(x[0].device):
        if static.cu_seqlens is None:
            results = differentiate(plan_for(spec, static, x), x, w, entries, cotangents, [True] * len(x))
        else:
            results = differentiate_blocks(spec, (x, w, s), cotangents[:2], static, static.cu_seqlens)
    return [fresh(g) for part in results for g in part]


def fresh(tensor: Tensor) -> Tensor:
    """A tensor of its own: an operator must not return a view of its arguments."""
    return tensor.clone(memory_format=torch.contiguous_format)


def differentiate_blocks(
    spec: Spec,
    arguments: tuple[Tensors, Tensors, Tensors],
    cotangents: tuple[Sequence[Tensor | None], Sequence[Tensor | None]],
    static: Static,
    cu_seqlens: Tensor,
) -> tuple[Tensors, Tensors, Tensors]:
    """`differentiate` for packed sequences, block by block."""
    x, _, s = arguments
    total, lanes = x[0].shape[1], tuple(static.lanes)
    sizes = dict(zip(size_names(spec), static.sizes, strict=True))
    ports = spec.signature.outputs
    shapes = [(1, total, *lanes, *feature_shape(port, sizes)) for port in ports]
    like = [(shape, kind_of(port, static.out_dtype)) for port, shape in zip(ports, shapes, strict=True)]
    filled_grads = (
        filled(cotangents[0], like, x[0]),
        filled(cotangents[1], [(tuple(t.shape), t.dtype) for t in s], x[0]),
    )

    def forward(x: Tensors, w: Tensors, s: Tensors) -> tuple[Any, Tensors]:
        plan = plan_for(spec, static, x)
        walk = solve(plan, x, w, s)
        return (plan, x, w, walk.entries), walk.final

    def backward(kept: Any, d_outputs: Tensors, d_final: Tensors) -> tuple[Tensors, Tensors, Tensors]:
        plan, x, w, entries = kept
        return differentiate(plan, x, w, entries, (d_outputs, d_final, ()), [True] * len(x))

    packing = pack(sequence_lengths(cu_seqlens, total), static.reverse, x[0].device)
    return differentiate_packed(forward, backward, arguments, filled_grads, packing)


def promised(spec: Spec, x: Sequence[Tensor], s: Sequence[Tensor], static: Static) -> list[Tensor]:
    """Empty tensors in the shapes of what `solve_flat` returns, for tracing."""
    sizes = dict(zip(size_names(spec), static.sizes, strict=True))
    batch, steps = x[0].shape[:2]

    def empty(port: Any, leading: Sequence[int], dtype: torch.dtype) -> Tensor:
        return x[0].new_empty((*leading, *static.lanes, *feature_shape(port, sizes)), dtype=kind_of(port, dtype))

    results = [empty(port, (batch, steps), static.out_dtype) for port in spec.signature.outputs]
    results += [empty(port, (s[0].shape[0], 1), static.dtype) for port in spec.signature.states]
    if static.bounded:
        bounds = (steps + SEQUENTIAL_TILE - 1) // SEQUENTIAL_TILE + 1
        results += [empty(port, (batch, bounds), static.dtype) for port in spec.signature.states]
    return results


def register_operator(spec: Spec) -> None:
    """Defines the operators of a recurrence, once in a process for each `spec.key`."""
    if spec.key in OPERATORS:
        return
    name = f"recc_{spec.key}"
    namespace = getattr(torch.ops, name)
    if not hasattr(namespace, "forward"):
        define_operators(spec, name)
    OPERATORS[spec.key] = namespace.forward


def define_operators(spec: Spec, namespace: str) -> None:
    """Defines `namespace::forward` and `namespace::backward`, with their shapes and the first's gradient."""
    lists = "Tensor[] x, Tensor[] w, Tensor[] s"

    def run_forward(x: Any, w: Any, s: Any, *static: Any) -> list[Tensor]:
        return solve_flat(spec, x, w, s, Static(*static))

    def run_backward(x: Any, w: Any, s: Any, bounds: Any, grads: Any, *static: Any) -> list[Tensor]:
        return differentiate_flat(spec, x, w, s, bounds, grads, Static(*static))

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, w, s, *static = inputs
        states = len(s)
        bounds = output[-states:] if Static(*static).bounded else []
        ctx.save_for_backward(*x, *w, *s, *bounds, *([static[0]] if static[0] is not None else []))
        ctx.counts, ctx.static = (len(x), len(w), states), static[1:]
        ctx.packed = static[0] is not None

    def differentiate_operator(ctx: Any, grads: Sequence[Tensor | None]) -> tuple[Any, ...]:
        saved = list(ctx.saved_tensors)
        cu_seqlens = saved.pop() if ctx.packed else None
        nx, nw, ns = ctx.counts
        x, w, s, bounds = saved[:nx], saved[nx : nx + nw], saved[nx + nw : nx + nw + ns], saved[nx + nw + ns :]
        flat = getattr(torch.ops, namespace).backward(x, w, s, bounds, list(grads), cu_seqlens, *ctx.static)
        rest = (None, *([] if value == [] else None for value in ctx.static))  # torch takes [] for a list of tensors
        return (flat[:nx], flat[nx : nx + nw], flat[nx + nw :], *rest)

    forward = torch.library.custom_op(
        f"{namespace}::forward", run_forward, mutates_args=(), schema=f"({lists}, {STATIC_SCHEMA}) -> Tensor[]"
    )
    backward = torch.library.custom_op(
        f"{namespace}::backward",
        run_backward,
        mutates_args=(),
        schema=f"({lists}, Tensor[] bounds, Tensor?[] grads, {STATIC_SCHEMA}) -> Tensor[]",
    )
    forward.register_fake(lambda x, w, s, *static: promised(spec, x, s, Static(*static)))
    backward.register_fake(
        lambda x, w, s, *_: [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (*x, *w, *s)]
    )
    forward.register_autograd(differentiate_operator, setup_context=keep)
