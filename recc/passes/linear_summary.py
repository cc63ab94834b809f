"""A stretch of steps of states whose update is affine in an algebra is `s -> A s + b`.

`b` is what the stretch makes of the algebra's zero, so it takes steps as the state itself does. `A` takes a step by the
linear part of the update, which the tangent pass derives: whatever the structure is (a decay, a product of Householder
factors), one step costs what the structure costs, and the product over a tile never exists for every step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recc.ir.build import binary, equal_positions, where
from recc.ir.nodes import Axis, Binary, Const, Expr, Let, Recurrence, Reduce, Ref, Roll, Unary, Var, Where
from recc.ir.traverse import canonical, define, names, rewrite, substitute
from recc.passes.analyse import Component, Proof
from recc.passes.axes import AxisClass
from recc.passes.kronecker import Share, kronecker
from recc.passes.summary import Part, Summary
from recc.passes.tangent import linear_part
from recc.passes.tidy import Namer, flatten
from recc.structures.algebra import REAL, SEMIRINGS, Algebra
from recc.structures.constant import Constant
from recc.structures.identity import Identity

ALGEBRAS = {algebra.name: algebra for algebra in (REAL, *SEMIRINGS)}


@dataclass(frozen=True)
class Block:
    """`A[target, source]`: those of the target's axes that the transition, or a Kronecker factor of it, does not just
    pass through, and one column for each axis of the source that it mixes."""

    var: Var
    target: str
    source: str
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    index: tuple[Axis, ...]  # what stands at the source's places: columns, and axes of the target that pass through
    algebra: Algebra


def linear_summary(
    recurrence: Recurrence, whole: Recurrence, component: Component, proof: Proof, namer: Namer
) -> Summary:
    """The summary of a component that is affine in an algebra: blocks `A`, and offsets `b`. `whole` has the definitions
    behind the recurrence's inputs and params as well."""
    algebra = ALGEBRAS[proof.algebra]
    if isinstance(proof.structure, (Identity, Constant)):
        return _without_blocks(recurrence, component.states[0], proof, namer)
    variables = {state.name: state.var for state in recurrence.states}
    alone = len(component.states) == 1
    shares = kronecker(recurrence, whole, variables[component.states[0]], algebra) if alone else ()
    if len(shares) > 1:
        return _by_factors(recurrence, variables[component.states[0]], proof, shares, namer)
    blocks = _blocks(variables, component, proof, namer)
    lets: list[Let] = []
    stepped: dict[str, Expr] = {}
    updates = tuple(recurrence.update_of(name) for name in component.states)
    for source in component.states:
        column = {block.target: block for block in blocks if block.source == source}
        found, results = longer(recurrence, updates, variables, column, algebra, namer)
        lets += found
        for target, result in zip(component.states, results, strict=True):
            stepped[column[target].var.name] = over_own_axes(column[target], result)
    offsets = {name: namer(f"b_{name}") for name in component.states}
    return Summary(
        parts=tuple(Part(block.var, block.target, _neutral(block), stepped[block.var.name]) for block in blocks),
        lets=tuple(lets),
        after={name: _after(variables[name], blocks, offsets[name], algebra) for name in component.states},
        offsets={name: (offset, Const(algebra.zero)) for name, offset in offsets.items()},
    )


def _without_blocks(recurrence: Recurrence, name: str, proof: Proof, namer: Namer) -> Summary:
    """The summary of a state that a step adds to, or that every step makes anew."""
    algebra, offset = ALGEBRAS[proof.algebra], namer(f"b_{name}")
    state = next(item.var for item in recurrence.states if item.name == name)
    added = Ref(offset, state.axes, state.kind)
    after = added if isinstance(proof.structure, Constant) else binary(algebra.plus, state.ref(), added)
    return Summary((), (), {name: after}, {name: (offset, Const(algebra.zero))})


def _by_factors(recurrence: Recurrence, var: Var, proof: Proof, shares: tuple[Share, ...], namer: Namer) -> Summary:
    """The summary of a state whose transition is a Kronecker product: one block for each factor."""
    algebra = ALGEBRAS[proof.algebra]
    parts: list[Part] = []
    lets: list[Let] = []
    after: Expr = var.ref()
    for number, share in enumerate(shares):
        block = _block(var, var, proof, f"{var.name}_{number}", namer, share.axes)
        value = block
        for stage in share.stages:
            sources = {stage.source: replace(var, name=stage.source)}
            found, (result,) = longer(recurrence, (stage.expr,), sources, {stage.source: value}, algebra, namer)
            made = Let(namer(block.var.name), block.var.axes, over_own_axes(block, result), temporary=True)
            lets += [*found, made]
            value = replace(value, var=replace(value.var, name=made.name))
        parts.append(Part(block.var, var.name, _neutral(block), value.var.ref()))
        after = applied(block, substitute(after, dict(zip(var.axes, block.index, strict=True))))
    offset = namer(f"b_{var.name}")
    after = binary(algebra.plus, after, Ref(offset, var.axes, var.kind))
    return Summary(tuple(parts), tuple(lets), {var.name: after}, {var.name: (offset, Const(algebra.zero))})


def _blocks(variables: dict[str, Var], component: Component, proof: Proof, namer: Namer) -> list[Block]:
    alone = len(component.states) == 1
    return [
        _block(variables[target], variables[source], proof, target if alone else f"{target}_{source}", namer)
        for target in component.states
        for source in component.states
    ]


def _block(
    target: Var, source: Var, proof: Proof, suffix: str, namer: Namer, within: frozenset[Axis] | None = None
) -> Block:
    rows = _axes_with(target, proof.axes[target.name], ("scaled", "mixed"), within)
    columns = _axes_with(source, proof.axes[source.name], ("mixed",), within)
    sizes = tuple(axis.size for axis in rows + columns)
    var = Var(namer(f"A_{suffix}"), sizes, target.complex or source.complex)
    index = tuple(column_axes((axis,))[0] if axis in columns else axis for axis in source.axes)
    return Block(var, target.name, source.name, rows, column_axes(columns), index, ALGEBRAS[proof.algebra])


def column_axes(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The columns of a block that belong to some axes of its source."""
    return tuple(Axis(axis.size, f"col{axis.tag}") for axis in axes)


def _axes_with(
    var: Var, roles: tuple[AxisClass, ...], wanted: tuple[str, ...], within: frozenset[Axis] | None
) -> tuple[Axis, ...]:
    pairs = zip(var.axes, roles, strict=True)
    return tuple(axis for axis, role in pairs if role in wanted and (within is None or axis in within))


def longer(
    recurrence: Recurrence,
    results: tuple[Expr, ...],
    sources: dict[str, Var],
    column: dict[str, Block],
    algebra: Algebra,
    namer: Namer,
) -> tuple[list[Let], list[Expr]]:
    """How a column of blocks takes the step from `sources` to some results that are linear in them: definitions, and
    the new values, over the blocks' rows and columns."""
    found, linear = _linear(recurrence, results, {name: sources[name] for name in column}, algebra, namer)
    walk = Columns(column, sources, found.moving, namer)
    lets = [let for let in (walk.define(let) for let in found.lets) if let is not None]
    return lets, [Const(algebra.zero) if expr is None else walk.translate(expr) for expr in linear]


def over_own_axes(block: Block, expr: Expr) -> Expr:
    renamed = dict(zip(block.rows + block.columns, block.var.axes, strict=True))
    assert set(expr.axes) <= set(renamed), f"{block.var.name} has axes that its structure does not allow"
    return canonical(substitute(expr, dict(renamed)))


@dataclass(frozen=True)
class Linear:
    """Definitions of the linear part of a step, and the names of the moving states (state -> name of its motion)."""

    lets: tuple[Let, ...]
    moving: dict[str, str]


def _linear(
    recurrence: Recurrence, results: tuple[Expr, ...], sources: dict[str, Var], algebra: Algebra, namer: Namer
) -> tuple[Linear, tuple[Expr | None, ...]]:
    """The part of some results that is linear in the sources, in the algebra, over motions of the sources."""
    motions = {name: replace(var, name=namer(f"{name}_dot")) for name, var in sources.items()}
    if algebra is REAL:
        lets, moved = linear_part(recurrence.lets, results, motions, namer)
        fresh = _new(lets, recurrence)
    else:
        fresh, moved = _homogeneous(recurrence, results, motions, algebra, namer)
    return Linear(fresh, {name: var.name for name, var in motions.items()}), moved


def _new(lets: tuple[Let, ...], recurrence: Recurrence) -> tuple[Let, ...]:
    """Definitions of names that the recurrence does not define itself."""
    own = {let.name for let in recurrence.lets}
    return tuple(let for let in lets if let.name not in own)


def _homogeneous(
    recurrence: Recurrence, updates: tuple[Expr, ...], motions: dict[str, Var], algebra: Algebra, namer: Namer
) -> tuple[tuple[Let, ...], tuple[Expr | None, ...]]:
    """In (max,+) and its kin: the same step with what does not depend on the states left out of every maximum."""
    flat = flatten(Recurrence("part", lets=recurrence.lets, updates=updates), namer)
    moved: dict[str, str] = {name: var.name for name, var in motions.items()}
    lets: list[Let] = list(flat.lets)

    def linear(expr: Expr) -> Expr | None:
        match expr:
            case Ref(name, index, kind):
                return Ref(moved[name], index, kind) if name in moved else None
            case Binary(op, x, y) if op in ("max", "min", "logaddexp"):
                parts = [part for part in (linear(x), linear(y)) if part is not None]
                return None if not parts else parts[0] if len(parts) == 1 else binary(op, *parts)
            case Binary(op, x, y):
                left, right = linear(x), linear(y)
                return None if left is None and right is None else binary(op, left or x, right or y)
            case Where(test, x, y):
                left, right = linear(x), linear(y)
                if left is None and right is None:
                    return None
                zero = Const(algebra.zero)
                return where(test, left or zero, right or zero)
            case Reduce(_, x) | Roll(x):
                part = linear(x)
                return None if part is None else replace(expr, x=part)
            case Unary(op, x) if op == algebra.plus_one:
                return linear(x)
            case _:
                return None

    for let in flat.lets:
        part = linear(let.expr)
        if part is not None:
            name = namer(f"{let.name}_dot")
            lets.append(Let(name, let.axes, part, temporary=True))
            moved[let.name] = name
    return _new(tuple(lets), recurrence), tuple(linear(update) for update in flat.updates)


class Columns:
    """Rewrites motions of states into columns of blocks: batched axes go, one column axis per mixed axis comes."""

    def __init__(self, column: dict[str, Block], sources: dict[str, Var], moving: dict[str, str], namer: Namer):
        self._namer = namer
        self._kept: dict[str, tuple[str, tuple[int, ...], tuple[Axis, ...]]] = {}
        for state, motion in moving.items():
            block = column[state]
            places = tuple(place for place, axis in enumerate(sources[state].axes) if axis in block.rows)
            self._kept[motion] = (block.var.name, places, block.columns)

    def translate(self, expr: Expr) -> Expr:
        def rule(node: Expr) -> Expr:
            if isinstance(node, Roll) and node.axis not in node.x.axes:
                return node.x
            if not (isinstance(node, Ref) and node.name in self._kept):
                return node
            name, places, columns = self._kept[node.name]
            return Ref(name, tuple(node.index[place] for place in places) + columns, node.kind)

        return rewrite(expr, rule)

    def define(self, let: Let) -> Let | None:
        """The definition with its motions rewritten; its axes are those that are left, and the columns."""
        if not names(let.expr) & set(self._kept):
            return let
        expr = self.translate(let.expr)
        rows = tuple(axis for axis in let.axes if axis in expr.axes)
        columns = tuple(axis for axis in expr.axes if axis not in let.axes)
        made = define(self._namer(let.name), expr, axes=rows + columns, temporary=True)
        self._kept[let.name] = (made.name, tuple(let.axes.index(axis) for axis in rows), columns)
        return made


def _neutral(block: Block) -> Expr:
    """The block of the identity, over the block's own axes: one on the diagonal of every mixed axis."""
    one, zero = Const(block.algebra.one), Const(block.algebra.zero)
    if block.target != block.source:
        return zero
    own = dict(zip(block.rows + block.columns, block.var.axes, strict=True))
    expr: Expr = one
    for column in block.columns:
        row = next(axis for axis in block.rows if column == Axis(axis.size, f"col{axis.tag}"))
        expr = Where(equal_positions(own[row], own[column]), expr, zero)
    return expr


def _after(var: Var, blocks: list[Block], offset: str, algebra: Algebra) -> Expr:
    """The state after a stretch: every block of its row applied to its source, and the offset."""
    result: Expr = Ref(offset, var.axes, var.kind)
    for block in blocks:
        if block.target == var.name:
            source = Ref(block.source, block.index, block.var.kind)
            result = binary(algebra.plus, applied(block, source), result)
    return result


def applied(block: Block, value: Expr) -> Expr:
    """A block times a value of its source over the block's `index`."""
    matrix = Ref(block.var.name, block.rows + block.columns, block.var.kind)
    product = Binary(block.algebra.times, matrix, value)
    return Reduce(block.algebra.reduce, product, block.columns) if block.columns else product
