"""Checks a call's tensors and brings them to the layout that programs work in.

Inputs become `(B, T, *lanes, *features)` with all lanes there (of size 1 where they broadcast), params
`(1 or B, 1, *lanes, *features)`, states `(B, 1, *lanes, *features)` in full. Every mistake is one ValueError or
TypeError that names the argument, what was expected of it, and where sizes disagree, both places.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recc.runtime.autograd import feature_shape, kind_of
from recc.runtime.program import Port, Spec
from recc.runtime.tiles import Tensors

REAL_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
COMPLEX_DTYPES = (torch.complex64, torch.complex128)
REAL_PART = {torch.complex64: torch.float32, torch.complex128: torch.float64}
METHODS = ("auto", "sequential", "scan", "convolution")
BACKENDS = ("auto", "torch", "cpu")


class Bound(NamedTuple):
    """The arguments of one call, checked and in layout. `rows` counts sequences, packed ones one by one."""

    x: Tensors
    w: Tensors
    s: Tensors
    steps: int
    rows: int
    lanes: tuple[int, ...]
    sizes: dict[str, int]
    dtype: torch.dtype
    out_dtype: torch.dtype


def shape_text(leading: str, port: Port) -> str:
    return (
        "(" + ", ".join([leading, *map(str, port.axes)]) + ("," if not port.axes and "," not in leading else "") + ")"
    )


def check_tensor(name: str, port: Port, value: Any, device: torch.device | None, first: str) -> torch.device:
    """Raises unless `value` is a tensor of a dtype that the port takes, on the device of the argument `first`."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    if value.dtype in COMPLEX_DTYPES:
        if not port.complex:
            raise TypeError(f"{name}: expected a real tensor, got {value.dtype}")
    elif value.dtype not in REAL_DTYPES:
        allowed = "float64, float32, bfloat16, float16" + (", complex64, complex128" if port.complex else "")
        raise TypeError(f"{name}: expected a tensor of one of the dtypes {allowed}, got {value.dtype}")
    if device is not None and value.device != device:
        raise ValueError(f"{name}: expected a tensor on {device}, where {first} is, got one on {value.device}")
    return value.device


def take_sizes(
    name: str, port: Port, shape: Sequence[int], seen: dict[str, tuple[int, str]], sizes: dict[str, int]
) -> None:
    """Reads a port's sizes off the last dimensions of `shape`; `seen` says who gave each size first."""
    features = shape[len(shape) - len(port.axes) :]
    for axis, size in zip(port.axes, features, strict=True):
        if isinstance(axis, int):
            if size != axis:
                raise ValueError(f"{name}: expected {axis} along its axis {axis}, got {size}, of shape {tuple(shape)}")
        elif axis not in sizes:
            sizes[axis] = size
            seen[axis] = (size, name)
        elif size != sizes[axis]:
            where = f"as in {seen[axis][1]}" if axis in seen else "as the module was compiled with"
            raise ValueError(
                f"{name}: expected {axis} = {sizes[axis]} {where}, got {axis} = {size}, of shape {tuple(shape)}"
            )


def join_lanes(named: Sequence[tuple[str, tuple[int, ...]]]) -> tuple[int, ...]:
    """The lanes that all arguments broadcast to, as in NumPy; `named` has every argument with its own."""
    rank = max([len(lanes) for _, lanes in named])
    joined, giver = [1] * rank, [""] * rank
    for name, lanes in named:
        for i, size in enumerate(lanes, start=rank - len(lanes)):
            if size == 1 or size == joined[i]:
                continue
            if joined[i] != 1:
                other = next(own for who, own in named if who == giver[i])
                raise ValueError(f"{name}: its lanes {lanes} do not broadcast with the lanes {other} of {giver[i]}")
            joined[i], giver[i] = size, name
    return tuple(joined)


def pad_lanes(tensor: Tensor, lead: int, features: int, rank: int) -> Tensor:
    """Lanes of size 1 in front of those that a tensor has, so that it has `rank` of them after `lead` dimensions."""
    missing = rank - (tensor.dim() - lead - features)
    return tensor.reshape(*tensor.shape[:lead], *(1,) * missing, *tensor.shape[lead:]) if missing > 0 else tensor


def leading_names(timed: bool) -> str:
    return "B, T, *lanes" if timed else "B, *lanes"


def check_inputs(ports: Sequence[Port], x: Sequence[Any], timed: bool) -> None:
    """Raises unless all inputs are tensors that agree on batch and, if they have it, time."""
    lead = 2 if timed else 1
    device: torch.device | None = None
    for port, value in zip(ports, x, strict=True):
        device = check_tensor(port.name, port, value, device, ports[0].name)
        if value.dim() < lead + len(port.axes):
            expected = shape_text(leading_names(timed), port)
            raise ValueError(f"{port.name}: expected {expected}, got {tuple(value.shape)}")
        for dim, axis in enumerate("BT"[:lead]):
            if value.shape[dim] != x[0].shape[dim]:
                raise ValueError(
                    f"{port.name}: expected {axis} = {x[0].shape[dim]} as in {ports[0].name}, got {axis} = "
                    f"{value.shape[dim]}, of shape {tuple(value.shape)}"
                )


def param_lanes(port: Port, value: Tensor, rank: int, rows: int) -> tuple[bool, tuple[int, ...]]:
    """Whether a param has the batch in front of its lanes, and its lanes."""
    own = value.dim() - len(port.axes)
    if own < 0 or own > rank + 1:
        expected = shape_text("*lanes", port)
        count = f"{rank} lane{'s' * (rank != 1)}"
        raise ValueError(
            f"{port.name}: expected {expected}, with at most {count} and the batch in front, got {tuple(value.shape)}"
        )
    batched = own > rank
    if batched and value.shape[0] not in (1, rows):
        raise ValueError(
            f"{port.name}: expected 1 or B = {rows} in front of its {rank} lane{'s' * (rank != 1)}, "
            f"got {value.shape[0]}, of shape {tuple(value.shape)}"
        )
    return batched, tuple(value.shape[1 if batched else 0 : own])


def named_states(ports: Sequence[Port], given: Any) -> tuple[Any, ...]:
    """The initial states in order of declaration, from a tensor, a sequence in order or a dict by name."""
    names = [p.name for p in ports]
    listed = ", ".join(names)
    if isinstance(given, dict):
        for name in names:
            if name not in given:
                raise ValueError(f"initial_state: {name} is missing (the states are {listed})")
        for name in given:
            if name not in names:
                raise ValueError(f"initial_state: there is no state {name} (the states are {listed})")
        return tuple(given[name] for name in names)
    if isinstance(given, (tuple, list)):
        if len(given) < len(names):
            raise ValueError(f"initial_state: {names[len(given)]} is missing (the states are {listed})")
        if len(given) > len(names):
            raise ValueError(f"initial_state: expected {len(names)} ({listed}), got {len(given)}")
        return tuple(given)
    if len(names) > 1:
        raise TypeError(f"initial_state: expected a tuple or dict of {listed}, got {type(given).__name__}")
    return (given,)


def state_layout(port: Port, value: Tensor, rows: int, lanes: tuple[int, ...], sizes: dict[str, int]) -> Tensor:
    """A state `(B, *lanes, *features)` as `(B, 1, *lanes, *features)`."""
    features = feature_shape(port, sizes)
    full = (rows, *lanes, *features)
    own = tuple(value.shape)
    spare = len(full) - len(own)
    fits = 0 <= spare <= len(lanes) and own[:1] == (rows,) and own[len(own) - len(features) :] == features
    if not fits or any(a not in (1, b) for a, b in zip(own[1:], full[1 + spare :], strict=True)):
        expected = shape_text("B, *lanes", port)
        raise ValueError(f"initial_state: {port.name}: expected {expected} = {full}, got {own}")
    padded = pad_lanes(value, 1, len(features), len(lanes)).unsqueeze(1)
    return padded.expand(rows, 1, *lanes, *features)


def real_part(dtype: torch.dtype) -> torch.dtype:
    return REAL_PART.get(dtype, dtype)


def promote(dtype: torch.dtype, tensors: Sequence[Tensor]) -> torch.dtype:
    for tensor in tensors:
        dtype = torch.promote_types(dtype, real_part(tensor.dtype))
    return dtype


def bind_states(
    spec: Spec,
    given: tuple[Any, ...] | None,
    w: Tensors,
    leading: tuple[int, tuple[int, ...]],
    sizes: dict[str, int],
    dtype: torch.dtype,
    device: torch.device | None,
) -> Tensors:
    """The initial states in layout and in the dtype that is computed in, from what a user gave or from their starts."""
    ports = spec.signature.states
    rows, lanes = leading
    if given is None:
        starts = spec.start(w, sizes, (rows, 1, *lanes), dtype, device)
        shapes = [(rows, 1, *lanes, *feature_shape(p, sizes)) for p in ports]
        return tuple(s.to(kind_of(p, dtype)).expand(n) for p, s, n in zip(ports, starts, shapes, strict=True))
    pairs = zip(ports, given, strict=True)
    return tuple(state_layout(p, v, rows, lanes, sizes).to(kind_of(p, dtype)) for p, v in pairs)


def bind(
    spec: Spec, x: Sequence[Any], w: Sequence[Any], initial_state: Any, rows: int | None = None, timed: bool = True
) -> Bound:
    """A call's arguments in layout; `rows` is the number of packed sequences, if they are.

    Without `timed`, inputs are one step, `(B, *lanes, *features)`.
    """
    signature = spec.signature
    check_inputs(signature.inputs, x, timed)
    first, lead = signature.inputs[0].name, 2 if timed else 1
    batch, device = x[0].shape[0], x[0].device
    steps = x[0].shape[1] if timed else 1
    count: int = batch if rows is None else rows
    seen: dict[str, tuple[int, str]] = {}
    sizes = dict(signature.sizes)
    lanes_of: list[tuple[str, tuple[int, ...]]] = []
    for port, value in zip(signature.inputs, x, strict=True):
        take_sizes(port.name, port, value.shape, seen, sizes)
        lanes_of.append((port.name, tuple(value.shape[lead : value.dim() - len(port.axes)])))
    rank = max([len(own) for _, own in lanes_of])
    batched: list[bool] = []
    for port, value in zip(signature.params, w, strict=True):
        check_tensor(port.name, port, value, device, first)
        has_batch, own = param_lanes(port, value, rank, count)
        take_sizes(port.name, port, value.shape, seen, sizes)
        lanes_of.append((port.name, own))
        batched.append(has_batch)
    lanes = join_lanes(lanes_of)
    states = None if initial_state is None else named_states(signature.states, initial_state)
    for port, value in zip(signature.states, states or (), strict=states is not None):
        check_tensor(f"initial_state: {port.name}", port, value, device, first)
    dtype = promote(torch.float32, (*x, *w, *(states or ())))
    inputs = tuple(input_layout(p, v, rank, timed) for p, v in zip(signature.inputs, x, strict=True))
    params = tuple(
        param_layout(p, v, b, rank).to(kind_of(p, dtype)) for p, v, b in zip(signature.params, w, batched, strict=True)
    )
    s = bind_states(spec, states, params, (count, lanes), sizes, dtype, device)
    return Bound(inputs, params, s, steps, count, lanes, sizes, dtype, promote(real_part(x[0].dtype), x))


def input_layout(port: Port, value: Tensor, rank: int, timed: bool) -> Tensor:
    """An input as `(B, T, *lanes, *features)`."""
    return pad_lanes(value if timed else value.unsqueeze(1), 2, len(port.axes), rank)


def param_layout(port: Port, value: Tensor, batched: bool, rank: int) -> Tensor:
    """A param as `(1 or B, 1, *lanes, *features)`."""
    value = value.unsqueeze(1) if batched else value.reshape(1, 1, *value.shape)
    return pad_lanes(value, 2, len(port.axes), rank)


def check_choices(spec: Spec, method: str, backend: str) -> None:
    """Raises for a method or backend that does not exist, and for a method that the recurrence does not admit."""
    for name, value, valid in (("method", method, METHODS), ("backend", backend, BACKENDS)):
        if value not in valid:
            raise ValueError(f"{name}: expected one of {', '.join(valid)}, got {value!r}")
    if method == "scan" and not spec.primal.levels:
        raise ValueError(f"method: {spec.signature.name} has no scan: {spec.refusal}")
    if method == "convolution" and spec.primal.convolution is None:
        raise ValueError(f"method: {spec.signature.name} has no convolution: {spec.no_convolution}")
    if backend == "cpu" and spec.native is None:
        why = spec.no_native or "the module was compiled without it"
        raise ValueError(f"backend: {spec.signature.name} cannot run on 'cpu': {why}")


def use_scan(spec: Spec, method: str, sizes: dict[str, int], steps: int, rows: int, training: bool = False) -> bool:
    """Whether to scan; "auto" asks the cost model, `rows` being the number of sequences times lanes, for a forward pass
    or, in `training`, for both. It leaves convolutions aside: their errors are relative to the largest value of all
    steps."""
    if method != "auto" or not spec.primal.levels:
        return method == "scan"
    cost: Callable[..., Any] | None = spec.cost
    if cost is None:
        return steps >= 64
    expected = cost(sizes, steps, rows, 1, training)
    return expected.scan < expected.sequential
