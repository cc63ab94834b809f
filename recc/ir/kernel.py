"""The kernel IR: loop nests over arrays, independent of a target language.

A `Kernel` is the step of a recurrence as a `Block` of sections, each a nest of loops over scalar assignments, together
with the arrays that it works on. It says what is stored where, which loops are parallel lanes and what is accumulated
over which loops, so that a backend only has to spell it. Expressions are scalar: axes have become loops.

All nodes are frozen. Loop variables are names; a `Tile` cuts a loop into stretches whose lanes a `Loop` of kind "lanes"
runs over, so that what is accumulated over outer loops stays in registers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from recc.ir.nodes import Size

LoopKind = Literal["plain", "vector", "lanes"]
Combine = Literal["set", "sum", "max", "min", "any"]
Storage = Literal[
    "input", "param", "state", "next", "kept", "given", "ahead", "local", "missed", "output", "total", "lanes", "scalar"
]
ScalarKind = Literal["real", "bool"]

ROW, COLUMN = "system_row", "system_column"  # what runs over a system of equations
ROWS = "rows of a block"  # the size of the axis that sequences which are walked side by side have
LANES = "lanes of a group"  # and that of the innermost axis, where rows without any of their own are


@dataclass(frozen=True)
class Shift:
    """The position `plus - minus + offset`; `wrap` takes it around the ends of an axis of size `size`."""

    plus: tuple[str | int, ...]
    minus: tuple[str | int, ...]
    half: Size | None  # half of this size, rounded down, is taken off (or added, if `negative`)
    negative: bool
    size: Size


Place: TypeAlias = "str | int | Shift"


@dataclass(frozen=True)
class Number:
    value: float | int | bool


@dataclass(frozen=True)
class Extent:
    """A size as a number."""

    size: Size


@dataclass(frozen=True)
class Position:
    """Where a loop stands, as a number."""

    place: Place


@dataclass(frozen=True)
class Inside:
    """Whether a shifted position is one of its axis."""

    place: Shift


@dataclass(frozen=True)
class Local:
    """A scalar that was defined before."""

    name: str


@dataclass(frozen=True)
class Element:
    """One element of an array. A "lanes" array is indexed by the lane of its tile."""

    array: str
    at: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Operation:
    """A unary or binary operation of the IR, on real numbers."""

    op: str
    args: tuple[Scalar, ...]


@dataclass(frozen=True)
class Choice:
    test: Scalar
    x: Scalar
    y: Scalar


@dataclass(frozen=True)
class Folded:
    """The lanes of an accumulator combined into one value, in halves: those of the open tile of the loop `var`, or
    without one all that an axis' largest tile has."""

    array: str
    combine: Combine
    size: Size
    var: str | None = None


@dataclass(frozen=True)
class Epsilon:
    """The distance from one to the next number, of the type that is computed with."""


Scalar: TypeAlias = Number | Extent | Position | Inside | Local | Element | Operation | Choice | Folded | Epsilon


@dataclass(frozen=True)
class Define:
    """A scalar that keeps its value."""

    name: str
    value: Scalar
    kind: ScalarKind = "real"


@dataclass(frozen=True)
class Accumulators:
    """One accumulator for each lane of a tile, all with the neutral element of `combine`; of "set" without a value."""

    name: str
    combine: Combine
    size: Size
    kind: ScalarKind = "real"


@dataclass(frozen=True)
class Assign:
    """`target = value`, or `target` combined with the value."""

    target: Local | Element
    value: Scalar
    combine: Combine = "set"


@dataclass(frozen=True)
class Loop:
    """All positions of an axis, or "lanes" of its open tile; unless it is "plain" its iterations are independent."""

    var: str
    size: Size
    body: tuple[Statement, ...]
    kind: LoopKind = "plain"


@dataclass(frozen=True)
class Tile:
    """Stretches of an axis, of at most as many positions as `weight` accumulators leave registers for."""

    var: str
    size: Size
    body: tuple[Statement, ...]
    weight: int = 1


@dataclass(frozen=True)
class SolveSystem:
    """`out` with `sum over col of matrix[row, col] * out[col] = rhs[row]`, by elimination with pivoting.

    `matrix` is a value at `ROW` and `COLUMN`, `rhs` one at `ROW`, and `out` is stored at `COLUMN`. Of a complex system
    there are two of each: the real and the imaginary parts. One of no imaginary part may lack it."""

    out: tuple[Element, ...]
    matrix: tuple[Scalar, ...]
    rhs: tuple[Scalar, ...]
    size: Size


@dataclass(frozen=True)
class Repeat:
    """Statements done again for as long as the scalar `moving`, which they define, is true; `rounds` times at most.

    If it is true to the last, what was `missed` is noted, if that is asked for."""

    rounds: int
    body: tuple[Statement, ...]
    moving: Scalar
    missed: Assign | None


@dataclass(frozen=True)
class Product:
    """`out[row, *at, j] = sum over k of vector[row, *vector_at, k] * matrix[*at, k, j]` for all rows of a block.

    `matrix` is stored that way, or `turned`: `[*at, j, k]`."""

    out: str
    vector: str
    matrix: str
    at: tuple[Place, ...]
    vector_at: tuple[Place, ...]
    inner: Size
    columns: Size
    turned: bool


@dataclass(frozen=True)
class Meeting:
    """Threads that share a block wait for each other: each has rows of its own, but a part of every `Product`."""


@dataclass(frozen=True)
class Outer:
    """`total[a, k, j] += sum over rows and steps of x[row, a, k] * y[row, a, j]`; a factor may lack the axes `a`."""

    total: str
    x: str
    y: str


@dataclass(frozen=True)
class Section:
    """Statements that belong together, and the lines of the spec that they come from."""

    body: tuple[Statement, ...]
    lines: tuple[str, ...] = ()


Statement: TypeAlias = Define | Accumulators | Assign | Loop | Tile | SolveSystem | Repeat | Product | Meeting | Section


@dataclass(frozen=True)
class Array:
    """An array of a kernel: where it lives, its sizes in order of storage, and whether its rows lie apart."""

    name: str
    storage: Storage
    sizes: tuple[Size, ...] = ()
    kind: ScalarKind = "real"
    scattered: bool = False


@dataclass(frozen=True)
class Port:
    """An input, param, state, output or total as a caller sees it.

    `parts` names its array, or the arrays of its real and imaginary parts; `order` says which of its axes stands at
    each place of these arrays."""

    name: str
    sizes: tuple[Size, ...]
    parts: tuple[str, ...]
    order: tuple[int, ...]

    @property
    def complex(self) -> bool:
        return len(self.parts) == 2


@dataclass(frozen=True)
class Missed:
    """Where a kernel notes that a fixed point was not reached: an array of one element, zero if it always was; the name
    of the unknown, and after how many rounds."""

    array: str
    unknown: str
    rounds: int


@dataclass(frozen=True)
class Kernel:
    """One step of a recurrence, or of a `block` of its rows, and what is computed once before all steps.

    `step` reads inputs, params and states, and writes outputs, the states (in place, unless `separate`: then to
    arrays of storage "next") and adds to totals. What `outers` say is added to totals after the steps of a tile.
    What one kernel has `kept`, arrays of that storage, another one is "given".

    Of a block, `ahead` computes what needs not wait for the states, for all rows and steps of a stretch: arrays of its
    own that the step is given under their names, as arrays of storage "ahead". `behind` computes outputs that the step
    does not write, after a stretch; its arrays of storage "input" are values of the steps, under their names there."""

    name: str
    inputs: tuple[Port, ...]
    params: tuple[Port, ...]
    states: tuple[Port, ...]
    outputs: tuple[Port, ...]
    totals: tuple[Port, ...]
    arrays: tuple[Array, ...]
    before: tuple[Statement, ...]
    step: tuple[Statement, ...]
    separate: bool = False
    block: bool = False
    outers: tuple[Outer, ...] = ()
    kept: tuple[str, ...] = ()
    missed: tuple[Missed, ...] = ()
    ahead: Kernel | None = None
    behind: Kernel | None = None

    def array(self, name: str) -> Array:
        return next(array for array in self.arrays if array.name == name)
