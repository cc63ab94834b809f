"""The compiler's order of work, and nothing else.

    source  --front-->  Recurrence  --analyse-->  proofs  --lower_scan-->  levels  --emit_module-->  text

Every arrow is a pure function of one type to the next; this file alone knows the order."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recc.backends.torch.interface import Choices
from recc.backends.torch.module import Origin, emit_module
from recc.diagnostics import Diagnostic, Findings, SpecError
from recc.expectation import SizesError as SizesError
from recc.frontend import syntax
from recc.frontend.parse import parse_file, parse_text
from recc.frontend.python import read_function
from recc.frontend.resolve import resolve
from recc.ir.nodes import Fixpoint, Recurrence
from recc.passes.analyse import Analysis, Refusal
from recc.passes.analyse import analyse as prove
from recc.passes.lower_convolution import NoConvolution, convolution_of
from recc.passes.lower_scan import is_scannable
from recc.report import Report

Source = str | Path | Callable[..., Any]
METHODS = ("auto", "sequential", "scan", "convolution")
BACKENDS = ("auto", "torch", "cpu")


@dataclass(frozen=True)
class Module:
    """The recurrences of one source, in order, and what was remarked about them."""

    recurrences: tuple[Recurrence, ...]
    path: str
    text: str
    warnings: tuple[Diagnostic, ...] = ()


def front(source: Source, constants: dict[str, int | float] | None = None, name: str | None = None) -> Module:
    """Read a spec: a text, a path, or a Python function (whose source is read; it is never run).

    `constants` replace values of the headers; each must belong to every recurrence that is read. `name` picks one.
    Raises: SpecError with everything that is wrong."""
    file = _tree(source)
    wanted = [tree for tree in file.recurrences if name is None or tree.name == name]
    if not wanted:
        known = ", ".join(f"`{tree.name}`" for tree in file.recurrences)
        message = f"there is no recurrence `{name}` in {file.source.path}" if name else "there is no recurrence here"
        raise SpecError([Diagnostic("E396", message, hints=(f"there is {known}",) if known else ())])
    findings = Findings()
    recurrences = []
    for tree in wanted:
        try:
            recurrences.append(resolve(tree, file, constants, findings))
        except SpecError as error:
            findings.extend(error.diagnostics)
    findings.raise_if_any()
    return Module(tuple(recurrences), file.source.path, file.source.text, findings.warnings)


def _tree(source: Source) -> syntax.File:
    if isinstance(source, Path):
        return parse_file(source)
    if isinstance(source, str):
        return parse_text(source)
    tree, defs = read_function(source)
    return syntax.File((), defs, (tree,), tree.name_span.source)


def emit(
    source: Source,
    *,
    name: str | None = None,
    constants: dict[str, int | float] | None = None,
    method: str = "auto",
    backend: str = "auto",
    command: str = "",
) -> str:
    """The text of a module for one recurrence: the first of the source, or the one called `name`.

    `method` and `backend` become the defaults of the emitted function. Raises: SpecError for a bad spec, and for a
    method that the spec does not admit, with the culprit; ValueError for an unknown method or backend."""
    _known("method", method, METHODS)
    _known("backend", backend, BACKENDS)
    module = front(source, constants, name)
    recurrence = module.recurrences[0]
    analysis = prove(recurrence)
    refused = analysis.refusals[0] if analysis.refusals else None
    if method == "scan" and not is_scannable(analysis):
        raise SpecError([refusal_finding(refused, recurrence)])
    convolution = convolution_of(recurrence)
    if method == "convolution" and isinstance(convolution, NoConvolution):
        raise SpecError([convolution_finding(convolution, recurrence, is_scannable(analysis))])
    report = Report(recurrence, analysis)
    refusals = _refusal_text(refused, analysis), _convolution_text(convolution)
    choices = Choices(method, backend, *refusals, report.text())
    origin = Origin(_origin_path(source, module), _digest(module.text), _version(), command or _command(recurrence))
    return emit_module(recurrence, analysis, origin, choices)


def analyse(source: Source, constants: dict[str, int | float] | None = None, name: str | None = None) -> Report:
    """What `explain` says of a spec's first recurrence, or of the one called `name`."""
    recurrence = front(source, constants, name).recurrences[0]
    return Report(recurrence, prove(recurrence))


def refusal_finding(refused: Refusal | None, recurrence: Recurrence) -> Diagnostic:
    """Why a recurrence has no scan, at the place in the spec that prevents it."""
    if refused is None:
        return Diagnostic("E204", f"`{recurrence.name}` has no scan", recurrence.span)
    implicit = isinstance(refused.culprit, Fixpoint)
    reason = "is solved by repetition" if implicit else f"is not affine in `{refused.state}`"
    message = f"`{refused.state}` cannot be updated in parallel: its update {reason}"
    return Diagnostic("E203", message, refused.culprit.span, refused.reason, hints=(refused.hint,))


def convolution_finding(refused: NoConvolution, recurrence: Recurrence, scannable: bool) -> Diagnostic:
    """Why a recurrence has no convolution, at the place in the spec that prevents it."""
    message = f"`{recurrence.name}` cannot be solved by convolutions: a step is not linear with fixed coefficients"
    hint = f"`--method {'scan' if scannable else 'sequential'}` accepts it"
    return Diagnostic("E205", message, refused.culprit.span, refused.reason, hints=(hint,))


def _convolution_text(found: object) -> str:
    return f"{found.text} is {found.reason}" if isinstance(found, NoConvolution) else ""


def _refusal_text(refused: Refusal | None, analysis: Analysis) -> str:
    if is_scannable(analysis):
        return ""
    return f"{refused.state}: {refused.reason}" if refused else "its updates are closed, but not in a scannable algebra"


def _known(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{what}: expected one of {', '.join(known)}, got {value!r}")


def _origin_path(source: Source, module: Module) -> str:
    if callable(source) and not isinstance(source, Path):
        return inspect.unwrap(source).__code__.co_filename
    return module.path


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _command(recurrence: Recurrence) -> str:
    return f"recc.load({recurrence.name!r})"


def _version() -> str:
    from recc import __version__

    return __version__
