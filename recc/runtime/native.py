"""A whole sequence in native code: the C kernels of a recurrence, called on the tensors' own memory.

Rows, that is sequences times lanes, are shared out over as many threads as torch uses. Each row is computed by one
thread in one order, so that results do not depend on their number.
"""

import ctypes
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from recc.runtime.arguments import Bound
from recc.runtime.autograd import feature_shape, fit, kind_of
from recc.runtime.costs import cheapest
from recc.runtime.native_build import REPORTED, NativeError, load_library
from recc.runtime.native_cut import SHARED_WORK, Cut, choose_cut
from recc.runtime.native_memory import empty_in_pages
from recc.runtime.native_threads import share_out, tickets
from recc.runtime.program import Choice, Port, Spec
from recc.runtime.tiles import Tensors

ELEMENT_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}
PATH_BYTES = 2**19  # of a tile that the backward pass has at hand: they stay in a core's cache
TILE_STEPS = (8, 64)
PAST_BYTES = 2**28  # up to which what a backward pass reads of a block's steps is kept from the forward pass
LARGEST_BLOCK = 8  # rows that read a matrix together: more are no faster
SHARED_PRODUCTS = 2**18  # multiplications of a block's step that are worth meeting for


@dataclass(frozen=True, eq=False)
class NativeCall:
    """What is fixed about one call; `bounds` are those of packed sequences. `lanes` and `sizes` are those of the pieces
    where sequences are cut."""

    spec: Spec
    library: Any
    rows: int
    steps: int
    lanes: tuple[int, ...]
    sizes: dict[str, int]
    dtype: torch.dtype
    out_dtype: torch.dtype
    bounds: Tensor | None
    reverse: bool
    tile: int
    by_torch: Callable[[Tensors, Tensors, Tensors], tuple[Tensors, Tensors]] | None
    cut: Cut | None = None
    block: int = 0  # rows that are walked side by side; 0 if each is by itself
    past: int = 0  # bytes of what is kept of all steps; 0 if the states at the entry of tiles are, to begin again there

    def parts(self, threads: int) -> tuple[int, int]:
        """The blocks of a call, and how many of `threads` share each."""
        blocks = -(-self.rows // max(1, self.block)) * prod(self.lanes)
        matrices = sum(prod(feature_shape(p, self.sizes)) for p in self.spec.signature.params if len(p.axes) > 1)
        shared = 0 < blocks < threads and self.block * matrices >= SHARED_PRODUCTS
        return blocks, threads // blocks if shared else 1

    def shape(self, port: Port, leading: tuple[int, int]) -> tuple[int, ...]:
        return (*leading, *self.lanes, *feature_shape(port, self.sizes))

    def over_time(self) -> tuple[int, int]:
        return (1, self.steps) if self.bounds is not None else (self.rows, self.steps)

    def tiles(self) -> tuple[tuple[int, int], Tensor | None]:
        """The leading dimensions of entry states, and the first tile of each packed sequence."""
        if self.bounds is None:
            return (self.rows, -(-self.steps // self.tile)), None
        counts = (self.bounds.diff() + self.tile - 1) // self.tile
        firsts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
        return (1, int(firsts[-1])), firsts


def choose_native(spec: Spec, bound: Bound, choice: Choice) -> NativeCall | None:
    """The call in native code, or None where torch makes it.

    Raises ValueError or RuntimeError where native code was asked for and cannot be had."""
    if choice.backend == "torch" or choice.backend == "auto" and not pays(spec, bound, choice):
        return None
    name = spec.signature.name
    refusal = native_refusal(spec, bound, choice.method)
    if refusal and choice.backend == "cpu":
        raise ValueError(f"backend: {name} cannot run on 'cpu': {refusal}")
    if refusal:
        return None
    try:
        return plan_native(spec, bound, choice)
    except NativeError as error:
        if choice.backend == "cpu":
            raise RuntimeError(f"backend: {name} cannot run on 'cpu': {error}") from None
        warn_without_native(name, error)
        return None


def pays(spec: Spec, bound: Bound, choice: Choice) -> bool:
    """Whether native code is expected to take less time than torch, also with its share of what building takes."""
    if spec.cost is None or 0 in bound.sizes.values():
        return False
    packed = choice.bounds is not None
    steps, rows = -(-bound.steps // max(1, bound.rows)) if packed else bound.steps, bound.rows * prod(bound.lanes)
    expected = spec.cost(bound.sizes, steps, rows, torch.get_num_threads(), choice.training)
    return cheapest(expected, choice.method, choice.decoding) == "native"


def native_refusal(spec: Spec, bound: Bound, method: str) -> str:
    """Why a call cannot be made in native code, whatever compiler there is; empty if it can."""
    tensors = (*bound.x, *bound.w, *bound.s)
    if method not in ("auto", "sequential"):
        return f"it has no method {method!r}"
    if any(t.device.type != "cpu" for t in tensors):
        return "tensors are not on the CPU"
    if any(type(t) is not Tensor and type(t) is not torch.nn.Parameter for t in tensors):
        return "tensors are of a class of their own"
    if 0 in bound.sizes.values():
        return "an axis is empty"
    if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return "a function transform is active"
    batched = torch._C._functorch.is_legacy_batchedtensor  # pyright: ignore[reportAttributeAccessIssue]
    return "a function transform is active" if any(batched(t) for t in tensors) else ""


def native_library(spec: Spec, bound: Bound) -> Any:
    """The library of a recurrence for the sizes and element types of a call. Raises NativeError."""
    signature, native = spec.signature, spec.native
    assert native is not None
    real = torch.float64 if bound.dtype == torch.float64 else torch.float32
    macros = [(macro, str(bound.sizes[size])) for size, macro in native.sizes]
    macros.append(("REAL_BITS", "64" if real == torch.float64 else "32"))
    for number, (port, value) in enumerate(zip(signature.inputs, bound.x, strict=True)):
        kind = "real" if port.complex else ELEMENT_TYPES[value.dtype]
        macros += [(f"TYPE_IN_{number}", kind), (f"TYPE_GRAD_{number}", kind)]
    for number, port in enumerate(signature.outputs):
        macros.append((f"TYPE_OUT_{number}", "real" if port.complex else ELEMENT_TYPES[bound.out_dtype]))
    if native.blocks:
        macros.append(("BLOCK_ROWS", str(block_rows(bound.rows, bound.w))))
    key = (spec.key, tuple(macros))
    if key not in READY:
        READY[key] = load_library(native.text, tuple(macros))
    return READY[key]


READY: dict[Any, Any] = {}


def block_rows(rows: int, params: Sequence[Tensor]) -> int:
    """How many rows are walked side by side, a power of two; one if each row has params of its own.

    It depends on nothing but shapes, so that sums are the same whatever the number of threads."""
    if any(w.shape[0] > 1 for w in params):
        return 1
    return min(LARGEST_BLOCK, 1 << (rows - 1).bit_length())


def warn_without_native(name: str, error: NativeError) -> None:
    """Says once in a process that torch runs a recurrence instead, and why."""
    text = str(error)
    if text not in REPORTED:
        REPORTED.add(text)
        warnings.warn(f"{name}: the torch backend is used, not native code: {text}", RuntimeWarning, stacklevel=4)


def plan_native(spec: Spec, bound: Bound, choice: Choice) -> NativeCall:
    """A call in native code. Raises NativeError where there is no library for it."""
    assert spec.native is not None
    cut = choose_cut(spec, bound, choice, spec.native.divisible)
    bound = bound if cut is None else cut.inner(bound)
    library = native_library(spec, bound)
    bounds = None if choice.bounds is None else choice.bounds.to(torch.int64).contiguous()
    tile = choice.tile
    if tile is None:
        low, high = TILE_STEPS
        tile = max(low, min(high, PATH_BYTES // (path_elements(spec, bound.sizes) * bound.dtype.itemsize)))
    shape = (bound.rows, bound.steps, bound.lanes, bound.sizes, bound.dtype, bound.out_dtype)
    block = block_rows(bound.rows, bound.w) if spec.native and spec.native.blocks else 0
    plan = NativeCall(spec, library, *shape, bounds, choice.reverse, tile, choice.by_torch, cut, block)
    return replace(plan, past=past_bytes(plan))


def past_bytes(plan: NativeCall) -> int:
    """What it takes to keep all that a backward pass needs of a block's steps; 0 where that is too much."""
    if not plan.block or plan.cut is not None or plan.by_torch is None:
        return 0
    blocks = -(-plan.rows // plan.block) if plan.bounds is None else 1
    size = blocks * prod(plan.lanes) * plan.steps * ctypes.c_int64.in_dll(plan.library, "path_bytes").value
    return size if size <= PAST_BYTES else 0


def path_elements(spec: Spec, sizes: dict[str, int]) -> int:
    """Real numbers that the backward pass has at hand of one row's step: its states, and what is kept of it."""
    assert spec.native is not None
    states = sum(prod(feature_shape(p, sizes)) * (1 + p.complex) for p in spec.signature.states)
    return states + sum(prod(n if isinstance(n, int) else sizes[n] for n in axes) for axes in spec.native.kept)


def solve_natively(plan: NativeCall, x: Tensors, w: Tensors, s: Tensors) -> tuple[Tensors, Tensors]:
    """Outputs and final states, as one autograd node where a gradient may be asked for."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (*x, *w, *s)):
        flat: Tensors = SolveNatively.apply(plan, *x, *w, *s)  # pyright: ignore[reportAssignmentType]
        count = len(plan.spec.signature.outputs)
        return flat[:count], flat[count:]
    outputs, finals, _ = run_forward(plan, x, w, s, False)
    return outputs, finals


# --- the library's functions ---


def in_memory(tensor: Tensor, port: Port, dtype: torch.dtype) -> Tensor:
    """A tensor whose features lie one after the other, complex ones in the dtype that is computed in."""
    if port.complex:
        tensor = tensor.to(kind_of(port, dtype)).resolve_conj()
    tensor = tensor.resolve_neg()
    return tensor if lies_flat(tensor, len(port.axes)) else tensor.contiguous()


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
    threads = min(torch.get_num_threads(), shape[0]) if work >= SHARED_WORK else 1
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
    return torch.zeros(rows, count, dtype=dtype) if count else None


def report_natively(spec: Spec, name: str, changes: Tensor | None) -> None:
    """Tells of the fixed points that were not reached in some row."""
    if changes is None or not changes.any():
        return
    assert spec.native is not None and spec.native.report is not None
    for (what, rounds), change in zip(spec.native.missed[name == "backward"], changes.amax(0).tolist(), strict=True):
        if change != 0:
            spec.native.report(what, rounds, change)


def run_forward(plan: NativeCall, x: Tensors, w: Tensors, s: Tensors, keep: bool) -> tuple[Tensors, Tensors, Tensors]:
    """Outputs, final states, and with `keep` the states at the entry of each tile, or what is kept of all steps."""
    if plan.cut is None:
        return walk_forward(plan, x, w, s, keep)
    cut, of = plan.cut, plan.spec.signature
    pieces = cut.split(x, of.inputs), cut.split(w, of.params), cut.split(s, of.states)
    outputs, finals, entries = walk_forward(plan, *pieces, keep)
    return cut.join(outputs, of.outputs), cut.join(finals, of.states), cut.join(entries, of.states)


def walk_forward(plan: NativeCall, x: Tensors, w: Tensors, s: Tensors, keep: bool) -> tuple[Tensors, Tensors, Tensors]:
    """`run_forward` of sequences that are not cut, or of all pieces."""
    signature, dtype = plan.spec.signature, plan.dtype
    x = tuple(in_memory(t, p, dtype) for t, p in zip(x, signature.inputs, strict=True))
    w = tuple(in_memory(t, p, dtype) for t, p in zip(w, signature.params, strict=True))
    s = tuple(in_memory(t, p, dtype) for t, p in zip(s, signature.states, strict=True))

    def fresh(port: Port, leading: tuple[int, int], dtype: torch.dtype) -> Tensor:
        return empty_in_pages(plan.shape(port, leading), dtype)

    outputs = tuple(
        fresh(p, plan.over_time(), kind_of(p, dtype) if p.complex else plan.out_dtype) for p in signature.outputs
    )
    finals = tuple(fresh(p, (plan.rows, 1), kind_of(p, dtype)) for p in signature.states)
    past = empty_in_pages((plan.past,), torch.uint8) if keep and plan.past else None
    leading = plan.tiles()[0] if keep and past is None else (0, 0)
    entries = tuple(fresh(p, leading, kind_of(p, dtype)) for p in signature.states)
    kept: Sequence[Tensor | None] = entries if keep and past is None else [None] * len(entries)
    groups = [(x, True), (w, False), (s, False), (outputs, True), (finals, False), (kept, True)]
    invoke(plan, "forward", groups, past)
    wanted = tuple(kind_of(p, plan.out_dtype) for p in signature.outputs)
    return tuple(o.to(d) for o, d in zip(outputs, wanted, strict=True)), finals, entries if past is None else (past,)


def run_backward(
    plan: NativeCall, x: Tensors, w: Tensors, entries: Tensors, grads: Sequence[Tensor | None]
) -> tuple[Tensors, Tensors, Tensors]:
    """Cotangents of inputs, params and initial states."""
    if plan.cut is None:
        return walk_backward(plan, x, w, entries, grads)
    cut, of = plan.cut, plan.spec.signature
    pieces = cut.split(x, of.inputs), cut.split(w, of.params), cut.split(entries, of.states)
    d_x, d_w, d_s = walk_backward(plan, *pieces, cut.split_grads(grads, (*of.outputs, *of.states)))
    return cut.join_grads(d_x, of.inputs), cut.join_grads(d_w, of.params), cut.join_grads(d_s, of.states)


def walk_backward(
    plan: NativeCall, x: Tensors, w: Tensors, entries: Tensors, grads: Sequence[Tensor | None]
) -> tuple[Tensors, Tensors, Tensors]:
    """`run_backward` of sequences that are not cut, or of all pieces."""
    signature, dtype = plan.spec.signature, plan.dtype
    given = tuple(in_memory(t, p, dtype) for t, p in zip(x, signature.inputs, strict=True))
    params = tuple(in_memory(t, p, dtype) for t, p in zip(w, signature.params, strict=True))
    past = entries[0] if plan.past else None
    began: Sequence[Tensor | None] = [None] * len(signature.states)
    if past is None:
        began = [in_memory(t, p, dtype) for t, p in zip(entries, signature.states, strict=True)]
    g_out = [
        cotangent(g, p, plan.shape(p, plan.over_time()), dtype if p.complex else plan.out_dtype)
        for g, p in zip(grads, signature.outputs, strict=False)
    ]
    g_final = [
        cotangent(g, p, plan.shape(p, (plan.rows, 1)), dtype)
        for g, p in zip(grads[len(g_out) :], signature.states, strict=True)
    ]
    d_x = tuple(
        empty_in_pages(plan.shape(p, plan.over_time()), t.dtype) for t, p in zip(given, signature.inputs, strict=True)
    )
    native, blocks = plan.spec.native, -(-plan.rows // max(1, plan.block))
    assert native is not None
    d_w = tuple(
        empty_in_pages(plan.shape(p, (blocks if i in native.outer else plan.rows, 1)), kind_of(p, dtype))
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


def cotangent(grad: Tensor | None, port: Port, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A cotangent as kernels read it: zeros where there is none, in little memory."""
    if grad is None:
        features = shape[len(shape) - len(port.axes) :]
        return torch.zeros(features, dtype=kind_of(port, dtype)).expand(shape)
    return in_memory(grad.to(kind_of(port, dtype)), port, dtype)


class SolveNatively(torch.autograd.Function):
    """`(plan, *inputs, *params, *initial states) -> (*outputs, *final states)`.

    Entry states, or what is kept of all steps, wait for the backward pass, which a torch program takes over when it is
    differentiated itself.
    """

    @staticmethod
    def forward(ctx: Any, plan: NativeCall, *tensors: Tensor) -> Tensors:
        x, w, s = split_native(plan, tensors)
        outputs, finals, entries = run_forward(plan, x, w, s, True)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *entries)
        return (*outputs, *finals)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        plan: NativeCall = ctx.plan
        count = 1 if plan.past else len(plan.spec.signature.states)
        saved = ctx.saved_tensors  # once: each reading of it unpacks what a checkpoint holds
        tensors, entries = saved[:-count], saved[-count:]
        wanted = ctx.needs_input_grad[1:]
        if all(g is None for g in grads):
            return (None,) * (1 + len(tensors))
        if torch.is_grad_enabled() or any(needs_torch(g) for g in grads):
            return (None, *differentiate_by_torch(plan, tensors, grads, wanted))
        x, w, _ = split_native(plan, tensors)
        d_x, d_w, d_s = run_backward(plan, x, w, entries, grads)
        return (None, *(g if need else None for g, need in zip((*d_x, *d_w, *d_s), wanted, strict=True)))


def differentiate_by_torch(
    plan: NativeCall, tensors: Tensors, grads: Sequence[Tensor | None], wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """The cotangents of all tensors that are wanted, in a way that can be differentiated again."""
    again = torch.is_grad_enabled()
    assert plan.by_torch is not None
    with torch.enable_grad():
        own = tuple(t.view_as(t) for t in tensors)
        outputs, finals = plan.by_torch(*split_native(plan, own))
        pairs = [(y, g) for y, g in zip((*outputs, *finals), grads, strict=True) if g is not None and y.requires_grad]
        given = [t for t, need in zip(own, wanted, strict=True) if need]
        results, cotangents = [y for y, _ in pairs], [g for _, g in pairs]
        found = iter(torch.autograd.grad(results, given, cotangents, create_graph=again, allow_unused=True))
    return tuple(next(found) if need else None for need in wanted)


def needs_torch(grad: Tensor | None) -> bool:
    """Whether a cotangent is no plain tensor: `torch.autograd.grad` with batches of them makes such."""
    batched = torch._C._functorch.is_legacy_batchedtensor  # pyright: ignore[reportAttributeAccessIssue]
    return grad is not None and (batched(grad) or torch._C._are_functorch_transforms_active())


def split_native(plan: NativeCall, tensors: Sequence[Tensor]) -> tuple[Tensors, Tensors, Tensors]:
    """Inputs, params and states from their concatenation."""
    inputs, states = len(plan.spec.signature.inputs), len(plan.spec.signature.states)
    return tuple(tensors[:inputs]), tuple(tensors[inputs : len(tensors) - states]), tuple(tensors[-states:])
