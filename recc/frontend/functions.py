"""`def`s: where a file's functions come from, and how a call of one is written out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recc.diagnostics import SpecError
from recc.frontend import syntax
from recc.frontend.parse import parse_file
from recc.frontend.scope import Barrier, Definition, Poison, Scope, Stop
from recc.frontend.values import Value, positional
from recc.ir.nodes import Size

if TYPE_CHECKING:
    from recc.frontend.statements import Statements

Functions = dict[str, "Definition | type[Poison]"]


def functions_of(file: syntax.File, scope: Scope, seen: dict[Path, Functions]) -> Functions:
    """The file's `def`s and those that it imports from files beside it, each with the functions of its own file.

    `seen` holds what other files define, so that files may import from each other."""
    found: Functions = {}
    seen[Path(file.source.path).absolute()] = found
    for definition in file.defs:
        found[definition.name] = Definition(definition, found)
    for item in file.imports:
        others = _imported(file, item, scope, seen)
        for name in item.names:
            if others is None:
                found[name.id] = Poison
            elif name.id in others:
                found[name.id] = others[name.id]
            else:
                hint = scope.suggest(name.id, others) or "only a `def` is imported"
                found[name.id] = Poison
                scope.report("E391", f"`{item.module.id}.rec` defines no function `{name.id}`", name.span, hint=hint)
    return found


def _imported(file: syntax.File, item: syntax.Import, scope: Scope, seen: dict[Path, Functions]) -> Functions | None:
    """The functions of another file; None if it cannot be read."""
    path = Path(file.source.path).parent.joinpath(*item.module.id.split(".")).with_suffix(".rec")
    if path.absolute() in seen:
        return seen[path.absolute()]
    if not path.is_file():
        others = sorted(each.stem for each in path.parent.glob("*.rec")) if path.parent.is_dir() else []
        hint = scope.suggest(path.stem, others) or "a file is imported from the folder that this one stands in"
        scope.report("E391", f"there is no file `{path}` to import from", item.module.span, hint=hint)
        return None
    try:
        return functions_of(parse_file(path), scope, seen)
    except SpecError as error:
        scope.errors += 1
        scope.findings.extend(error.diagnostics)
        return None


def expand(statements: Statements, definition: Definition, args: list[Value], node: syntax.Call) -> tuple[Value, ...]:
    """The values that a `def` returns for these arguments; it sees inputs, params and constants beside them.

    Raises: Stop if something in it is wrong."""
    scope, tree = statements.scope, definition.tree
    if any(tree is other for other in scope.expanding):
        hint = "a `for` repeats its lines a constant number of times"
        scope.fail("E379", f"`{tree.name}` calls itself", node.span, hint=hint)
    outside = scope.bound, scope.declared, scope.indices, scope.renamed, scope.defs, scope.barrier
    names, errors = frozenset({*scope.bound, *scope.later}), scope.errors
    scope.bound, scope.declared, scope.renamed = dict(scope.visible), {}, dict(scope.renamed)
    scope.defs = dict(definition.functions)
    if scope.barrier is None or not scope.barrier.is_start:
        scope.barrier = Barrier(f"`def {tree.name}`", names, "pass it as an argument")
    scope.expanding.append(tree)
    try:
        _bind_arguments(scope, tree.args, args, node)
        scope.indices = {}
        result = statements.run(tree.body)
    finally:
        scope.expanding.pop()
        scope.bound, scope.declared, scope.indices, scope.renamed, scope.defs, scope.barrier = outside
    if scope.errors > errors:
        raise Stop
    if result is None:
        scope.fail("E380", f"`{tree.name}` returns nothing", tree.name_span, hint="end it with `return ...`")
    return tuple(positional(value) for value in result)


def _bind_arguments(scope: Scope, names: tuple[syntax.Arg, ...], values: list[Value], node: syntax.Call) -> None:
    own: dict[str, Size] = {}
    for arg, value, at in zip(names, values, node.args, strict=True):
        if arg.dims is not None and len(arg.dims) != len(value.axes):
            shown = f"[{', '.join(map(str, arg.dims))}]"
            message = f"`{node.func.id}` takes `{arg.name}{shown}` here, but this is {value.describe()}"
            hint = f"it is `{node.func.id}({', '.join(name.name for name in names)})`"
            scope.fail("E381", message, at.span, hint=hint)
        for dim, axis in zip(arg.dims or (), value.axes, strict=False):
            known = _known_size(scope, own, dim)
            if known is not None and scope.extent(known) != scope.extent(axis.size):
                message = f"the size `{dim}` of `{arg.name}` is {known}, but this is {value.describe()}"
                scope.fail("E381", message, at.span, hint="give it what has that size")
            if isinstance(dim, str):
                own[dim] = axis.size
        scope.bound[arg.name] = scope.named(arg.name, value, at.span)
    scope.renamed |= own


def _known_size(scope: Scope, own: dict[str, Size], dim: Size) -> Size | None:
    """What an axis of an argument must agree with: a number, a constant, or the same name in another argument."""
    if isinstance(dim, int) or dim in scope.constants:
        return dim
    return own.get(dim)
