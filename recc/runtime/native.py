"""A whole sequence in native code: the C kernels of a recurrence, called on the tensors' own memory.

Rows, that is sequences times lanes, are shared out over as many threads as torch uses. Each row is computed by one
thread in one order, so that results do not depend on their number.
"""

import ctypes
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from recc.runtime.autograd import feature_shape, fit, kind_of
from recc.runtime.native_cut import SHARED_WORK
from recc.runtime.native_memory import empty_in_pages
from recc.runtime.native_plan import ALIGNMENT, NativeCall
from recc.runtime.native_threads import share_out, tickets
from recc.runtime.program import Port, Sharing, Spec
from recc.runtime.tiles import Tensors


def in_memory(tensor: Tensor, port: Port, dtype: torch.dtype) -> Tensor:
    """A tensor whose features lie one after the other, complex ones in the dtype that is computed in."""
    if port.complex:
        tensor = tensor.to(kind_of(port, dtype)).resolve_conj()
    tensor = tensor.resolve_neg()
    return tensor if lies_flat(tensor, len(port.axes)) else tensor.contiguous()


def laid_out(tensors: Sequence[Tensor], ports: Sequence[Port], dtype: torch.dtype) -> Tensors:
    """`in_memory` of a tensor for each port."""
    return tuple(in_memory(t, p, dtype) for t, p in zip(tensors, ports, strict=True))


def lies_flat(tensor: Tensor, features: int) -> bool:
    """Whether the last dimensions of a tensor are contiguous among themselves."""
    expected = 1
    for place in range(tensor.dim() - 1, tensor.dim() - 1 - features, -1):
        size = tensor.shape[place]
        if size != 1 and tensor.stride(place) != expected:
            return False
        expected *= size
    return True


def places(tensor: Tensor, lanes: int, timed: bool) -> list[int]:
    """A tensor's strides over time (or tiles), sequences and lanes; zero where it has one for all."""
    shape, stride = tensor.shape, tensor.stride()
    found = [stride[1] if timed else 0, stride[0] if shape[0] != 1 else 0]
    return found + [stride[i] if shape[i] != 1 else 0 for i in range(2, 2 + lanes)]


def invoke(
    plan: NativeCall, name: str, groups: Sequence[tuple[Sequence[Tensor | None], bool]], past: Tensor | None
) -> None:
    """Calls a library's function on tensors, given as groups that have a time dimension or none, and on what is kept of
    all steps."""
    lanes = len(plan.lanes)
    pointers: list[int | None] = []
    strides: list[int] = []
    for tensors, timed in groups:
        for tensor in tensors:
            pointers.append(None if tensor is None else tensor.data_ptr())
            strides += [0] * (2 + lanes) if tensor is None else places(tensor, lanes, timed)
    _, firsts = plan.tiles()
    count = prod(plan.lanes)
    changes = room_for_missed(plan.spec, name, plan.rows * count, plan.dtype)
    pointers += [None if t is None else t.data_ptr() for t in (plan.bounds, firsts, past, changes)]
    shape = (plan.rows * count, plan.steps, int(plan.reverse), plan.tile, count, lanes, *plan.lanes)
    elements = max(1, sum(prod(feature_shape(p, plan.sizes)) for p in plan.spec.signature.states))
    work = elements * plan.steps * (1 if plan.bounds is not None else plan.rows) * count
    threads = min(torch.get_num_threads(), plan.shares()) if work >= SHARED_WORK else 1
    blocks, parts = plan.parts(torch.get_num_threads() if work >= SHARED_WORK else 1)
    arguments = (
        tickets(blocks, parts),
        (ctypes.c_int64 * len(shape))(*shape),
        (ctypes.c_void_p * len(pointers))(*pointers),
        (ctypes.c_int64 * len(strides))(*strides),
    )
    if share_out(getattr(plan.library, name), arguments, threads if parts == 1 else parts * blocks, parts > 1):
        raise MemoryError(f"{plan.spec.signature.name}: no memory for the state")
    report_natively(plan.spec, name, changes)


def room_for_missed(spec: Spec, name: str, rows: int, dtype: torch.dtype) -> Tensor | None:
    """Where each row notes how much the last round changed what did not settle; None without fixed points."""
    assert spec.native is not None
    count = len(spec.native.missed[name == "backward"])
    return torch.zeros(rows, count, dtype=dtype, device="cpu") if count else None


def report_natively(spec: Spec, name: str, changes: Tensor | None) -> None:
    """Tells of the fixed points that were not reached in some row."""
    if changes is None or not changes.any():
        return
    assert spec.native is not None and spec.native.report is not None
    for (what, rounds), change in zip(spec.native.missed[name == "backward"], changes.amax(0).tolist(), strict=True):
        if change != 0:
            spec.native.report(what, rounds, change)


def sharing_of(plan: NativeCall) -> Sharing:
    """How a call whose time is shared out is walked."""
    assert plan.spec.native is not None and plan.spec.native.sharing is not None
    return plan.spec.native.sharing


def run_forward(plan: NativeCall, x: Tensors, w: Tensors, s: Tensors, keep: bool) -> tuple[Tensors, Tensors, Tensors]:
    """Outputs, final states, and with `keep` the states at the entry of each tile, or what is kept of all steps."""
    walk = walk_forward if plan.chunks[0] is None else sharing_of(plan).forward
    if plan.cut is None:
        return walk(plan, x, w, s, keep)
    cut, of = plan.cut, plan.spec.signature
    pieces = cut.split(x, of.inputs), cut.split(w, of.params), cut.split(s, of.states)
    outputs, finals, entries = walk(plan, *pieces, keep)
    return cut.join(outputs, of.outputs), cut.join(finals, of.states), cut.join(entries, of.states)


def walk_forward(plan: NativeCall, x: Tensors, w: Tensors, s: Tensors, keep: bool) -> tuple[Tensors, Tensors, Tensors]:
    """`run_forward` of sequences that are not cut, or of all pieces."""
    signature, dtype = plan.spec.signature, plan.dtype
    x, w = laid_out(x, signature.inputs, dtype), laid_out(w, signature.params, dtype)
    s = laid_out(s, signature.states, dtype)

    def fresh(port: Port, leading: tuple[int, int], dtype: torch.dtype) -> Tensor:
        return empty_in_pages(plan.shape(port, leading), dtype)

    outputs = tuple(
        fresh(p, plan.over_time(), kind_of(p, dtype) if p.complex else plan.out_dtype) for p in signature.outputs
    )
    finals = tuple(fresh(p, (plan.rows, 1), kind_of(p, dtype)) for p in signature.states)
    past = empty_in_pages((plan.past,), torch.uint8) if keep and plan.past else None
    tiled = keep and past is None
    leading = plan.tiles()[0] if tiled else (0, 0)
    entries = tuple(fresh(p, leading, kind_of(p, dtype)) for p in signature.states)
    kept: Sequence[Tensor | None] = entries if tiled else [None] * len(entries)
    groups = [(x, True), (w, False), (s, False), (outputs, True), (finals, False), (kept, True)]
    invoke(plan, "forward", groups, past)
    wanted = tuple(kind_of(p, plan.out_dtype) for p in signature.outputs)
    return tuple(o.to(d) for o, d in zip(outputs, wanted, strict=True)), finals, entries if past is None else (past,)


def run_backward(
    plan: NativeCall, x: Tensors, w: Tensors, entries: Tensors, grads: Sequence[Tensor | None]
) -> tuple[Tensors, Tensors, Tensors]:
    """Cotangents of inputs, params and initial states."""
    walk = walk_backward if plan.chunks[1] is None else sharing_of(plan).backward
    if plan.cut is None:
        return walk(plan, x, w, entries, grads)
    cut, of = plan.cut, plan.spec.signature
    pieces = cut.split(x, of.inputs), cut.split(w, of.params), cut.split(entries, of.states)
    d_x, d_w, d_s = walk(plan, *pieces, cut.split_grads(grads, (*of.outputs, *of.states)))
    return cut.join_grads(d_x, of.inputs), cut.join_grads(d_w, of.params), cut.join_grads(d_s, of.states)


def walk_backward(
    plan: NativeCall, x: Tensors, w: Tensors, entries: Tensors, grads: Sequence[Tensor | None]
) -> tuple[Tensors, Tensors, Tensors]:
    """`run_backward` of sequences that are not cut, or of all pieces."""
    signature, dtype = plan.spec.signature, plan.dtype
    given, params = laid_out(x, signature.inputs, dtype), laid_out(w, signature.params, dtype)
    past = entries[0] if plan.past else None
    if past is not None and past.data_ptr() % ALIGNMENT:
        past = past.clone()  # hooks of autograd put it where they like
    began: Sequence[Tensor | None] = [None] * len(signature.states)
    if past is None:
        began = laid_out(entries, signature.states, dtype)
    g_out = output_cotangents(plan, grads[: len(signature.outputs)])
    g_final = final_cotangents(plan, grads[len(signature.outputs) :])
    d_x = tuple(
        empty_in_pages(plan.shape(p, plan.over_time()), t.dtype) for t, p in zip(given, signature.inputs, strict=True)
    )
    native = plan.spec.native
    assert native is not None
    d_w = tuple(
        empty_in_pages(plan.shape(p, (plan.blocks() if i in native.outer else plan.rows, 1)), kind_of(p, dtype))
        for i, p in enumerate(signature.params)
    )
    d_s = tuple(empty_in_pages(plan.shape(p, (plan.rows, 1)), kind_of(p, dtype)) for p in signature.states)
    groups = [(given, True), (params, False), (began, True), (g_out, True), (g_final, False)]
    invoke(plan, "backward", [*groups, (d_x, True), (d_w, False), (d_s, False)], past)
    return (
        tuple(fit(d, t.shape, t.dtype) for d, t in zip(d_x, x, strict=True)),
        tuple(fit(d, t.shape, t.dtype) for d, t in zip(d_w, w, strict=True)),
        d_s,
    )


def output_cotangents(plan: NativeCall, grads: Sequence[Tensor | None]) -> Tensors:
    """Those of outputs as kernels read them."""
    return tuple(
        cotangent(g, p, plan.shape(p, plan.over_time()), plan.dtype if p.complex else plan.out_dtype)
        for g, p in zip(grads, plan.spec.signature.outputs, strict=True)
    )


def final_cotangents(plan: NativeCall, grads: Sequence[Tensor | None]) -> Tensors:
    """Those of final states as kernels read them."""
    states = plan.spec.signature.states
    return tuple(cotangent(g, p, plan.shape(p, (plan.rows, 1)), plan.dtype) for g, p in zip(grads, states, strict=True))


def cotangent(grad: Tensor | None, port: Port, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A cotangent as kernels read it: zeros where there is none, in little memory."""
    if grad is None:
        features = shape[len(shape) - len(port.axes) :]
        return torch.zeros(features, dtype=kind_of(port, dtype), device="cpu").expand(shape)
    return in_memory(grad.to(kind_of(port, dtype)), port, dtype)
