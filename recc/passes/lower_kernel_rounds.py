"""The rounds of a fixed point: its step and the test of when it ends, as definitions of the kernel around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from recc.ir.build import ONE, ZERO, add, mul, sub, unary
from recc.ir.nodes import Binary, Const, Fixpoint, Let, Output, Recurrence, Reduce, Ref, Size, State, Var
from recc.ir.traverse import inline, names
from recc.passes.lower_kernel_statements import Statement
from recc.passes.lower_kernel_tasks import Prepared, prepare
from recc.passes.tidy import Namer

UNITS = 16  # of rounding of the largest place: a smaller change says nothing


@dataclass(frozen=True)
class Rounds:
    """What a fixed point does: it gives its unknowns, one or two real parts, their start, and then new values from
    definitions and tasks. `moving` and `change` are scalars that say whether it goes on, and the largest change (None
    if nobody asks); `rounding` is one that is known before: UNITS of rounding."""

    unknowns: tuple[Var, ...]
    starts: tuple[Statement, ...]
    lets: tuple[Let, ...]
    tasks: tuple[Statement, ...]
    updates: tuple[Statement, ...]
    moving: str
    change: str | None
    rounding: str

    @property
    def new(self) -> set[str]:
        """The new values, which are looked at before they replace the old ones."""
        return set().union(*(names(update.expr) for update in self.updates if update.axes))


def rounds_of(
    item: Statement, sizes: tuple[tuple[str, int], ...], ranks: dict[Size, int], namer: Namer, *, reported: bool
) -> Rounds:
    """The rounds of a fixed point, under names that nothing around it has, with the change if that is `reported`."""
    node = item.expr
    assert isinstance(node, Fixpoint)
    step, (moving, change, rounding) = _round(node, sizes, reported)
    prepared = prepare(step, ranks)
    outside = namer(rounding)
    given = {rounding: Let(rounding, (), Ref(outside, ()))}
    for var, values in zip((node.unknown, *step.inputs[:-1]), (item.targets, *item.operands[1:]), strict=True):
        for name, value in zip(prepared.parts.names[var.name], values, strict=True):
            given[name] = Let(name, var.axes, Ref(value, var.axes) if isinstance(value, str) else value)
    known = _placed(prepared, given, namer)
    flat = prepared.flat
    unknowns = tuple(replace(state.var, name=_name(known[state.name])) for state in flat.states)
    quiet = None if item.let is None else replace(item.let, temporary=True)
    starts, updates = (
        tuple(
            Statement(var.name, var.axes, expr, role="update", let=quiet)
            for var, expr in zip(unknowns, exprs, strict=True)
        )
        for exprs in (item.operands[0], [inline(update, known) for update in flat.updates])
    )
    lets = tuple(replace(let, name=_name(known[let.name]), expr=inline(let.expr, known)) for let in flat.lets)
    tasks = tuple(_renamed(task, known) for task in prepared.tasks)
    shown = _name(known[change]) if reported else None
    return Rounds(unknowns, starts, lets, tasks, updates, _name(known[moving]), shown, outside)


# --- names ---


def _placed(prepared: Prepared, given: Mapping[str, Let], namer: Namer) -> dict[str, Let]:
    """What stands for each name: what is given, or the same under a new name."""
    known = dict(given)
    for let in prepared.flat.lets:
        known[let.name] = replace(let, expr=Ref(namer(let.name), let.axes, let.kind))
    for task in prepared.tasks:
        for name in task.targets:
            known[name] = Let(name, task.axes, Ref(namer(name), task.axes))
    return known


def _name(let: Let) -> str:
    assert isinstance(let.expr, Ref)
    return let.expr.name


def _renamed(task: Statement, known: dict[str, Let]) -> Statement:
    first, *beside = (_name(known[name]) for name in task.targets)
    operands = tuple(tuple(inline(part, known) for part in operand) for operand in task.operands)
    return replace(task, target=first, beside=tuple(beside), operands=operands)


# --- one round ---


def _round(
    node: Fixpoint, sizes: tuple[tuple[str, int], ...], reported: bool
) -> tuple[Recurrence, tuple[str, str, str]]:
    """One round as a recurrence: its state is the unknown, its inputs are what the fixed point is given, and UNITS of
    rounding; its outputs are the largest change and whether it goes on. Also the names of these two and of the
    rounding."""
    own = node.unknown
    taken = {own.name, *(let.name for let in (*node.given, *node.lets))}
    namer = Namer(taken | {str(size) for size in own.sizes} | {name for name, _ in sizes})
    moving, change, rounding = (namer(f"{own.name}_{what}") for what in ("moving", "change", "rounding"))
    names_of = moving, change, rounding
    new = Let(namer(f"{own.name}_new"), own.axes, node.result)
    lets = _tests(node, new, names_of, namer)
    given = [Var(let.name, tuple(axis.size for axis in let.axes), let.kind == "complex") for let in node.given]
    results = (Output(Var(namer("result")), let.ref()) for let in (lets[-2:] if reported else lets[-1:]))
    step = Recurrence(
        "round",
        inputs=(*given, Var(rounding)),
        states=(State(own, ZERO),),
        lets=(*node.lets, new, *lets),
        updates=(new.ref(),),
        outputs=tuple(results),
        sizes=sizes,
    )
    return step, names_of


def _tests(node: Fixpoint, new: Let, names_of: tuple[str, str, str], namer: Namer) -> list[Let]:
    """The largest change, and whether a round changed some place by more than the tolerance and than rounding does: the
    last two of these definitions. Where a change is not a number, it goes on."""
    axes, stem = node.unknown.axes, node.unknown.name
    moving, change, rounding = names_of
    units, tolerance = Ref(rounding, ()), Const(node.tolerance)
    away = Let(namer(f"{stem}_away"), axes, unary("abs", sub(new.ref(), node.unknown.ref())))
    size = Let(namer(f"{stem}_size"), axes, unary("abs", new.ref()))
    largest = Let(namer(f"{stem}_largest"), (), Reduce("max", size.ref(), axes) if axes else size.ref())
    most = Let(change, (), Reduce("max", away.ref(), axes) if axes else away.ref())
    if node.relative:
        limit = mul(Binary("max", tolerance, units), largest.ref())
        goes_on = unary("not", Binary("le", most.ref(), limit))
    else:
        limit = Binary("max", mul(tolerance, add(ONE, size.ref())), mul(units, add(ONE, largest.ref())))
        beyond = unary("not", Binary("le", away.ref(), limit))
        goes_on = Reduce("any", beyond, axes) if axes else beyond
    return [away, size, largest, most, Let(moving, (), goes_on)]
