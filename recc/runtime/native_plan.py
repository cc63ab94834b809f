"""Whether a call is made in native code, and how: what is fixed about it before a tensor is touched."""

import ctypes
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from recc.runtime.arguments import Bound
from recc.runtime.autograd import feature_shape
from recc.runtime.costs import cheapest
from recc.runtime.native_build import REPORTED, NativeError, load_library
from recc.runtime.native_cut import Cut, choose_cut
from recc.runtime.native_threads import processors
from recc.runtime.program import Choice, Port, Spec
from recc.runtime.tiles import Tensors

ELEMENT_TYPES = {
    torch.float32: "float",
    torch.float64: "double",
    torch.bfloat16: "bfloat16",
    torch.float16: "float16",
}
PATH_BYTES = 2**19  # of a tile that the backward pass has at hand: they stay in a core's cache
ALIGNMENT = 64  # bytes: what kernels expect of what is kept of all steps
TILE_STEPS = (8, 64)
PAST_BYTES = 2**26  # up to which what a backward pass reads of a block's steps is kept from the forward pass
LARGEST_BLOCK = 8  # rows that read a matrix together: more are no faster
LARGE_PRODUCTS = 2**18  # multiplications of a block's step that threads share, and that are not done twice


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
    group: int = 0  # rows that are, one in each lane of a vector; 0 if a row has vectors of its own
    past: int = 0  # bytes of what is kept of all steps; 0 if the states at the entry of tiles are, to begin again there
    chunks: tuple[Any, Any] = (None, None)  # stretches of time that are walked side by side, forwards and back

    def blocks(self) -> int:
        """Blocks of sequences, or sequences where each is by itself."""
        return -(-self.rows // max(1, self.block))

    def parts(self, threads: int) -> tuple[int, int]:
        """The blocks of a call, and how many of `threads` share each."""
        blocks = self.blocks() * prod(self.lanes)
        shared = 0 < blocks < threads and self.products() >= LARGE_PRODUCTS
        return blocks, threads // blocks if shared else 1

    def shares(self) -> int:
        """How many threads may have something to do, where none share a block."""
        count = self.rows * prod(self.lanes)
        return count if self.group <= 1 else -(-count // self.group)

    def products(self) -> int:
        """Multiplications of a block's step by the elements of matrices."""
        matrices = (prod(feature_shape(p, self.sizes)) for p in self.spec.signature.params if len(p.axes) > 1)
        return self.block * sum(matrices)

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
    idle = processors() if choice.method == "auto" else 1
    expected = spec.cost(bound.sizes, steps, rows, torch.get_num_threads(), choice.training, idle)
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


def native_library(spec: Spec, bound: Bound, group: int, shared: bool = False) -> Any:
    """The library of a recurrence for the sizes and element types of a call, of so many rows in a `group`, also with
    what it takes for time to be `shared` out. Raises NativeError."""
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
    macros += [("TIME_SHARED", "1")] * shared
    if group:
        macros.append(("GROUP_LANES", str(group)))
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
    packed = choice.bounds is not None
    group = spec.native.group(bound.rows, prod(bound.lanes), packed) if spec.native.group else 0
    bounds = None  # a copy: a backward pass reads them again, when the caller's may be those of the next batch
    if choice.bounds is not None:
        bounds = choice.bounds.to("cpu", torch.int64, copy=True).contiguous()
    tile = choice.tile
    if tile is None:
        low, high = TILE_STEPS
        elements = path_elements(spec, bound.sizes) * max(1, group)
        tile = max(low, min(high, PATH_BYTES // (elements * bound.dtype.itemsize)))
    shape = (bound.rows, bound.steps, bound.lanes, bound.sizes, bound.dtype, bound.out_dtype)
    block = block_rows(bound.rows, bound.w) if spec.native.blocks else 0
    plan = NativeCall(spec, None, *shape, bounds, choice.reverse, tile, choice.by_torch, cut, block, group)
    if spec.native.sharing and choice.method == "auto" and not choice.decoding:
        plan = replace(plan, chunks=spec.native.sharing.split(plan))
    plan = replace(plan, library=native_library(spec, bound, group, any(plan.chunks)))
    return replace(plan, past=past_bytes(plan))


def past_bytes(plan: NativeCall) -> int:
    """What it takes to keep all that a backward pass needs of a block's steps; 0 where that is too much, or where
    steps are quickly computed again."""
    if plan.products() < LARGE_PRODUCTS or plan.cut is not None or plan.by_torch is None:
        return 0
    blocks = plan.blocks() if plan.bounds is None else 1
    size = blocks * prod(plan.lanes) * plan.steps * ctypes.c_int64.in_dll(plan.library, "path_bytes").value
    return size if size <= PAST_BYTES else 0


def path_elements(spec: Spec, sizes: dict[str, int]) -> int:
    """Real numbers that the backward pass has at hand of one row's step: its states, and what is kept of it."""
    assert spec.native is not None
    states = sum(prod(feature_shape(p, sizes)) * (1 + p.complex) for p in spec.signature.states)
    return states + sum(prod(n if isinstance(n, int) else sizes[n] for n in axes) for axes in spec.native.kept)
