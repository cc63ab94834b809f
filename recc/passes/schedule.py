"""When to compute what: once a call, for all steps at once, step by step, or for all steps at once afterwards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from recc.ir.build import refold, spread
from recc.ir.nodes import Arange, Axis, Expr, Let, Output, Recurrence, Ref, Size, formal
from recc.ir.traverse import canonical, map_exprs, names, rewrite
from recc.passes.implicit import split_fixpoints
from recc.passes.tidy import Namer, flatten, merge, share, used_names

Shapes = tuple[tuple[Size, ...], ...]
STAGES = ("constants", "prepare", "step", "finish")


@dataclass(frozen=True)
class Schedule:
    """A recurrence whose definitions are dealt out to four stages, in the order in which they run.

    `kept` are the names of a step (definitions, or states on entry) that the end reads; they are stored for all steps,
    and so are inputs and what `prepare` makes: none is larger than an input, an output or a state of one axis of the
    user's recurrence, unless the recurrence asks for it to be summed over time."""

    recurrence: Recurrence
    constants: tuple[Let, ...]
    prepare: tuple[Let, ...]
    step: tuple[Let, ...]
    finish: tuple[Let, ...]
    kept: tuple[str, ...]


def schedule(recurrence: Recurrence, shapes: Shapes) -> Schedule:
    """Deal the definitions out; `shapes` are the sizes of which one value a step may be kept for all steps.

    In `h = sigmoid(z) * h + x; output o = tanh(h)`, the sigmoid is prepared and the tanh taken at the end."""
    recurrence = name_elements(name_positions(name_results(fill_axes(split_fixpoints(recurrence)))))
    recurrence = share(flatten(recurrence, products=True))
    stages = _before(recurrence, shapes)
    recurrence = _name_large_totals(recurrence, shapes, stages)
    _after(recurrence, shapes, stages)
    return _dealt(recurrence, stages)


def fits(axes: tuple[Axis, ...], shapes: Shapes) -> bool:
    """Whether a value with these axes is no larger than one of the shapes."""
    sizes = Counter(axis.size for axis in axes)
    return not sizes or any(sizes <= Counter(shape) for shape in shapes)


def fill_axes(recurrence: Recurrence) -> Recurrence:
    """Give every definition all of its name's axes: what is reduced must have its places, not stand for them."""
    lets = tuple(replace(let, expr=spread(let.expr, let.axes)) for let in recurrence.lets)
    return replace(recurrence, lets=lets)


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


def name_elements(recurrence: Recurrence) -> Recurrence:
    """Give elements of inputs and params names: `k[0]` becomes `k_0`, taken for all steps at once."""
    variables = {var.name: var for var in recurrence.inputs + recurrence.params}
    namer = Namer(used_names(recurrence))
    made: dict[tuple[str, tuple], Let] = {}

    def rule(node: Expr) -> Expr:
        if not (isinstance(node, Ref) and node.name in variables and any(isinstance(i, int) for i in node.index)):
            return node
        places = tuple(item if isinstance(item, int) else None for item in node.index)
        axes = tuple(item for item in node.index if isinstance(item, Axis))
        if len(set(axes)) < len(axes):
            return node
        if (node.name, places) not in made:
            own = formal(tuple(axis.size for axis in axes))
            rest = iter(own)
            index = tuple(next(rest) if place is None else place for place in places)
            base = "_".join([node.name, *(str(place) for place in places if place is not None)])
            made[node.name, places] = Let(namer(base), own, Ref(node.name, index, node.kind))
        return Ref(made[node.name, places].name, axes, node.kind)

    rewritten = map_exprs(recurrence, lambda expr: rewrite(expr, rule))
    return replace(rewritten, lets=tuple(made.values()) + rewritten.lets)


def name_results(recurrence: Recurrence) -> Recurrence:
    """Give outputs that are expressions a name, so that they are computed in a stage like everything else."""
    defined = {item.name for item in recurrence.lets + recurrence.variables}
    namer = Namer(used_names(recurrence) - {out.name for out in recurrence.outputs} | defined)
    lets: list[Let] = []

    def named(item: Output) -> Output:
        is_number = not item.expr.axes and not names(item.expr)
        if is_number or isinstance(item.expr, Ref) and item.expr.index == item.var.axes:
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


def _name_large_totals(recurrence: Recurrence, shapes: Shapes, stages: dict[str, str]) -> Recurrence:
    """A total of what is too large to be kept for all steps is computed step by step itself."""
    axes = _axes_of(recurrence)
    namer = Namer(used_names(recurrence))
    lets: list[Let] = []

    def named(item: Output) -> Output:
        if all(stages[name] != "step" or fits(axes[name], shapes) for name in names(item.expr)):
            return item
        let = Let(namer(f"{item.name}_t"), item.var.axes, item.expr, temporary=True)
        stages[let.name] = "step"
        lets.append(let)
        return replace(item, expr=let.ref())

    totals = tuple(named(item) for item in recurrence.totals)
    return replace(recurrence, totals=totals, lets=recurrence.lets + tuple(lets))


def _axes_of(recurrence: Recurrence) -> dict[str, tuple[Axis, ...]]:
    axes = {var.name: var.axes for var in recurrence.variables}
    return axes | {let.name: let.axes for let in recurrence.lets}


def _after(recurrence: Recurrence, shapes: Shapes, stages: dict[str, str]) -> None:
    """Move to the end what no step needs, where it and all that it reads may be kept for all steps."""
    needed = set().union(*(names(update) for update in recurrence.updates)) if recurrence.updates else set()
    for let in reversed(recurrence.lets):
        if let.name in needed:
            needed |= names(let.expr)
    axes = _axes_of(recurrence)
    for let in recurrence.lets:
        if stages[let.name] != "step" or let.name in needed or not fits(let.axes, shapes):
            continue
        if all(stages[name] != "step" or fits(axes[name], shapes) for name in names(let.expr)):
            stages[let.name] = "finish"
    for let in reversed(recurrence.lets):
        if stages[let.name] == "step":
            stages |= {name: "step" for name in names(let.expr) if stages[name] == "finish"}


def _dealt(recurrence: Recurrence, stages: dict[str, str]) -> Schedule:
    """Each stage's definitions, with temporaries that do not leave their stage merged into their use."""
    results = (*recurrence.updates, *(item.expr for item in recurrence.outputs + recurrence.totals))
    reads = {stage: [let for let in recurrence.lets if stages[let.name] == stage] for stage in STAGES}
    exported = frozenset(name for result in results for name in names(result))
    for stage in STAGES:
        outside = frozenset(name for let in reads[stage] for name in names(let.expr) if stages[name] != stage)
        exported |= outside
    lets: dict[str, tuple[Let, ...]] = {}
    for stage in STAGES:
        merged, _ = merge(tuple(reads[stage]), (), exported)
        lets[stage] = tuple(replace(let, expr=canonical(rewrite(let.expr, refold))) for let in merged)
    kept = _kept(recurrence, lets["finish"], stages)
    ordered = tuple(let for stage in STAGES for let in lets[stage])
    return Schedule(replace(recurrence, lets=ordered), *(lets[stage] for stage in STAGES), kept=kept)


def _kept(recurrence: Recurrence, finish: tuple[Let, ...], stages: dict[str, str]) -> tuple[str, ...]:
    """Names of a step that the end reads, in order of definition."""
    read = set().union(*(names(let.expr) for let in finish)) if finish else set()
    for item in recurrence.outputs + recurrence.totals:
        read |= names(item.expr)
    order = (*recurrence.state_names, *(let.name for let in recurrence.lets))
    return tuple(name for name in order if name in read and stages[name] == "step")
