"""When to compute what: once a call, for all steps at once, step by step, or for all steps at once afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from recc.ir.nodes import Arange, Axis, Expr, Let, Output, Recurrence, Ref, Size
from recc.ir.traverse import map_exprs, names, rewrite
from recc.passes.tidy import Namer, used_names

Shapes = tuple[tuple[Size, ...], ...]


@dataclass(frozen=True)
class Schedule:
    """A recurrence whose definitions are dealt out to four stages, in the order in which they run.

    `prepared` and `kept` are what crosses from one stage to the next beside inputs and params: names computed before
    the steps that a step or the end reads, and names of a step (definitions or states on entry) that the end reads.
    Only values no larger than an input or output of the user's recurrence cross for all steps at once."""

    recurrence: Recurrence
    constants: tuple[Let, ...]
    prepare: tuple[Let, ...]
    step: tuple[Let, ...]
    finish: tuple[Let, ...]
    kept: tuple[str, ...]


def schedule(recurrence: Recurrence, shapes: Shapes) -> Schedule:
    """Deal the definitions out; `shapes` are the sizes of which one value a step may be kept for all steps.

    In `h = sigmoid(z) * h + x; output o = tanh(h)`, the sigmoid is prepared and the tanh taken at the end."""
    recurrence = name_results(name_positions(recurrence))
    stages = _before(recurrence, shapes)
    _after(recurrence, shapes, stages)
    by_stage = {stage: tuple(let for let in recurrence.lets if stages[let.name] == stage) for stage in STAGES}
    kept = _kept(recurrence, by_stage["finish"], stages)
    return Schedule(recurrence, by_stage["constants"], by_stage["prepare"], by_stage["step"], by_stage["finish"], kept)


STAGES = ("constants", "prepare", "step", "finish")


def fits(axes: tuple[Axis, ...], shapes: Shapes) -> bool:
    """Whether a value with these axes is no larger than one of the shapes."""
    sizes = Counter(axis.size for axis in axes)
    return not sizes or any(sizes <= Counter(shape) for shape in shapes)


def name_positions(recurrence: Recurrence) -> Recurrence:
    """Give `arange`s names, so that they are made once a call."""
    namer = Namer(used_names(recurrence))
    made: dict[Axis, Let] = {}

    def rule(node: Expr) -> Expr:
        if not isinstance(node, Arange):
            return node
        own = Axis(node.axis.size)
        if own not in made:
            made[own] = Let(namer(f"at_{own.size}"), (own,), Arange(own), temporary=True)
        return Ref(made[own].name, (node.axis,))

    rewritten = map_exprs(recurrence, lambda expr: rewrite(expr, rule))
    return replace(rewritten, lets=tuple(made.values()) + rewritten.lets)


def name_results(recurrence: Recurrence) -> Recurrence:
    """Give outputs that are expressions a name, so that they are computed in a stage like everything else."""
    namer = Namer(used_names(recurrence))
    lets: list[Let] = []

    def named(item: Output) -> Output:
        if isinstance(item.expr, Ref) and item.expr.index == item.var.axes:
            return item
        let = Let(namer(item.name), item.var.axes, item.expr, temporary=True)
        lets.append(let)
        return replace(item, expr=let.ref())

    outputs = tuple(named(item) for item in recurrence.outputs)
    return replace(recurrence, outputs=outputs, lets=recurrence.lets + tuple(lets))


def _before(recurrence: Recurrence, shapes: Shapes) -> dict[str, str]:
    """The stage of each name as far as it does not depend on what comes after: states make a `step`."""
    stages = {var.name: "constants" for var in recurrence.params}
    stages |= {var.name: "prepare" for var in recurrence.inputs}
    stages |= {name: "step" for name in recurrence.state_names}
    for let in recurrence.lets:
        latest = max((STAGES.index(stages[name]) for name in names(let.expr)), default=0)
        stage = STAGES[latest]
        if stage == "prepare" and not fits(let.axes, shapes):
            stage = "step"
        stages[let.name] = stage
    return stages


def _after(recurrence: Recurrence, shapes: Shapes, stages: dict[str, str]) -> None:
    """Move to the end what no step needs, where it and all that it reads may be kept for all steps."""
    needed = set().union(*(names(update) for update in recurrence.updates)) if recurrence.updates else set()
    for let in reversed(recurrence.lets):
        if let.name in needed:
            needed |= names(let.expr)
    axes = {let.name: let.axes for let in recurrence.lets} | {var.name: var.axes for var in recurrence.variables}
    for let in recurrence.lets:
        if stages[let.name] != "step" or let.name in needed or not fits(let.axes, shapes):
            continue
        if all(stages[name] != "step" or fits(axes[name], shapes) for name in names(let.expr)):
            stages[let.name] = "finish"
    for let in reversed(recurrence.lets):
        if stages[let.name] == "step":
            stages |= {name: "step" for name in names(let.expr) if stages[name] == "finish"}


def _kept(recurrence: Recurrence, finish: tuple[Let, ...], stages: dict[str, str]) -> tuple[str, ...]:
    """Names of a step that the end reads, in order of definition."""
    read = set().union(*(names(let.expr) for let in finish)) if finish else set()
    for item in recurrence.outputs + recurrence.totals:
        read |= names(item.expr)
    order = (*recurrence.state_names, *(let.name for let in recurrence.lets))
    return tuple(name for name in order if name in read and stages[name] == "step")
