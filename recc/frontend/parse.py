"""The reader of `.rec` text: a syntax tree, or everything that is wrong with the text in the user's words."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
from contextlib import suppress
from importlib import resources
from typing import Any

from recc import cache
from recc.diagnostics import Findings, Source, Span
from recc.frontend import syntax
from recc.frontend.blocks import FileBuilder, check_returns
from recc.frontend.build import TooDeep, Tree
from recc.frontend.mistakes import Failure, explain
from recc.frontend.scan import Line, Scan, scan

MAX_BYTES = 4_000_000
_MAX_REPAIRS = 20
# lark keeps the indentation that it has seen in the parser itself, so one text is parsed at a time.
_LOCK = threading.Lock()


def parse_file(path: str | os.PathLike[str]) -> syntax.File:
    """The syntax tree of a `.rec` file. Raises SpecError, also for a file that cannot be read or is not text."""
    path = os.fspath(path)
    findings = Findings()
    nowhere = Span(Source(path, ""), 0, 0)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        findings.add("E100", f"the file cannot be read: {reason.lower()}", nowhere)
        findings.raise_if_any()
        raise
    text = _decode(data, path, findings)
    findings.raise_if_any()
    return parse_text(text, path)


def parse_text(text: str, path: str = "<text>") -> syntax.File:
    """The syntax tree of a `.rec` text. Raises SpecError with all that was found."""
    source = Source(path, text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
    findings = Findings()
    tree = _file_tree(source, findings)
    findings.raise_if_any()
    builder = FileBuilder(source, findings)
    try:
        file = builder.file(tree)
    except TooDeep as error:
        findings.add("E107", "this expression is nested too deeply", error.span, hints=("give parts of it names",))
        findings.raise_if_any()
        raise
    for recurrence in file.recurrences:
        check_returns(recurrence.body, findings)
    if not file.recurrences and not file.defs:
        what = "there is nothing in this file" if not text.strip() else "there is no recurrence in this file"
        findings.add("E102", what, Span(source, 0, 0), hints=("begin with `recurrence name:`",))
    findings.raise_if_any()
    return file


def parse_annotation(source: Source, start: int, end: int, findings: Findings) -> Tree | None:
    """The parser's tree of what stands after a name, in `source.text[start:end]`; its positions are from `start`."""
    seen = Findings()
    scan(source, start, end, seen)
    findings.extend(seen.diagnostics)
    if seen.has_errors:
        return None
    from lark.exceptions import UnexpectedInput

    try:
        return _parse(source.text[start:end], "annotation")
    except UnexpectedInput as error:
        findings.extend([explain(_failure(error, source, start, end, None))])
        return None


def _decode(data: bytes, path: str, findings: Findings) -> str:
    nowhere = Span(Source(path, ""), 0, 0)
    if len(data) > MAX_BYTES:
        findings.add("E107", f"a file has at most {MAX_BYTES:,} bytes", nowhere)
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        findings.add("E101", "the file is UTF-16", nowhere, hints=("save it as UTF-8",))
    elif b"\0" in data:
        findings.add("E101", "the file is not text: it has a zero byte", nowhere)
    else:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
            place = Span(Source(path, before + "\ufffd"), len(before), len(before) + 1)
            message = f"byte {data[error.start]:#04x} is not UTF-8"
            findings.add("E101", message, place, hints=("save the file as UTF-8",))
    return ""


@functools.cache
def _parser() -> Any:
    """The parser; its tables, which take longer to make than most texts to compile, are kept beside emitted modules."""
    from lark import Lark, __version__
    from lark.indenter import PythonIndenter

    grammar = resources.files("recc.frontend").joinpath("grammar.lark").read_text(encoding="utf-8")
    known = hashlib.sha256(f"{grammar}{__version__}{sys.version_info[:2]}".encode()).hexdigest()[:32]
    tables = cache.directory() / f"grammar_{known}.tables"
    made = tables if tables.exists() else tables.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        tables.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    parser = Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        start=["start", "annotation"],
        postlex=PythonIndenter(),
        propagate_positions=True,
        cache=str(made),
    )
    if made != tables:
        with suppress(OSError):
            os.replace(made, tables)  # whole or not at all, whoever else is at it
    return parser


def _parse(text: str, rule: str) -> Tree:
    with _LOCK:
        return _parser().parse(text.replace("\t", " ").replace("\f", " "), start=rule)


def _file_tree(source: Source, findings: Findings) -> Tree | None:
    """Parse the text; after an error, put something harmless in place of its line and go on."""
    from lark.exceptions import UnexpectedInput

    layout = scan(source, 0, len(source.text), findings)
    if layout.fatal:
        return None
    # The indenter counts the spaces after the last line break, and a comment there has some.
    text: str | None = source.text + "\n"
    for line in layout.lines:
        text = _without(text, line) if text is not None and line.bad else text
    for _ in range(_MAX_REPAIRS):
        if text is None:
            return None
        try:
            return _parse(text, "start")
        except UnexpectedInput as error:
            failure = _failure(error, source, 0, len(source.text), layout)
            findings.extend([explain(failure)])
            text = None if failure.line is None else _without(text, failure.line)
    return None


def _without(text: str, line: Line) -> str | None:
    """The text with a line replaced by something of the same length that the grammar accepts in its place."""
    code = text[line.start : line.end]
    if line.last == ":":
        other = {"else": "else:", "elif": "elif 0:", "def": "def f():", "recurrence": "recurrence x:"}
        harmless = other.get(line.first, "if 0:" if line.indent else "recurrence x:")
    else:
        harmless = "x=0" if line.indent else ""
    if len(harmless) > len(code) or harmless == code:
        return None
    kept = "".join("\n" if character == "\n" else " " for character in code[len(harmless) :])
    return text[: line.start] + harmless + kept + text[line.end :]


def _failure(error: Any, source: Source, start: int, end: int, layout: Scan | None) -> Failure:
    """What the parser's exception says, with places in the source."""
    token = getattr(error, "token", None)
    kind = getattr(token, "type", "")
    at = end if kind == "$END" else start + error.pos_in_stream
    expected = frozenset(getattr(error, "accepts", None) or getattr(error, "allowed", None) or error.expected)
    line = next((line for line in reversed(layout.lines) if line.start <= at), None) if layout else None
    if kind == "_NEWLINE" and line is not None:
        at = end = line.end
    return Failure(source, at, end, expected, line, dedent=kind == "_DEDENT")
