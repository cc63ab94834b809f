"""A nest of statements as loops: the innermost one over lanes, sums over outer loops in one accumulator a lane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from recc.ir.kernel import (
    COLUMN,
    ROW,
    Accumulators,
    Assign,
    Choice,
    Define,
    Element,
    Extent,
    Inside,
    Local,
    Loop,
    Number,
    Operation,
    Place,
    Position,
    Scalar,
    ScalarKind,
    Section,
    Shift,
    SolveSystem,
    Tile,
    Variable,
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
from recc.passes.lower_kernel_nests import Nest
from recc.passes.lower_kernel_statements import Program, Statement
from recc.passes.tidy import Namer

LARGEST_EXPRESSION = 10
Env = dict[Axis, Place]


@dataclass(frozen=True)
class Layout:
    """Where names live: the order of the axes of permuted arrays, the names of scalars, and how axes rank from outer
    to inner loops."""

    orders: dict[str, tuple[int, ...]]
    scalars: frozenset[str]
    ranks: dict[Size, int]
    targets: dict[tuple[str, str], str]  # (role, name) of what is not stored under its own name

    def element(self, name: str, at: tuple[Place, ...]) -> Scalar:
        if name in self.scalars:
            return Local(name)
        order = self.orders.get(name)
        return Element(name, at if order is None else tuple(at[place] for place in order))


class NestBuilder:
    """Builds the loops of one nest."""

    def __init__(self, program: Program, nest: Nest, layout: Layout, namer: Namer):
        self._program, self._nest, self._layout, self._namer = program, nest, layout, namer
        self._axes = self._ordered(nest)
        self._env: Env = {axis: loop_name(axis) for axis in self._axes}
        self._defined: set[str] = set()
        own = [item for item in (*nest.kept, *nest.statements) if item.role == "let" and not item.over]
        self._own = program.inline | {item.target: item for item in own if not item.solves}
        self._states = {item.target for item in program.statements if item.role == "update"}

    def build(self) -> list[Line]:
        if self._nest.statements and self._nest.statements[0].solves:
            return [line for item in self._nest.statements for line in self._solve(item)]
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
                late.append(Assign(self._target(item), self.scalar(item.expr, self._env), _how(item)))
        late.sort(key=lambda line: isinstance(line, Assign) and self._is_state(line))
        return self._stable([*lines, *late])

    def _solve(self, item: Statement) -> list[Line]:
        solve = item.expr
        assert isinstance(solve, Solve) and isinstance(solve.matrix, Ref) and isinstance(solve.rhs, Ref)
        env: dict[Axis, Place] = {**self._env, solve.row: ROW, solve.col: COLUMN}

        def places(ref: Ref) -> tuple[Place, ...]:
            found = self._layout.element(ref.name, tuple(self._place(i, env) for i in ref.index))
            assert isinstance(found, Element)
            return found.at

        out = tuple(env[axis] for axis in item.axes)
        lines: list[Line] = [
            SolveSystem(item.target, out, solve.matrix.name, places(solve.matrix), solve.rhs.name, places(solve.rhs),
                        solve.col.size)
        ]  # fmt: skip
        for axis in reversed([axis for axis in self._axes if axis != solve.col]):
            lines = [Loop(loop_name(axis), axis.size, tuple(lines))]
        return lines

    # --- loops ---

    def _loops(self) -> list[Line]:
        inner, outers = self._axes[-1], self._axes[:-1]
        sums = [item for item in self._nest.statements if item.over]
        tiled = bool(outers) and any(inner in item.axes or not item.axes for item in sums)
        first: list[Line] = []  # before all loops
        opening: list[Line] = []  # in a tile, before the outer loops
        around: list[Line] = []  # before the innermost loop
        body: list[Line] = []
        after: list[Line] = []  # after the innermost loop
        closing: list[Line] = []  # in a tile, after the outer loops
        last: list[Line] = []
        reductions: list[tuple] = []
        weight = 0
        for item in (*self._nest.kept, *self._nest.statements):
            value = self._value(item, body)
            target = self._target(item)
            if not item.over:
                body.append(Assign(target, value, _how(item)))
                continue
            kind: ScalarKind = "bool" if item.combine == "any" else "real"
            neutral = NEUTRAL[item.combine]
            in_lanes = tiled and set(item.axes) <= {inner}
            if isinstance(target, Local):
                first.append(Variable(target.name, neutral, kind))
            if in_lanes:
                weight += 1
                name = self._namer(f"{item.target}_lanes")
                made = Accumulators(name, item.combine, inner.size, kind)
                body.append(Assign(Element(name, (loop_name(inner),)), value, item.combine))
                if item.axes:
                    opening.append(made)
                    stored = Assign(target, Element(name, (loop_name(inner),)))
                    closing.append(Loop(loop_name(inner), inner.size, (stored,), "lanes"))
                else:
                    first.append(made)
                    last += self._folded(item, name, target, inner, neutral)
                continue
            if inner in item.axes or (item.over != (inner,)) or tiled:
                if not isinstance(target, Local):
                    first += self._neutralised(item, target, neutral)
                how = item.combine
            else:
                how = "set"
            if inner in item.axes:
                body.append(Assign(target, value, item.combine))
                continue
            if isinstance(target, Local):
                name = target.name
            else:
                name = self._namer(f"{item.target}_sum")
                around.append(Variable(name, neutral, kind))
                after.append(Assign(target, Local(name), how))
            reductions.append((item.combine, name))
            body.append(Assign(Local(name), value, item.combine))
        merged = self._merged(body)
        innermost = Loop(loop_name(inner), inner.size, tuple(merged), "lanes" if tiled else "vector", tuple(reductions))
        lines: list[Line] = [*around, innermost, *after]
        for axis in reversed(outers):
            lines = [Loop(loop_name(axis), axis.size, tuple(lines))]
        if tiled:
            lines = [Tile(loop_name(inner), inner.size, (*opening, *lines, *closing), max(1, weight))]
        return [*first, *lines, *last]

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
            if _arrays(line.value) & written:
                name = self._namer("new")
                early.append(Define(name, line.value))
                line = Assign(line.target, Local(name), line.combine)
            if isinstance(line.target, Element):
                written.add(line.target.array)
            late.append(line)
        return [*early, *late]

    def _folded(self, item: Statement, lanes: str, target: Element | Local, inner: Axis, neutral: Number) -> list[Line]:
        """All lanes' accumulators combined into one value."""
        name = target.name if isinstance(target, Local) else self._namer(f"{item.target}_sum")
        kind: ScalarKind = "bool" if item.combine == "any" else "real"
        lane = loop_name(inner)
        fold = Assign(Local(name), Element(lanes, (lane,)), item.combine)
        lines: list[Line] = [] if isinstance(target, Local) else [Variable(name, neutral, kind)]
        lines.append(Loop(lane, inner.size, (fold,), "all lanes", ((item.combine, name),)))
        return lines if isinstance(target, Local) else [*lines, Assign(target, Local(name))]

    def _neutralised(self, item: Statement, target: Element, neutral: Number) -> list[Line]:
        lines: list[Line] = [Assign(target, neutral)]
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
    "set": Number(0.0),
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


def parts_of(value: Scalar) -> tuple[Scalar, ...]:
    match value:
        case Operation(_, args):
            return args
        case Choice(test, x, y):
            return (test, x, y)
        case _:
            return ()


def _arrays(value: Scalar) -> set[str]:
    own = {value.array} if isinstance(value, Element) else set()
    return own.union(*(_arrays(part) for part in parts_of(value)))


def merge_defines(lines: list[Line]) -> list[Line]:
    """Definitions that one line uses, once, put into that line while it stays small."""
    uses: Counter[str] = Counter()
    for line in lines:
        if isinstance(line, (Define, Assign)) and line.value is not None:
            uses.update(_locals(line.value))
    waiting: dict[str, Scalar] = {}
    kept: list[Line] = []
    for line in lines:
        if isinstance(line, Define):
            value = _filled(line.value, waiting)
            if uses[line.name] == 1 and _weight(value) <= LARGEST_EXPRESSION:
                waiting[line.name] = value
            elif uses[line.name]:
                kept.append(Define(line.name, value, line.kind))
        elif isinstance(line, Assign):
            kept.append(Assign(line.target, _filled(line.value, waiting), line.combine))
        else:
            kept.append(line)
    return kept


def _locals(value: Scalar) -> list[str]:
    own = [value.name] if isinstance(value, Local) else []
    return own + [name for part in parts_of(value) for name in _locals(part)]


def _weight(value: Scalar) -> int:
    return 1 + sum(_weight(part) for part in parts_of(value))


def _filled(value: Scalar, known: dict[str, Scalar]) -> Scalar:
    match value:
        case Local(name) if name in known:
            return known[name]
        case Operation(op, args):
            return Operation(op, tuple(_filled(part, known) for part in args))
        case Choice(test, x, y):
            return Choice(_filled(test, known), _filled(x, known), _filled(y, known))
        case _:
            return value
