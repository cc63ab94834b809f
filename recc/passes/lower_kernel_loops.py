"""A nest of statements as loops: the innermost one over lanes, sums over outer loops in one accumulator a lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from recc.ir.kernel import (
    COLUMN,
    ROW,
    Accumulators,
    Assign,
    Choice,
    Define,
    Element,
    Extent,
    Folded,
    Inside,
    Local,
    Loop,
    Number,
    Operation,
    Place,
    Position,
    Product,
    Scalar,
    ScalarKind,
    Section,
    Shift,
    SolveSystem,
    Tile,
)
from recc.ir.kernel import Statement as Line
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fold,
    Ref,
    Roll,
    Size,
    SizeOf,
    Solve,
    Unary,
    Where,
    Window,
)
from recc.ir.traverse import nodes
from recc.passes.lower_kernel_merge import arrays_of, merge_defines
from recc.passes.lower_kernel_nests import Nest
from recc.passes.lower_kernel_statements import Program, Statement
from recc.passes.tidy import Namer

Env = dict[Axis, Place]


@dataclass(frozen=True)
class Layout:
    """Where names live: the order of the axes of permuted arrays, the names of scalars, and how axes rank from outer
    to inner loops."""

    orders: dict[str, tuple[int, ...]]
    scalars: frozenset[str]
    ranks: dict[Size, int]
    targets: dict[tuple[str, str], str]  # (role, name) of what is not stored under its own name
    apart: frozenset[str] = frozenset()  # arrays of one element a row, whose rows lie apart

    def element(self, name: str, at: tuple[Place, ...]) -> Scalar:
        if name in self.scalars:
            return Local(name)
        if name in self.apart:
            at = (*at, 0)
        order = None if name in self.apart else self.orders.get(name)
        return Element(name, at if order is None else tuple(at[place] for place in order))


@dataclass
class _Parts:
    """The lines of a nest by their place: before all loops, in a tile before the outer loops, around and in the
    innermost loop, in a tile after the outer loops, after all loops."""

    first: list[Line] = field(default_factory=list)
    opening: list[Line] = field(default_factory=list)
    around: list[Line] = field(default_factory=list)
    body: list[Line] = field(default_factory=list)
    after: list[Line] = field(default_factory=list)
    closing: list[Line] = field(default_factory=list)
    last: list[Line] = field(default_factory=list)


class NestBuilder:
    """Builds the loops of one nest."""

    def __init__(self, program: Program, nest: Nest, layout: Layout, namer: Namer):
        self._program, self._nest, self._layout, self._namer = program, nest, layout, namer
        self._axes = self._ordered(nest)
        self._env: Env = {axis: loop_name(axis) for axis in self._axes}
        self._defined: set[str] = set()
        own = [item for item in (*nest.kept, *nest.statements) if item.role == "let" and not item.over]
        self._own = program.inline | {item.target: item for item in own if not item.whole}
        self._states = {item.target for item in program.statements if item.role == "update"}

    def build(self) -> list[Line]:
        if self._nest.statements and self._nest.statements[0].solves:
            return [line for item in self._nest.statements for line in self._solve(item)]
        if self._nest.statements and self._nest.statements[0].multiplies:
            return [line for item in self._nest.statements for line in self._multiply(item)]
        if not self._axes:
            return self._straight()
        return self._loops()

    def _ordered(self, nest: Nest) -> tuple[Axis, ...]:
        """Axes from the outermost loop to the innermost: by rank, and of one size as arrays are stored."""
        last: Counter[Axis] = Counter()
        for item in _items(self._program, nest):
            for node in nodes(item.expr):
                if isinstance(node, Ref) and len(node.index) > 1 and isinstance(node.index[-1], Axis):
                    last[node.index[-1]] += 1
        ranks = self._layout.ranks
        return tuple(sorted(nest.space, key=lambda a: (ranks.get(a.size, len(ranks)), last[a], -_tag(a))))

    # --- nests without loops, and systems ---

    def _straight(self) -> list[Line]:
        lines: list[Line] = []
        late: list[Line] = []
        for item in self._nest.statements:
            if item.role == "let" and item.target in self._layout.scalars:
                kind: ScalarKind = "bool" if item.expr.kind == "bool" else "real"
                lines.append(Define(item.target, self.scalar(item.expr, self._env), kind))
            else:
                line = Assign(self._target(item), self.scalar(item.expr, self._env), _how(item))
                (lines if item.role == "let" else late).append(line)
        late.sort(key=lambda line: isinstance(line, Assign) and self._is_state(line))
        return [*lines, *self._stable(late)]

    def _solve(self, item: Statement) -> list[Line]:
        solve = item.expr
        assert isinstance(solve, Solve)
        env: dict[Axis, Place] = {**self._env, solve.row: ROW, solve.col: COLUMN}
        operands = item.operands or ((solve.matrix,), (solve.rhs,))
        matrix, rhs = (tuple(self.scalar(part, env) for part in operand) for operand in operands)
        out = tuple(Element(name, tuple(env[axis] for axis in item.axes)) for name in item.targets)
        lines: list[Line] = [SolveSystem(out, matrix, rhs, solve.col.size)]
        for axis in reversed([axis for axis in self._axes if axis != solve.col]):
            lines = [Loop(loop_name(axis), axis.size, tuple(lines))]
        return lines

    def _multiply(self, item: Statement) -> list[Line]:
        product = item.expr
        assert isinstance(product, Binary) and isinstance(product.x, Ref) and isinstance(product.y, Ref)
        (inner,), (_, *shared, column) = item.over, item.axes
        at = tuple(loop_name(axis) for axis in shared)
        turned = product.y.index[-1] == inner
        lines: list[Line] = [
            Product(item.target, product.x.name, product.y.name, at, at if len(product.x.index) > 2 else (),
                    inner.size, column.size, turned)
        ]  # fmt: skip
        for axis in reversed(shared):
            lines = [Loop(loop_name(axis), axis.size, tuple(lines))]
        return lines

    # --- loops ---

    def _loops(self) -> list[Line]:
        inner, outers = self._axes[-1], self._axes[:-1]
        parts = _Parts()
        for item in (*self._nest.kept, *self._nest.statements):
            value = self._value(item, parts.body)
            if item.over:
                self._sum(item, value, inner, parts)
            else:
                parts.body.append(Assign(self._target(item), value, _how(item)))
        tiled = any(item.over for item in self._nest.statements)
        body = tuple(self._merged(parts.body))
        innermost = Loop(loop_name(inner), inner.size, body, "lanes" if tiled else "vector")
        lines: list[Line] = [*parts.around, innermost, *parts.after]
        for axis in reversed(outers):
            lines = [Loop(loop_name(axis), axis.size, tuple(lines))]
        if tiled:
            lines = [Tile(loop_name(inner), inner.size, (*parts.opening, *lines, *parts.closing))]
        return [*parts.first, *lines, *parts.last]

    def _sum(self, item: Statement, value: Scalar, inner: Axis, parts: _Parts) -> None:
        """A sum: in one accumulator a lane where its target has at most the innermost axis, else in memory."""
        target, combine = self._target(item), item.combine
        kind: ScalarKind = "bool" if combine == "any" else "real"
        at = (loop_name(inner),)
        if not set(item.axes) <= {inner}:
            assert isinstance(target, Element)
            parts.first += self._neutralised(item, target)
            if inner in item.axes:
                parts.body.append(Assign(target, value, combine))
                return
            name = self._namer(f"{item.target}_lanes")
            parts.around.append(Accumulators(name, "set", inner.size, kind))
            parts.body.append(Assign(Element(name, at), value))
            parts.after.append(Assign(target, Folded(name, combine, inner.size, at[0]), combine))
            return
        name = self._namer(f"{item.target}_lanes")
        parts.body.append(Assign(Element(name, at), value, combine))
        made = Accumulators(name, combine, inner.size, kind)
        if item.axes:
            parts.opening.append(made)
            parts.closing.append(Loop(at[0], inner.size, (Assign(target, Element(name, at)),), "lanes"))
            return
        parts.first.append(made)
        folded = Folded(name, combine, inner.size)
        parts.last.append(
            Define(target.name, folded, kind) if isinstance(target, Local) else Assign(target, folded)
        )  # fmt: skip

    def _value(self, item: Statement, body: list[Line]) -> Scalar:
        """A statement's value, after the definitions that it needs."""
        if item.target in self._own and item.role == "let":
            self._define(item.target, body)
            return Local(item.target)
        return self._with_definitions(item.expr, body)

    def _with_definitions(self, expr: Expr, body: list[Line]) -> Scalar:
        for node in nodes(expr):
            if isinstance(node, Ref) and node.name in self._own:
                self._define(node.name, body)
        return self.scalar(expr, self._env)

    def _define(self, name: str, body: list[Line]) -> None:
        if name not in self._defined:
            expr = self._own[name].expr
            value = self._with_definitions(expr, body)
            self._defined.add(name)
            body.append(Define(name, value, "bool" if expr.kind == "bool" else "real"))

    def _merged(self, body: list[Line]) -> list[Line]:
        """Values that are used once stand where they are used; all stores come last, those to states at the end."""
        stores = [line for line in body if not isinstance(line, Define)]
        stores.sort(key=lambda line: isinstance(line, Assign) and self._is_state(line))
        lines = merge_defines([*(line for line in body if isinstance(line, Define)), *stores])
        return self._stable(lines)

    def _is_state(self, line: Assign) -> bool:
        return isinstance(line.target, Element) and line.target.array in self._states

    def _stable(self, lines: list[Line]) -> list[Line]:
        """A value that is stored after something that it reads was overwritten gets a name before."""
        written: set[str] = set()
        early: list[Line] = []
        late: list[Line] = []
        for line in lines:
            if not isinstance(line, Assign):
                early.append(line)
                continue
            if arrays_of(line.value) & written:
                name = self._namer("new")
                early.append(Define(name, line.value))
                line = Assign(line.target, Local(name), line.combine)
            if isinstance(line.target, Element):
                written.add(line.target.array)
            late.append(line)
        return [*early, *late]

    def _neutralised(self, item: Statement, target: Element) -> list[Line]:
        """All elements of a sum set to the neutral element."""
        lines: list[Line] = [Assign(target, NEUTRAL[item.combine])]
        for axis in reversed(item.axes):
            lines = [Loop(loop_name(axis), axis.size, tuple(lines))]
        return lines

    def _target(self, item: Statement) -> Element | Local:
        name = self._layout.targets.get((item.role, item.target), item.target)
        found = self._layout.element(name, tuple(self._env[axis] for axis in item.axes))
        assert isinstance(found, (Element, Local))
        return found

    # --- expressions ---

    def scalar(self, expr: Expr, env: Env) -> Scalar:
        match expr:
            case Const(value):
                assert not isinstance(value, complex)
                return Number(value)
            case SizeOf(size):
                return Extent(size)
            case Ref(name, index):
                if name in self._defined:
                    return Local(name)
                return self._layout.element(name, tuple(self._place(item, env) for item in index))
            case Arange(axis):
                return Position(self._place(axis, env))
            case Unary(op, x):
                return Operation(op, (self.scalar(x, env),))
            case Binary(op, x, y):
                return Operation(op, (self.scalar(x, env), self.scalar(y, env)))
            case Where(test, x, y):
                return Choice(self.scalar(test, env), self.scalar(x, env), self.scalar(y, env))
            case Roll(x, axis, shift):
                at = Shift((_plain(env[axis]),), (shift,), None, False, axis.size)
                return self.scalar(x, {**env, axis: at})
            case Window(x, axis, tap, wrap):
                at = Shift((_plain(env[axis]), _plain(env[tap])), (), tap.size, True, axis.size)
                return self._inside(x, {**env, axis: at}, at, wrap)
            case Fold(x, axis, tap, wrap):
                at = Shift((_plain(env[axis]),), (_plain(env[tap]),), tap.size, False, axis.size)
                return self._inside(x, {**env, axis: at}, at, wrap)
            case _:
                raise AssertionError(f"{type(expr).__name__} is a statement of its own")

    def _inside(self, x: Expr, env: Env, at: Shift, wrap: bool) -> Scalar:
        value = self.scalar(x, env)
        return value if wrap else Choice(Inside(at), value, Number(0))

    def _place(self, item: Axis | int, env: Env) -> Place:
        return item if isinstance(item, int) else env[item]


NEUTRAL = {
    "sum": Number(0.0),
    "max": Number(float("-inf")),
    "min": Number(float("inf")),
    "any": Number(False),
}


def loop_name(axis: Axis) -> str:
    """The variable that runs over an axis."""
    stem = f"i_{axis.size}"
    return stem if axis.tag in (0, "") else f"{stem}_{axis.tag}"


def section(program: Program, nest: Nest, layout: Layout, namer: Namer, line_of: Callable[[Statement], str]) -> Section:
    """A nest as a section, with the lines of the spec that its statements come from."""
    body = NestBuilder(program, nest, layout, namer).build()
    found = dict.fromkeys(line_of(item) for item in _items(program, nest))
    return Section(tuple(body), tuple(line for line in found if line))


def _items(program: Program, nest: Nest) -> list[Statement]:
    """The statements of a nest and the definitions that they compute where they read them."""
    own = [*nest.kept, *nest.statements]
    wanted = set().union(*(program.demand(item) for item in own))
    return [*(item for name, item in program.inline.items() if name in wanted), *own]


def _how(item: Statement):
    return "sum" if item.role == "total" else "set"


def _tag(axis: Axis) -> int:
    return axis.tag if isinstance(axis.tag, int) else 0


def _plain(place: Place) -> str | int:
    assert not isinstance(place, Shift)
    return place
