"""A step as real operations, one a definition, beside tasks: fixed points, and complex systems of equations.

Tasks have a step inside, or several results. For the rest of a step the solution of a task is a variable, and what the
task is given are results. So the passes that take complex values apart, factor sums and order axes know nothing of
tasks; then each becomes one statement."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recc.ir.nodes import Axis, Binary, Const, Expr, Fixpoint, Let, Output, Recurrence, Ref, Size, Solve, Var, formal
from recc.ir.traverse import nodes, substitute
from recc.passes.implicit import split_fixpoints
from recc.passes.lower_kernel_complex import RealParts, real_parts
from recc.passes.lower_kernel_products import factor_sums
from recc.passes.lower_kernel_statements import Statement, expand_reductions
from recc.passes.order_axes import order_axes
from recc.passes.tidy import Namer, drop_unused, expressions, flatten, share, used_names


@dataclass(frozen=True)
class Prepared:
    """A recurrence of real values with one operation a definition, what stands for its variables, and its tasks."""

    flat: Recurrence
    parts: RealParts
    tasks: tuple[Statement, ...]


def prepare(recurrence: Recurrence, ranks: dict[Size, int]) -> Prepared:
    """A step in the form that it is lowered from; `ranks` order its axes."""
    plain, tasks = take_out(drop_unused(recurrence))
    parts = real_parts(plain)
    flat = share(flatten(factor_sums(share(flatten(parts.recurrence)), ranks)))
    flat = drop_unused(expand_reductions(order_axes(flat, ranks)))
    own, statements = put_back(flat, tasks, parts)
    return Prepared(own, parts, statements)


@dataclass(frozen=True)
class Task:
    """A definition that was taken out: the variable that stands for its solution, and the names of the results that it
    is given, each with the axes that it has in the definition."""

    let: Let
    solution: Var
    operands: tuple[tuple[str, tuple[Axis, ...]], ...]


def take_out(recurrence: Recurrence) -> tuple[Recurrence, tuple[Task, ...]]:
    """A recurrence without tasks, but with their solutions as inputs and what they are given as outputs; the same
    object if there are none."""
    if not any(_is_task(node) for expr in expressions(recurrence) for node in nodes(expr)):
        return recurrence, ()
    flat = flatten(split_fixpoints(recurrence))
    namer = Namer(used_names(flat))
    tasks: list[Task] = []
    outputs: list[Output] = []
    lets: list[Let] = []
    for let in flat.lets:
        if not _is_task(let.expr):
            lets.append(let)
            continue
        given = _operands(let.expr)
        made = [_result(namer(f"{let.name}_given"), expr, axes) for expr, axes in given]
        places = tuple((item.name, axes) for item, (_, axes) in zip(made, given, strict=True))
        solution, after = _solution(let, namer)
        tasks.append(Task(let, solution, places))
        outputs += made
        lets += after
    inputs = (*flat.inputs, *(task.solution for task in tasks))
    return replace(flat, inputs=inputs, lets=tuple(lets), outputs=(*flat.outputs, *outputs)), tuple(tasks)


def _is_task(expr: Expr) -> bool:
    return isinstance(expr, Fixpoint) or isinstance(expr, Solve) and expr.kind == "complex"


def _operands(expr: Expr) -> list[tuple[Expr, tuple[Axis, ...]]]:
    """What a task is given, and the axes of each. A start is of the kind of its unknown."""
    if isinstance(expr, Fixpoint):
        start = expr.start
        if expr.kind == "complex" and start.kind != "complex":
            start = Binary("add", start, Const(0j))
        return [(start, expr.unknown.axes), *((let.expr, let.axes) for let in expr.given)]
    assert isinstance(expr, Solve)
    return [(expr.matrix, expr.matrix.axes), (expr.rhs, expr.rhs.axes)]


def _result(name: str, expr: Expr, axes: tuple[Axis, ...]) -> Output:
    sizes = tuple(axis.size for axis in axes)
    places: dict[Axis, Axis | int] = dict(zip(axes, formal(sizes), strict=True))
    return Output(Var(name, sizes, expr.kind == "complex"), substitute(expr, places))


def _solution(let: Let, namer: Namer) -> tuple[Var, list[Let]]:
    """The variable that stands for a solution, and a definition in terms of it unless it has the definition's name."""
    node, is_complex = let.expr, let.kind == "complex"
    if not isinstance(node, Fixpoint):
        return Var(let.name, tuple(axis.size for axis in let.axes), is_complex), []
    if node.index == let.axes:
        return Var(let.name, node.unknown.sizes, is_complex), []
    solution = Var(namer(let.name), node.unknown.sizes, is_complex)
    return solution, [replace(let, expr=Ref(solution.name, node.index, let.kind))]


def put_back(
    recurrence: Recurrence, tasks: tuple[Task, ...], parts: RealParts
) -> tuple[Recurrence, tuple[Statement, ...]]:
    """The recurrence, now of real values, without the inputs and outputs of tasks, and a statement for each task.

    `parts` has the names of the real values that stand for a variable or a result."""
    if not tasks:
        return recurrence, ()
    results = {item.name: item.expr for item in recurrence.outputs}
    statements: list[Statement] = []
    for task in tasks:
        first, *beside = parts.names[task.solution.name]
        operands: list[tuple[Expr, ...]] = []
        for name, axes in task.operands:
            places: dict[Axis, Axis | int] = dict(zip(formal(tuple(axis.size for axis in axes)), axes, strict=True))
            operands.append(tuple(substitute(results[part], places) for part in parts.results[name]))
        own = (first, task.solution.axes, task.let.expr)
        statements.append(Statement(*own, let=task.let, beside=tuple(beside), operands=tuple(operands)))
    solutions = {part for task in tasks for part in parts.names[task.solution.name]}
    given = {part for task in tasks for name, _ in task.operands for part in parts.results[name]}
    inputs = tuple(var for var in recurrence.inputs if var.name not in solutions)
    outputs = tuple(item for item in recurrence.outputs if item.name not in given)
    return replace(recurrence, inputs=inputs, outputs=outputs), tuple(statements)
