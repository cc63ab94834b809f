"""From a proof to a scan: how a stretch of steps is summed up, lengthened by a step, and applied to a state.

For states whose update is affine in an algebra, a stretch of steps is `s -> A s + b`. `b` is what the stretch makes of
the algebra's zero, so it takes steps as the state itself does. `A` takes a step by the linear part of the update, which
the tangent pass derives: whatever the structure is (a decay, a product of Householder factors), one step costs what
the structure costs, and the product over a tile never exists for every step."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from recc.ir.build import ZERO, binary, equal_positions, where
from recc.ir.nodes import Axis, Binary, Const, Expr, Let, Recurrence, Reduce, Ref, State, Var, Where
from recc.ir.traverse import canonical, define, names, rewrite, substitute
from recc.passes.analyse import Analysis, Component, Proof
from recc.passes.tangent import linear_part
from recc.passes.tidy import Namer, flatten, tidy, used_names

Role = Literal["batched", "scaled", "mixed"]
ZEROS = {"(+,x)": 0.0, "(max,+)": -math.inf, "(min,+)": math.inf, "(logsumexp,+)": -math.inf}
ONES = {"(+,x)": 1.0, "(max,+)": 0.0, "(min,+)": 0.0, "(logsumexp,+)": 0.0}
PLUS = {"(+,x)": "add", "(max,+)": "max", "(min,+)": "min", "(logsumexp,+)": "logaddexp"}
TIMES = {"(+,x)": "mul", "(max,+)": "add", "(min,+)": "add", "(logsumexp,+)": "add"}
SUMS = {"(+,x)": "sum", "(max,+)": "max", "(min,+)": "min", "(logsumexp,+)": "logsumexp"}


@dataclass(frozen=True)
class Block:
    """`A[target, source]`: the target's axes that the transition does not just pass through, and one column for each
    axis of the source that it mixes."""

    var: Var
    target: str
    source: str
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    source_axes: tuple[Axis, ...]
    algebra: str


@dataclass(frozen=True)
class LevelPlan:
    """What one pass of a scan needs. `compose` is a recurrence whose states are the earlier states, the blocks and the
    level's own states (as offsets `b`); `neutral` holds an expression for each block and each offset; `advance` one
    for each of the level's states, over the blocks, `offsets` (the names of b) and the states."""

    states: tuple[str, ...]
    earlier: tuple[str, ...]
    blocks: tuple[Block, ...]
    compose: Recurrence
    neutral: tuple[Expr, ...]
    offsets: tuple[str, ...]
    advance: tuple[Expr, ...]


def is_scannable(analysis: Analysis) -> bool:
    """Whether every component was proved to be affine in an algebra that a scan can be made of."""
    verdicts = [component.verdict for component in analysis.components]
    return all(isinstance(verdict, Proof) and verdict.algebra in ZEROS for verdict in verdicts)


def lower_scan(recurrence: Recurrence, analysis: Analysis) -> tuple[LevelPlan, ...]:
    """The passes of a scan, in order, for a recurrence that is scannable."""
    plans: list[LevelPlan] = []
    done: list[str] = []
    for components in analysis.levels:
        plans.append(_level(recurrence, components, tuple(done)))
        done += [name for component in components for name in component.states]
    return tuple(plans)


def _level(recurrence: Recurrence, components: tuple[Component, ...], before: tuple[str, ...]) -> LevelPlan:
    states = tuple(name for component in components for name in component.states)
    ordered = tuple(name for name in recurrence.state_names if name in states)
    earlier = _needed_earlier(recurrence, ordered, before)
    namer = Namer(used_names(recurrence))
    blocks: list[Block] = []
    lets: list[Let] = []
    updates: dict[str, Expr] = {}
    for component in components:
        proof = component.verdict
        assert isinstance(proof, Proof)
        own = _blocks(recurrence, component, proof, namer)
        blocks += own
        found, results = _lengthen(recurrence, component, own, proof.algebra, namer)
        lets += found
        updates |= results
    variables = {state.name: state for state in recurrence.states}
    block_states = tuple(State(block.var, ZERO) for block in blocks)
    carried = tuple(variables[name] for name in earlier) + block_states + tuple(variables[name] for name in ordered)
    results = tuple(
        updates[state.name] if state.name in updates else recurrence.update_of(state.name) for state in carried
    )
    compose = Recurrence(
        name=f"{recurrence.name}_compose",
        inputs=recurrence.inputs,
        params=recurrence.params,
        states=carried,
        lets=recurrence.lets + tuple(lets),
        updates=results,
        sizes=recurrence.sizes,
        constants=recurrence.constants,
    )
    algebra = {name: c.verdict.algebra for c in components for name in c.states if isinstance(c.verdict, Proof)}
    offsets = {name: namer(f"b_{name}") for name in ordered}
    return LevelPlan(
        states=ordered,
        earlier=earlier,
        blocks=tuple(blocks),
        compose=tidy(compose),
        neutral=tuple(_neutral(block) for block in blocks) + tuple(Const(ZEROS[algebra[name]]) for name in ordered),
        offsets=tuple(offsets.values()),
        advance=tuple(_advance(variables[name].var, blocks, offsets[name], algebra[name]) for name in ordered),
    )


def _needed_earlier(recurrence: Recurrence, states: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    """Earlier states that the updates read, and those that their updates read in turn."""
    lets = {let.name: let for let in recurrence.lets}
    seen: set[str] = set()
    waiting = [name for state in states for name in names(recurrence.update_of(state))]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in lets:
            waiting += names(lets[name].expr)
        elif name in before:
            waiting += names(recurrence.update_of(name))
    return tuple(name for name in recurrence.state_names if name in seen and name in before)


def _blocks(recurrence: Recurrence, component: Component, proof: Proof, namer: Namer) -> list[Block]:
    variables = {state.name: state.var for state in recurrence.states}
    blocks = []
    for target in component.states:
        for source in component.states:
            rows = _axes_with(variables[target], proof.axes[target], ("scaled", "mixed"))
            columns = _axes_with(variables[source], proof.axes[source], ("mixed",))
            suffix = target if len(component.states) == 1 else f"{target}_{source}"
            sizes = tuple(axis.size for axis in rows + columns)
            complex_ = variables[target].complex or variables[source].complex
            var = Var(namer(f"A_{suffix}"), sizes, complex_)
            marked = tuple(Axis(axis.size, f"col{axis.tag}") for axis in columns)
            blocks.append(Block(var, target, source, rows, marked, variables[source].axes, proof.algebra))
    return blocks


def _axes_with(var: Var, roles: tuple[Role, ...], wanted: tuple[str, ...]) -> tuple[Axis, ...]:
    return tuple(axis for axis, role in zip(var.axes, roles, strict=True) if role in wanted)


def _lengthen(
    recurrence: Recurrence, component: Component, blocks: list[Block], algebra: str, namer: Namer
) -> tuple[list[Let], dict[str, Expr]]:
    """How the blocks take one step: definitions, and for each block its new value over its own axes."""
    lets: list[Let] = []
    updates: dict[str, Expr] = {}
    for source in component.states:
        column = {block.target: block for block in blocks if block.source == source}
        found, results = _linear(recurrence, component, algebra, namer)
        walk = Columns(column, recurrence, found.moving, namer)
        lets += [let for let in (walk.define(let) for let in found.lets) if let is not None]
        for target, result in zip(component.states, results, strict=True):
            block = column[target]
            expr = Const(ZEROS[algebra]) if result is None else walk.translate(result)
            renamed = dict(zip(block.rows + block.columns, block.var.axes, strict=True))
            assert set(expr.axes) <= set(renamed), f"{block.var.name} has axes that its structure does not allow"
            updates[block.var.name] = canonical(substitute(expr, dict(renamed)))
    return lets, updates


@dataclass(frozen=True)
class Linear:
    """Definitions of the linear part of a step, and the names of the moving states (state -> name of its motion)."""

    lets: tuple[Let, ...]
    moving: dict[str, str]


def _linear(
    recurrence: Recurrence, component: Component, algebra: str, namer: Namer
) -> tuple[Linear, tuple[Expr | None, ...]]:
    """The part of the component's updates that is linear in the algebra, over motions of its states."""
    variables = {state.name: state.var for state in recurrence.states}
    motions = {name: replace(variables[name], name=namer(f"{name}_dot")) for name in component.states}
    updates = tuple(recurrence.update_of(name) for name in component.states)
    if algebra == "(+,x)":
        lets, results = linear_part(recurrence.lets, updates, motions, namer)
        fresh = _new(lets, recurrence)
    else:
        fresh, results = _homogeneous(recurrence, updates, motions, algebra, namer)
    return Linear(fresh, {name: var.name for name, var in motions.items()}), results


def _new(lets: tuple[Let, ...], recurrence: Recurrence) -> tuple[Let, ...]:
    """Definitions of names that the recurrence does not define itself."""
    own = {let.name for let in recurrence.lets}
    return tuple(let for let in lets if let.name not in own)


def _homogeneous(
    recurrence: Recurrence, updates: tuple[Expr, ...], motions: dict[str, Var], algebra: str, namer: Namer
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
                zero = Const(ZEROS[algebra])
                return where(test, left or zero, right or zero)
            case Reduce(_, x):
                part = linear(x)
                return None if part is None else replace(expr, x=part)
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

    def __init__(self, column: dict[str, Block], recurrence: Recurrence, moving: dict[str, str], namer: Namer):
        variables = {state.name: state.var for state in recurrence.states}
        self._namer = namer
        self._kept: dict[str, tuple[str, tuple[int, ...], tuple[Axis, ...]]] = {}
        for state, motion in moving.items():
            block = column[state]
            places = tuple(place for place, axis in enumerate(variables[state].axes) if axis in block.rows)
            self._kept[motion] = (block.var.name, places, block.columns)

    def translate(self, expr: Expr) -> Expr:
        def rule(node: Expr) -> Expr:
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
    one, zero = Const(ONES[block.algebra]), Const(ZEROS[block.algebra])
    if block.target != block.source:
        return zero
    own = dict(zip(block.rows + block.columns, block.var.axes, strict=True))
    expr: Expr = one
    for column in block.columns:
        row = next(axis for axis in block.rows if column == Axis(axis.size, f"col{axis.tag}"))
        expr = Where(equal_positions(own[row], own[column]), expr, zero)
    return expr


def _advance(var: Var, blocks: list[Block], offset: str, algebra: str) -> Expr:
    """The state after a stretch: every block of its row applied to its source, and the offset."""
    result: Expr = Ref(offset, var.axes, var.kind)
    for block in blocks:
        if block.target != var.name:
            continue
        index = list(_source_index(block, var))
        source = Ref(block.source, tuple(index), block.var.kind)
        matrix = Ref(block.var.name, block.rows + block.columns, block.var.kind)
        applied: Expr = Binary(TIMES[algebra], matrix, source)
        if block.columns:
            applied = Reduce(SUMS[algebra], applied, block.columns)
        result = binary(PLUS[algebra], applied, result)
    return result


def _source_index(block: Block, target: Var) -> list[Axis]:
    """The source's axes as the row of the target meets them: columns where they are mixed, else the target's own."""
    columns = {Axis(axis.size, int(str(axis.tag)[3:])): axis for axis in block.columns}
    return [columns.get(axis, axis) for axis in block.source_axes]
