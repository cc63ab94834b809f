"""The recurrence IR: index notation over named axes.

An expression is a term in index notation: a `Ref` names a variable and says which axis stands at each of its
positions, so that outer products, transposes, contractions and broadcasts need no nodes of their own:
``k @ S`` is ``Reduce("sum", Binary("mul", k[K], S[K, V]), (K,))``. A recurrence is a list of named definitions
(`Let`, single assignment), evaluated once a step, with the value of every state on entry under the state's name.

All nodes are frozen; `span` points at the user's text and never takes part in equality.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from recc.diagnostics import NOWHERE, Span

Kind = Literal["real", "complex", "bool"]
Size: TypeAlias = str | int

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne"})
LOGICAL = frozenset({"and", "or"})
REAL_VALUED = frozenset({"real", "imag", "abs", "ctz"})


@dataclass(frozen=True)
class Axis:
    """One axis of a value: the name (or the number) of its size, and a tag that tells equal sizes apart.

    Variables have the tags 0, 1, ... by occurrence of the size; index names and bound axes have strings."""

    size: Size
    tag: int | str = 0


def formal(sizes: tuple[Size, ...]) -> tuple[Axis, ...]:
    """The axes of a variable declared with these sizes: `("D", "D")` has the axes D and D'."""
    return tuple(Axis(size, sizes[:position].count(size)) for position, size in enumerate(sizes))


def union(first: tuple[Axis, ...], second: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """All axes of both, in the order of the operand that has them all, else the first's and then the rest."""
    if set(first) <= set(second):
        return second
    return first + tuple(axis for axis in second if axis not in first)


@dataclass(frozen=True)
class Node:
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Const(Node):
    value: int | float | complex | bool

    @property
    def axes(self) -> tuple[Axis, ...]:
        return ()

    @property
    def kind(self) -> Kind:
        if isinstance(self.value, bool):
            return "bool"
        return "complex" if isinstance(self.value, complex) else "real"


@dataclass(frozen=True)
class SizeOf(Node):
    """A symbolic size as a number."""

    size: str
    kind: Kind = "real"

    @property
    def axes(self) -> tuple[Axis, ...]:
        return ()


@dataclass(frozen=True)
class Ref(Node):
    """A variable with an axis, or a fixed position, at each of its places. The same axis twice is the diagonal."""

    name: str
    index: tuple[Axis | int, ...] = ()
    kind: Kind = "real"

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(dict.fromkeys(item for item in self.index if isinstance(item, Axis)))


@dataclass(frozen=True)
class Arange(Node):
    """The position along an axis, as a number from 0."""

    axis: Axis
    kind: Kind = "real"

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (self.axis,)


@dataclass(frozen=True)
class Unary(Node):
    op: str
    x: Expr

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.x.axes

    @cached_property
    def kind(self) -> Kind:
        if self.op in REAL_VALUED:
            return "real"
        return "bool" if self.op == "not" else ("complex" if self.x.kind == "complex" else "real")


@dataclass(frozen=True)
class Binary(Node):
    op: str
    x: Expr
    y: Expr

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        return union(self.x.axes, self.y.axes)

    @cached_property
    def kind(self) -> Kind:
        if self.op in COMPARISONS or self.op in LOGICAL:
            return "bool"
        return "complex" if "complex" in (self.x.kind, self.y.kind) else "real"


@dataclass(frozen=True)
class Where(Node):
    """`x` where the condition holds, else `y`; the side not taken contributes nothing, to value or gradient."""

    test: Expr
    x: Expr
    y: Expr

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        return union(union(self.x.axes, self.y.axes), self.test.axes)

    @cached_property
    def kind(self) -> Kind:
        kinds = {self.x.kind, self.y.kind}
        return "complex" if "complex" in kinds else ("bool" if kinds == {"bool"} else "real")


@dataclass(frozen=True)
class Reduce(Node):
    """`sum`, `max`, `min`, `logsumexp`, or `any` over bound axes."""

    op: str
    x: Expr
    over: tuple[Axis, ...]

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(axis for axis in self.x.axes if axis not in self.over)

    @property
    def kind(self) -> Kind:
        return self.x.kind


@dataclass(frozen=True)
class Roll(Node):
    """`out[i] = x[(i - shift) mod size]` along an axis of `x`."""

    x: Expr
    axis: Axis
    shift: int

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.x.axes

    @property
    def kind(self) -> Kind:
        return self.x.kind


@dataclass(frozen=True)
class Window(Node):
    """Neighbourhoods: `out[i, r] = x[i + r - size(r) // 2]`, zero (or wrapped) outside; adds the axis `tap`."""

    x: Expr
    axis: Axis
    tap: Axis
    wrap: bool = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.x.axes + (self.tap,)

    @property
    def kind(self) -> Kind:
        return self.x.kind


@dataclass(frozen=True)
class Fold(Node):
    """The transpose of `Window`: `out[i] = sum over r of x[i - r + size(r) // 2, r]`; takes the axis `tap` away."""

    x: Expr
    axis: Axis
    tap: Axis
    wrap: bool = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return tuple(axis for axis in self.x.axes if axis != self.tap)

    @property
    def kind(self) -> Kind:
        return self.x.kind


@dataclass(frozen=True)
class Solve(Node):
    """The `y` with `sum over col of matrix[row, col] * y[col] = rhs[row]`: `row` in, `col` out."""

    matrix: Expr
    rhs: Expr
    row: Axis
    col: Axis

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        rest = tuple(axis for axis in self.matrix.axes if axis not in (self.row, self.col))
        batch = union(tuple(axis for axis in self.rhs.axes if axis != self.row), rest)
        place = self.rhs.axes.index(self.row) if self.row in self.rhs.axes else len(batch)
        return batch[:place] + (self.col,) + batch[place:]

    @cached_property
    def kind(self) -> Kind:
        return "complex" if "complex" in (self.matrix.kind, self.rhs.kind) else "real"


@dataclass(frozen=True)
class Fixpoint(Node):
    """The value of `unknown` that a step gives back: `unknown = result`, repeated from `start`.

    It ends where no place changes by more than `tolerance * (1 + abs(unknown))`, or by more than `tolerance` times the
    largest place if `relative`, and after `rounds` steps at the latest. The step is closed: `lets` and `result` read
    `unknown` and the names of `given` alone. `start`, over the unknown's axes, and what is `given` are all that the
    node reads of its surroundings, and share no axes with them; `index` holds the axis at each place of the result."""

    unknown: Var
    start: Expr
    given: tuple[Let, ...]
    lets: tuple[Let, ...]
    result: Expr
    index: tuple[Axis, ...]
    tolerance: float
    rounds: int
    relative: bool = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.index

    @property
    def kind(self) -> Kind:
        return self.unknown.kind


Expr: TypeAlias = (
    Const | SizeOf | Ref | Arange | Unary | Binary | Where | Reduce | Roll | Window | Fold | Solve | Fixpoint
)


@dataclass(frozen=True)
class Interval:
    """What is promised of a variable's values; `math.inf` where there is no bound."""

    low: Expr | None = None
    high: Expr | None = None
    low_open: bool = False
    high_open: bool = False


@dataclass(frozen=True)
class Var:
    """A declared name: its sizes in order, whether it is complex, what is promised of it."""

    name: str
    sizes: tuple[Size, ...] = ()
    complex: bool = False
    interval: Interval | None = None
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return formal(self.sizes)

    @property
    def kind(self) -> Kind:
        return "complex" if self.complex else "real"

    def ref(self) -> Ref:
        return Ref(self.name, self.axes, self.kind, span=self.span)


@dataclass(frozen=True)
class State:
    """A carried variable and where it starts: an expression of params and sizes, over the variable's axes."""

    var: Var
    start: Expr

    @property
    def name(self) -> str:
        return self.var.name


@dataclass(frozen=True)
class Let:
    """`name[axes] = expr`, once a step. The expression may lack axes of the name: it is constant along them.

    `temporary` marks names that no user wrote; they may be merged into their use."""

    name: str
    axes: tuple[Axis, ...]
    expr: Expr
    temporary: bool = False
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)

    @property
    def kind(self) -> Kind:
        return self.expr.kind

    def ref(self) -> Ref:
        return Ref(self.name, self.axes, self.kind, span=self.span)


@dataclass(frozen=True)
class Output:
    """What a step gives out: a declared name and its value at the end of the step, over the name's axes."""

    var: Var
    expr: Expr

    @property
    def name(self) -> str:
        return self.var.name


@dataclass(frozen=True)
class Promise:
    """`assert test`: checked at run time in debug mode, assumed by the analysis."""

    test: Expr
    text: str
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Recurrence:
    """A recurrence over one time axis: from the states on entry and a step's inputs to new states and outputs.

    `updates` has one expression for each state, in the order of `states`, over the state's axes. `totals` are
    expressions that are summed over all steps (gradients of params); a user's recurrence has none. `sizes` are
    the axes whose size is known when compiling."""

    name: str
    inputs: tuple[Var, ...] = ()
    params: tuple[Var, ...] = ()
    states: tuple[State, ...] = ()
    lets: tuple[Let, ...] = ()
    updates: tuple[Expr, ...] = ()
    outputs: tuple[Output, ...] = ()
    totals: tuple[Output, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    constants: tuple[tuple[str, int | float], ...] = ()
    promises: tuple[Promise, ...] = ()
    doc: str = field(default="", compare=False)
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sizes of variables and outputs that have a name, in order of appearance."""
        variables = [*self.variables, *(item.var for item in self.outputs)]
        return tuple(dict.fromkeys(size for var in variables for size in var.sizes if isinstance(size, str)))

    def update_of(self, state: str) -> Expr:
        return self.updates[self.state_names.index(state)]

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(state.name for state in self.states)

    @property
    def variables(self) -> tuple[Var, ...]:
        """Inputs, params and states: what a step may read without computing it."""
        return self.inputs + self.params + tuple(state.var for state in self.states)
