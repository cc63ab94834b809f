"""What a lowered recurrence is: programs, ports and the specification that a call works from.

Inside programs every tensor has leading dimensions `(B, N, *lanes)` and then its features. `N` is time in `prepare`
and `finish`, and the number of tiles that are walked side by side in `step` and `compose`. Params are
`(1 or B, 1, *lanes or 1s, *features)`, so that everything broadcasts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Level(NamedTuple):
    """States that one pass of a scan solves, once the states of the earlier levels are known.

    `A, b` is the summary of a stretch of steps: what it does to the states, whatever these are at its beginning.
    """

    states: tuple[int, ...]  # which of the program's states the level solves
    earlier: tuple[int, ...]  # states of earlier levels that are walked along, as the coefficients depend on them
    begin: Callable[..., Any]  # (s, c) -> (A, b), the summary of no step at all, shaped after the level's states s
    compose: Callable[..., Any]  # (earlier, A, b, p_t, c) -> (earlier, A, b) with one more step
    advance: Callable[..., Any]  # (A, b, s) -> the level's states after the stretch, from those before it


class Channel(NamedTuple):
    """A variable of a system: its place in its tuple, its feature axes, and which of them all its systems share."""

    place: int
    axes: tuple[str | int, ...]
    shared: tuple[int, ...] = ()
    complex: bool = False


class System(NamedTuple):
    """States that are solved together; every position of the shared axes is a system of its own."""

    inputs: tuple[Channel, ...]  # what drives the states, of what is prepared
    states: tuple[Channel, ...]
    kept: tuple[Channel, ...]  # what is kept of a step
    same: tuple[bool, ...]  # whether all systems along a shared axis are the same one
    kind: str  # what the transition is: "zero", "identity", "diagonal" or "dense"


class Convolution(NamedTuple):
    """How a step, a fixed linear function of state and prepared values, is taken by convolutions over time."""

    response: Callable[..., Any]  # (s, p_t, c) -> (s, y_t), the linear part of the step
    systems: tuple[System, ...]
    offset: bool  # whether a step adds a constant to that


class Program(NamedTuple):
    """One recurrence (a primal, its adjoint or its tangent), as functions on flat tuples of tensors."""

    constants: Callable[..., Any]  # (w) -> c, what depends on the params alone
    prepare: Callable[..., Any]  # (x, c) -> p, what depends on inputs and params alone, for many steps at once
    step: Callable[..., Any]  # (s, p_t, c) -> (s, y_t), one step; y_t is what finish needs of it
    finish: Callable[..., Any]  # (y, p, c) -> (outputs, totals), for many steps at once
    levels: tuple[Level, ...] = ()  # empty when the recurrence has no scan
    read: int | None = None  # how many of p, from the first, `step` and `compose` are given; all of them if None
    convolution: Convolution | None = None  # where the step is linear and the same at every step


class Port(NamedTuple):
    """An input, param, state or output: its name and its feature axes, by name or by size."""

    name: str
    axes: tuple[str | int, ...] = ()
    complex: bool = False


class Signature(NamedTuple):
    """What a recurrence takes and returns; `sizes` are the axes whose size was fixed when compiling."""

    name: str
    inputs: tuple[Port, ...]
    params: tuple[Port, ...]
    states: tuple[Port, ...]
    outputs: tuple[Port, ...]
    sizes: dict[str, int]


class Convolver(NamedTuple):
    """How a recurrence is run by convolutions; only modules that have a convolution carry the functions along."""

    node: Any  # the autograd function: (plan, *inputs, *params, *initial states) -> (*outputs, *final states)
    solve: Callable[..., Any]  # the same inside of an operator
    differentiate: Callable[..., Any]  # the cotangents inside of an operator


class Sharing(NamedTuple):
    """How the time of few rows is shared out: functions that only modules whose scans are in C as well carry along."""

    split: Callable[..., Any]  # (call) -> its chunks of time forwards and back, None where they would not pay
    forward: Callable[..., Any]  # what `Native.forward` is for a call with chunks
    backward: Callable[..., Any]  # what `Native.backward` is for one


class Native(NamedTuple):
    """A recurrence and its adjoint in C, and how they are run: functions that only modules with C text carry along."""

    text: str
    sizes: tuple[tuple[str, str], ...]  # the macro that gives the C text each size
    choose: Callable[..., Any]  # (spec, bound, choice) -> the call in native code, or None
    solve: Callable[..., Any]  # (call, x, w, s) -> (outputs, final states)
    forward: Callable[..., Any]  # (call, x, w, s, keep) -> (outputs, final states, entry states)
    backward: Callable[..., Any]  # (call, x, w, entry states, cotangents) -> cotangents of x, w, s
    step: Callable[..., Any]  # (spec, state, x, w) -> (outputs, states) of one step, or None
    divisible: str | None = None  # the size of an axis that nothing crosses, so that sequences can be cut along it
    blocks: bool = False  # whether rows are walked side by side
    group: Callable[..., Any] | None = None  # (rows, lanes, packed) -> how many rows are, one in each lane of a vector
    outer: tuple[int, ...] = ()  # the params whose gradients are summed over the rows of a block
    kept: tuple[tuple[str | int, ...], ...] = ()  # the axes of what is computed once for both parts of a backward pass
    missed: tuple[tuple[tuple[str, int], ...], ...] = ((), ())  # the fixed points of both passes, and their rounds
    report: Callable[..., Any] | None = None  # (what, rounds, change) tells that a fixed point was not reached
    sharing: Sharing | None = None  # how the time of few rows is shared out


class Choice(NamedTuple):
    """What a user chose, how a call goes, and the same call without native code."""

    method: str
    backend: str
    bounds: Any = None
    reverse: bool = False
    by_torch: Callable[..., Any] | None = None
    tile: int | None = None
    decoding: bool = False  # whether it is one step of many: native code pays at once
    training: bool = False  # whether a backward pass may follow


@dataclass(frozen=True, eq=False)
class Spec:
    """A compiled recurrence, as the generated part of a module describes it to the runtime.

    `adjoint` runs backwards in time on inputs, states before each step and output cotangents; its states are the
    cotangents of the states, its outputs those of the inputs, its totals those of the params. `tangent` runs on
    inputs and their tangents, params and their tangents, states and their tangents; its outputs are output tangents.
    """

    signature: Signature
    primal: Program
    adjoint: Program
    tangent: Program
    start: Callable[..., Any]  # (w, sizes, (B, 1, *lanes), dtype, device) -> states, broadcastable to the full shape
    key: str  # hash of the module's content; names its operators under torch.compile
    outputs_type: Callable[..., Any] | None = None  # packs several outputs; None for one
    states_type: Callable[..., Any] | None = None  # packs several states; None for one
    refusal: str = ""  # why there is no scan, where there is none
    no_convolution: str = ""  # why there is no convolution, where there is none
    cost: Callable[..., Any] | None = None  # (sizes, T, rows, threads, training) -> seconds expected
    promises: tuple[tuple[str, ...], Callable[..., Any]] | None = None  # texts, and (x, w) -> their conditions
    tile: int | None = None  # steps in a tile; chosen by the number of steps when None
    convolver: Convolver | None = None
    native: Native | None = None
    no_native: str = ""  # why there is no C text, where there is none
