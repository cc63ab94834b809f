"""The emitted module: equations first, then what walks them over time, then the function that a user calls."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path

from recc.backends.cpu.module import NativeText, print_native
from recc.backends.torch.fixpoint import Fixpoints
from recc.backends.torch.functions import Argument, Context, Result, slots, write
from recc.backends.torch.inlining import (
    CONVOLUTION,
    FIXED_POINTS,
    LANES,
    MODULES,
    NATIVE,
    SHARED_TIME,
    bound_names,
    merged_imports,
    runtime_source,
)
from recc.backends.torch.interface import Choices, pass_costs, print_interface
from recc.backends.torch.names import FRAME, harmless, is_reserved
from recc.backends.torch.program import PrintedProgram, print_program
from recc.backends.torch.promises import promised
from recc.backends.torch.start import print_start
from recc.diagnostics import Diagnostic, Span, SpecError
from recc.ir.nodes import Recurrence, Size
from recc.passes.adjoint import adjoint
from recc.passes.analyse import Analysis, analyse
from recc.passes.cost import PassCost
from recc.passes.guard import guard
from recc.passes.lower_scan import is_scannable
from recc.passes.schedule import Shapes
from recc.passes.tangent import tangent


@dataclass(frozen=True)
class Origin:
    """Where a module comes from, for its header: the spec's path and hash, the version, the command."""

    path: str
    sha256: str
    version: str
    command: str


def emit_module(recurrence: Recurrence, analysis: Analysis, origin: Origin, choices: Choices) -> str:
    """The text of a standalone module that exports the recurrence under its name.

    Raises: SpecError if the recurrence's name is one that the module needs for itself."""
    _, imports, defined = runtime_source(MODULES + CONVOLUTION + NATIVE + LANES + SHARED_TIME + FIXED_POINTS)
    _check_names(recurrence, defined | {name for line in imports for name in bound_names(line)} | OWN_NAMES)
    printed = _printed(recurrence, analysis, choices.backend)
    native, context, fixpoints = printed.native, printed.context, printed.fixpoints
    tangents = tangent(recurrence)
    proved = analyse(tangents) if printed.scanned else None
    linear = print_program(guard(tangents), proved, "tangent", printed.shapes, context)
    programs = {**printed.programs, "tangent": linear}
    promises = _promises(recurrence, context)
    equations = [_section(title, programs[name].text) for name, title in PARTS]
    equations.append(
        _section("Start, and what the spec promises", "\n\n\n".join([print_start(recurrence, context), *promises]))
    )
    native_section = [_section("Native: the same equations in C", native.literal)] if native.source else []
    helpers = _helpers(context.helpers)
    if fixpoints.functions:
        steps = "\n\n\n".join(fixpoints.functions.values())
        helpers.append(_section("Fixed points: what is repeated until it stays as it is", steps))
    wanted = MODULES + FIXED_POINTS * bool(fixpoints.functions) + NATIVE * bool(native.source)
    wanted += LANES * native.lanes + SHARED_TIME * native.shared
    wanted += CONVOLUTION * programs["primal"].convolved
    source, imports, _ = runtime_source(wanted)
    interface = print_interface(recurrence, programs, choices, native)
    runtime = _section("Runtime: walks the equations over time", source)
    body = "\n\n\n".join([*helpers, *equations, runtime, *native_section, interface])
    key = hashlib.sha256(body.encode()).hexdigest()[:16]
    body = body.replace('key="KEY"', f'key="{key}"')
    used = imports | {"import math", "from typing import NamedTuple"}
    head = f"{_docstring(recurrence, origin)}\n\n{merged_imports(used)}"
    return f"{head}\n\n{body}\n"


@dataclass(frozen=True)
class _Printed:
    """What is printed of a recurrence and its adjoint."""

    context: Context
    fixpoints: Fixpoints
    shapes: Shapes
    scanned: bool
    programs: dict[str, PrintedProgram]
    native: NativeText


def _printed(recurrence: Recurrence, analysis: Analysis, backend: str) -> _Printed:
    vectors = tuple(state.var for state in recurrence.states if len(state.var.sizes) == 1)
    shapes = tuple(var.sizes for var in (*recurrence.inputs, *(out.var for out in recurrence.outputs), *vectors))
    context = Context(dict(recurrence.sizes), _ranks(recurrence))
    fixpoints = Fixpoints(context, recurrence.name)
    context = replace(context, solved=fixpoints)
    scanned = is_scannable(analysis)
    primal, derivative = guard(recurrence), guard(adjoint(recurrence))
    known = partial(print_program, shapes=shapes, context=context)
    programs = {
        "primal": known(primal, analysis if scanned else None, "primal", convolved=True),
        "adjoint": known(derivative, analyse(derivative) if scanned else None, "adjoint"),
    }
    summaries = programs["primal"].summaries, programs["adjoint"].summaries
    native = print_native(recurrence, primal, derivative, backend, summaries)
    return _Printed(context, fixpoints, shapes, scanned, programs, native)


def expected_costs(recurrence: Recurrence, analysis: Analysis) -> tuple[PassCost, PassCost]:
    """What a step costs forwards, and backwards with the states that are computed again."""
    printed = _printed(recurrence, analysis, "auto")
    return pass_costs(printed.programs, printed.native)


OWN_NAMES = frozenset({"start", "NATIVE", "promises", "estimate", "NamedTuple"})
PARTS = (
    ("primal", "Equations"),
    ("adjoint", "Adjoint: the gradient, a recurrence that runs backwards in time"),
    ("tangent", "Tangent: directional derivatives"),
)


def _check_names(recurrence: Recurrence, defined: frozenset[str]) -> None:
    """Refuse names that the module needs for itself, where they cannot be changed without the user noticing."""
    found: list[Diagnostic] = []

    def refuse(what: str, name: str, span: Span) -> None:
        message = f"a generated module needs the name `{name}` for itself"
        found.append(Diagnostic("E395", message, span, hints=(f"give the {what} another name",)))

    own = recurrence.name in defined or re.match("(primal|adjoint|tangent|step_of)_", recurrence.name)
    if own or is_reserved(recurrence.name):
        refuse("recurrence", recurrence.name, recurrence.span)
    seen: set[Size] = set()
    for var in recurrence.variables:
        for size in var.sizes:
            if isinstance(size, str) and size not in seen and (is_reserved(size) or size in FRAME):
                refuse("size", size, var.span)
            seen.add(size)
    if found:
        raise SpecError(found)


def _ranks(recurrence: Recurrence) -> dict[Size, int]:
    """The order of sizes in states, then params, inputs and outputs: values keep to it where they can."""
    ranks: dict[Size, int] = {}
    variables = [state.var for state in recurrence.states] + [*recurrence.params, *recurrence.inputs]
    variables.sort(key=lambda var: -len(var.sizes))
    for var in variables + [out.var for out in recurrence.outputs]:
        for size in var.sizes:
            ranks.setdefault(size, len(ranks))
    return ranks


def _section(title: str, text: str) -> str:
    bar = "# " + "-" * 76
    return f"{bar}\n# {title}\n{bar}\n\n\n{text}"


def _docstring(recurrence: Recurrence, origin: Origin) -> str:
    """The module's docstring; what a user wrote is put where it can only be text."""
    about = inspect.cleandoc(recurrence.doc) if recurrence.doc else "a recurrence"
    text = (
        f"{recurrence.name}: {about}\n\n"
        f"Generated by recc {origin.version} from {Path(origin.path).name} (sha256 {origin.sha256[:16]}).\n"
        f"Command: {origin.command}\n"
    )
    return f'"""{harmless(text)}"""'


def _helpers(used: set[str]) -> list[str]:
    if not used:
        return []
    text = files("recc.backends.torch").joinpath("helpers.py").read_text(encoding="utf-8")
    lines = text.splitlines()
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name in used:
            found.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    return found


def _promises(recurrence: Recurrence, context: Context) -> list[str]:
    """A function that checks promised ranges and asserts, for debug mode."""
    tests = promised(recurrence)
    if not tests:
        return []
    arguments = (Argument("inputs", slots(recurrence.inputs)), Argument("params", slots(recurrence.params)))
    body = write(context, (), (tuple(Result(test, test.axes) for _, test in tests),))
    return [body.render("promises", "Whether each promise of the spec holds, elementwise.", arguments)]
