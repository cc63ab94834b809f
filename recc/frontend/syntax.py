"""The syntax tree of a spec: what was written, before any name means anything.

Every node carries a `span`, which equality ignores: the same recurrence written in a `.rec` file and as a decorated
Python function gives equal trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from recc.diagnostics import NOWHERE, Source, Span


@dataclass(frozen=True, kw_only=True)
class Node:
    """What all nodes have: the place they were read from."""

    span: Span = field(default=NOWHERE, compare=False, repr=False)


# --- expressions ---


@dataclass(frozen=True)
class Name(Node):
    id: str


@dataclass(frozen=True)
class Number(Node):
    """A literal; `text` is how it was spelled and takes no part in equality."""

    value: int | float | complex
    text: str = field(default="", compare=False)


@dataclass(frozen=True)
class Call(Node):
    func: Name
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[Name, Expr], ...] = ()


@dataclass(frozen=True)
class Unary(Node):
    """`op` is one of `-`, `+`, `not`."""

    op: str
    operand: Expr


@dataclass(frozen=True)
class Binary(Node):
    """`op` is one of `+ - * / // % @ ** and or`; `bracketed` says whether it stood in brackets of its own."""

    op: str
    left: Expr
    right: Expr
    bracketed: bool = field(default=False, compare=False, repr=False, kw_only=True)
    op_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Compare(Node):
    """`op` is one of `< <= > >= == !=`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Index(Node):
    base: Expr
    items: tuple[Expr, ...]


@dataclass(frozen=True)
class Transpose(Node):
    base: Expr


@dataclass(frozen=True)
class Group(Node):
    """A tuple in brackets, as in `axis=(j, d)`."""

    items: tuple[Expr, ...]


Expr = Name | Number | Call | Unary | Binary | Compare | Index | Transpose | Group


# --- declarations ---


@dataclass(frozen=True)
class Bound(Node):
    """A promise such as `<= 0`; `op` is one of `< <= > >=`."""

    op: str
    expr: Expr


@dataclass(frozen=True)
class Interval(Node):
    """A promise such as `in (0, 1]`: round brackets leave the end out."""

    lo: Expr
    hi: Expr
    lo_open: bool
    hi_open: bool


@dataclass(frozen=True)
class Place(Node):
    """`along j`, `on edge` or `on edge -> edge` (then `to` is the second name)."""

    kind: Literal["on", "along"]
    name: str
    to: str | None = None


Kind = Literal["input", "param", "state", "output"]


@dataclass(frozen=True)
class Declare(Node):
    """`kind name[dims]: type_name bounds place = value`; every part after the name may be absent."""

    kind: Kind
    name: str
    dims: tuple[str | int, ...] | None = None
    type_name: str | None = None
    bounds: Bound | Interval | None = None
    place: Place | None = None
    value: Expr | None = None
    name_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)
    dim_spans: tuple[Span, ...] = field(default=(), compare=False, repr=False, kw_only=True)
    type_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)

    @property
    def complex(self) -> bool:
        return self.type_name == "complex"


# --- statements ---


@dataclass(frozen=True)
class Target(Node):
    """What is assigned to: `name`, or `name[items]`."""

    name: str
    items: tuple[Expr, ...] | None = None
    name_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Assign(Node):
    targets: tuple[Target, ...]
    values: tuple[Expr, ...]


@dataclass(frozen=True)
class Augment(Node):
    """`target op= value`; `op` is one of `+ - * /`."""

    target: Target
    op: str
    value: Expr


@dataclass(frozen=True)
class Return(Node):
    values: tuple[Expr, ...]


@dataclass(frozen=True)
class Assert(Node):
    test: Expr


@dataclass(frozen=True)
class If(Node):
    """`branches` are the tests (`if`, then each `elif`) with what they guard; `orelse` is empty without an `else`."""

    branches: tuple[tuple[Expr, tuple[Stmt, ...]], ...]
    orelse: tuple[Stmt, ...] = ()


@dataclass(frozen=True)
class For(Node):
    names: tuple[Name, ...]
    iter: Expr
    body: tuple[Stmt, ...]


@dataclass(frozen=True)
class Arg(Node):
    """An argument of a `def`, with the axes that it is given names for, if any."""

    name: str
    dims: tuple[str | int, ...] | None = None
    name_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)
    dim_spans: tuple[Span, ...] = field(default=(), compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Def(Node):
    name: str
    args: tuple[Arg, ...]
    body: tuple[Stmt, ...]
    name_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


Stmt = Assign | Augment | Return | Assert | If | For | Def


# --- files ---


@dataclass(frozen=True)
class Recurrence(Node):
    """A recurrence: `constants` with their defaults, the names after `over`, its docstring and its body in order."""

    name: str
    constants: tuple[tuple[Name, Expr], ...]
    over: tuple[str, ...]
    doc: str
    body: tuple[Stmt | Declare, ...]
    name_span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)
    over_spans: tuple[Span, ...] = field(default=(), compare=False, repr=False, kw_only=True)


@dataclass(frozen=True)
class Import(Node):
    """`from module import names`; a dotted module is one `Name`."""

    module: Name
    names: tuple[Name, ...]


@dataclass(frozen=True)
class File:
    imports: tuple[Import, ...]
    defs: tuple[Def, ...]
    recurrences: tuple[Recurrence, ...]
    source: Source = field(compare=False, repr=False)
