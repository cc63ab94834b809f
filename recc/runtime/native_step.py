"""One step in native code, as a decoder makes them: what does not change from token to token is kept."""

import ctypes
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recc.runtime.arguments import bind
from recc.runtime.autograd import feature_shape
from recc.runtime.native import lies_flat, places, report_natively, room_for_missed, run_forward
from recc.runtime.native_cut import SHARED_WORK
from recc.runtime.native_plan import NativeCall, choose_native
from recc.runtime.program import Choice, Port, Spec
from recc.runtime.tiles import Tensors

MOST_STEPS = 1024  # kinds of steps that are kept; a program that needs more of them makes each anew


class ReadyStep(NamedTuple):
    """A step on tensors of known shapes, strides and dtypes: all that its call needs but for their addresses."""

    function: Callable[..., int]
    shape: Any
    strides: Any
    results: tuple[tuple[tuple[int, ...], torch.dtype], ...]
    outputs: int  # how many of the results are no states
    absent: tuple[None, ...]  # entry states, bounds of packed sequences and their tiles, what is kept of all steps


READY_STEPS: dict[Any, ReadyStep | None] = {}


def step_natively(spec: Spec, state: Any, x: Sequence[Any], w: Sequence[Any]) -> tuple[Tensors, Tensors] | None:
    """Outputs `(B, *lanes, *features)` and new states of one step, or None where torch has to make it.

    Raises ValueError or TypeError for arguments that do not fit."""
    given = (*x, *w, *(state if isinstance(state, tuple) else (state,)))
    if any(not isinstance(t, Tensor) for t in given) or not is_plain(given):
        return None
    key = (spec.key, *[(t.shape, t.stride(), t.dtype) for t in given])
    if key not in READY_STEPS:
        return first_step(spec, state, x, w, key)
    ready = READY_STEPS[key]
    if ready is None:
        return None
    made = tuple([torch.empty(shape, dtype=dtype, device="cpu") for shape, dtype in ready.results])
    pointers = [*[t.data_ptr() for t in given], *[t.data_ptr() for t in made], *ready.absent]
    changes = room_for_missed(spec, "forward", ready.shape[0], made[-1].dtype)
    if changes is not None:
        pointers.append(changes.data_ptr())
    data = (ctypes.c_void_p * len(pointers))(*pointers)
    if ready.function((ctypes.c_int64 * 2)(0, 1), ready.shape, data, ready.strides):
        raise MemoryError(f"{spec.signature.name}: no memory for the state")
    if changes is not None:
        report_natively(spec, "forward", changes)
    return made[: ready.outputs], made[ready.outputs :]


def is_plain(tensors: Sequence[Tensor]) -> bool:
    """Whether nothing but values is asked for: no gradient, no function transform; and whether all are on the CPU."""
    if torch.is_grad_enabled() and any([t.requires_grad for t in tensors]):
        return False
    if torch.autograd.forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active():
        return False
    return all([t.is_cpu and (type(t) is Tensor or type(t) is torch.nn.Parameter) for t in tensors])


def first_step(spec: Spec, state: Any, x: Sequence[Any], w: Sequence[Any], key: Any) -> tuple[Tensors, Tensors] | None:
    """A step on tensors of new shapes, which is made ready for the next time if it can be."""
    bound = bind(spec, x, w, state, timed=False)
    call = choose_native(spec, bound, Choice("sequential", "auto", decoding=True))
    given = (*x, *w, *(state if isinstance(state, tuple) else (state,)))
    own = (*bound.x, *bound.w, *bound.s)
    ports = (*spec.signature.inputs, *spec.signature.params, *spec.signature.states)
    if len(READY_STEPS) < MOST_STEPS:
        READY_STEPS[key] = None if call is None else ready_step(spec, call, given, own, ports)
        if READY_STEPS[key] is None and call is not None:
            del READY_STEPS[key]
    if call is None:
        return None
    outputs, finals, _ = run_forward(call, bound.x, bound.w, bound.s, False)
    return tuple(o.squeeze(1) for o in outputs), tuple(s.squeeze(1) for s in finals)


def ready_step(
    spec: Spec, call: NativeCall, given: Sequence[Tensor], own: Sequence[Tensor], ports: Sequence[Port]
) -> ReadyStep | None:
    """A step whose tensors can be read where they are, None if some have to be converted first."""
    signature, lanes = spec.signature, call.lanes
    if any(port.complex for port in (*ports, *signature.outputs)):
        return None
    for raw, tensor, port in zip(given, own, ports, strict=True):
        if raw.data_ptr() != tensor.data_ptr() or raw.dtype != tensor.dtype or tensor.is_neg():
            return None
        if not lies_flat(tensor, len(port.axes)):
            return None
    elements = max(1, sum(prod(feature_shape(p, call.sizes)) for p in signature.states))
    if call.rows * prod(lanes) * elements >= SHARED_WORK:
        return None
    results = [((call.rows, *lanes, *feature_shape(p, call.sizes)), call.out_dtype) for p in signature.outputs]
    results += [((call.rows, *lanes, *feature_shape(p, call.sizes)), call.dtype) for p in signature.states]
    strides = [stride for tensor in own for stride in places(tensor, len(lanes), False)]
    for shape, dtype in results:
        made = torch.empty(shape, dtype=dtype, device="cpu").unsqueeze(1)
        strides += places(made, len(lanes), False)
    absent = (None,) * (len(signature.states) + 3)
    strides += [0] * (2 + len(lanes)) * len(signature.states)
    count = prod(lanes)
    shape = (call.rows * count, 1, 0, 1, count, len(lanes), *lanes)
    return ReadyStep(
        call.library.forward,
        (ctypes.c_int64 * len(shape))(*shape),
        (ctypes.c_int64 * len(strides))(*strides),
        tuple(results),
        len(signature.outputs),
        absent,
    )
