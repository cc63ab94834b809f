"""The decorator's reader: a Python function as a recurrence, from its source text; the function is never run."""

from __future__ import annotations

import ast
import inspect
import linecache
import warnings
from collections.abc import Callable
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

from recc.diagnostics import NOWHERE, Diagnostic, Findings, Source, Span, SpecError

if TYPE_CHECKING:
    from recc.frontend.python_body import BodyReader
    from recc.frontend.syntax import Def, Recurrence


if TYPE_CHECKING:
    _Anything = Any  # type checkers read the bodies as Python, where these names are operands
else:
    _Anything = object


class _Marker(_Anything):
    """An annotation, which means nothing to Python; the string in it is what a `.rec` file writes after the name."""

    def __class_getitem__(cls, text: str) -> type:
        return cls


class In(_Marker):
    """An input of a recurrence: `q: In["[K]"]`, `g: In["<= 0"]`, or `x: In` for a scalar."""


class Param(_Marker):
    """A parameter, constant in time: `W: Param["[D, D]"]`."""


class State(_Marker):
    """A carried state: `S: State["[K, V]"]`, `m: State["= -inf"]`."""


class Out(_Marker):
    """An output, in the body: `o: Out["[V]"] = q @ S`, or `h: Out` for a name that is assigned elsewhere."""


def read_function(function: Callable[..., Any]) -> tuple[Recurrence, tuple[Def, ...]]:
    """The syntax tree of a function's source, with spans in its file, and the helpers outside of it (there are none).

    Raises SpecError for a function whose source cannot be found or says what is not part of the language.
    """
    from recc.frontend.python_body import BodyReader

    source, node = _find(inspect.unwrap(function))
    findings = Findings()
    recurrence = _recurrence(BodyReader(source, findings), node)
    findings.raise_if_any()
    return recurrence, ()


def _find(function: Callable[..., Any]) -> tuple[Source, ast.FunctionDef]:
    """The file that a function stands in, and its place in it."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise TypeError(f"a recurrence is written as a function, not as {type(function).__name__}")
    path = inspect.getsourcefile(function) or code.co_filename
    linecache.checkcache(path)
    source = Source(path, "".join(linecache.getlines(path, function.__globals__)))
    if not source.text:
        raise _lost(
            f"the source of `{code.co_name}` cannot be found", "write it into a file, or use the text of a `.rec` file"
        )
    for node in ast.walk(_parsed(source, code.co_name)):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        if first == code.co_firstlineno and getattr(node, "name", "<lambda>") == code.co_name:
            return source, _plain_function(source, node)
    raise _lost(f"`{code.co_name}` does not stand in `{path}` as it did when it was imported", "import it again")


def _parsed(source: Source, name: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _lost(f"`{source.path}`, where `{name}` stands, cannot be read as Python", "import it again") from None


def _lost(message: str, hint: str) -> SpecError:
    return SpecError([Diagnostic("E120", message, NOWHERE, hints=(hint,))])


def _plain_function(source: Source, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> ast.FunctionDef:
    if isinstance(node, ast.FunctionDef):
        return node
    start, _ = source.line_bounds(node.lineno)
    word = "async" if isinstance(node, ast.AsyncFunctionDef) else "lambda"
    at = source.text.find(word, start)
    message = f"a recurrence is a plain function, not `{word}`"
    raise SpecError([Diagnostic("E120", message, Span(source, at, at + len(word)))])


def _recurrence(reader: BodyReader, node: ast.FunctionDef) -> Recurrence:
    from recc.frontend import syntax
    from recc.frontend.blocks import check_returns
    from recc.frontend.python_body import def_name

    name_span = def_name(reader, node)
    over, over_spans = _over(reader, node)
    constants, declared = reader.signature(node.args)
    doc = ast.get_docstring(node)
    body = reader.block(node.body if doc is None else node.body[1:])
    recurrence = syntax.Recurrence(
        node.name,
        tuple(constants),
        over,
        doc or "",
        (*declared, *body),
        span=Span(reader.source, reader.span(node).start, name_span.end),
        name_span=name_span,
        over_spans=over_spans,
    )
    check_returns(recurrence.body, reader.findings)
    return recurrence


def _over(reader: BodyReader, node: ast.FunctionDef) -> tuple[tuple[str, ...], tuple[Span, ...]]:
    """What `@recurrence(over=...)` says: one string, names with commas between them, or a tuple of strings."""
    given = [
        keyword.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and reader.span(decorator.func).text.split(".")[-1] == "recurrence"
        for keyword in decorator.keywords
        if keyword.arg == "over"
    ]
    names: list[str] = []
    spans: list[Span] = []
    for value in given:
        for part in value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]:
            text = part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else ""
            for name in (piece.strip() for piece in text.split(",")):
                if not name.isidentifier() or not name.isascii() or iskeyword(name):
                    message = '`over` takes names, as in `over="n"` or `over="i, j"`'
                    reader.findings.add("E122", message, reader.span(part))
                names.append(name)
                spans.append(reader.span(part))
    return tuple(names), tuple(spans)
