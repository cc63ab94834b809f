"""What is said to a user about a spec: places in a text, findings, and how they are shown."""

from __future__ import annotations

import bisect
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

SHOWN_AT_MOST = 20
_WINDOW = 110
_LONGEST = 500
_TAB = 4


@dataclass(frozen=True)
class Source:
    """A text and what it is called; lines end in a newline, columns count characters."""

    path: str
    text: str = field(repr=False)

    @cached_property
    def line_starts(self) -> list[int]:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def line_number(self, offset: int) -> int:
        """The line of a character offset, from 1."""
        return bisect.bisect_right(self.line_starts, offset)

    def line_bounds(self, line: int) -> tuple[int, int]:
        """Where a line (from 1) starts, and where it ends without its newline."""
        start = self.line_starts[line - 1]
        end = self.line_starts[line] - 1 if line < len(self.line_starts) else len(self.text)
        return start, end


@dataclass(frozen=True)
class Span:
    """A stretch of a source: character offsets, the end exclusive."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.line_number(self.start)

    @property
    def column(self) -> int:
        return self.start - self.source.line_starts[self.line - 1] + 1

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def join(self, other: Span) -> Span:
        """The smallest span that holds both; a span without a source gives way to the other."""
        if self.source is NOWHERE.source or other.source is NOWHERE.source:
            return other if self.source is NOWHERE.source else self
        return Span(self.source, min(self.start, other.start), max(self.end, other.end))


NOWHERE = Span(Source("", ""), 0, 0)


@dataclass(frozen=True)
class Diagnostic:
    """One finding: a code such as `E203`, what is wrong, where, why (`notes`) and the ways out (`hints`)."""

    code: str
    message: str
    span: Span = NOWHERE
    label: str = ""
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    severity: str = "error"


class SpecError(Exception):
    """A spec that cannot be accepted; `str()` shows every finding as the command line does."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return render_all(self.diagnostics)


class Findings:
    """Collects diagnostics, so that one run reports several."""

    def __init__(self) -> None:
        self._found: dict[Diagnostic, None] = {}

    def add(
        self,
        code: str,
        message: str,
        span: Span = NOWHERE,
        label: str = "",
        notes: Sequence[str] = (),
        hints: Sequence[str] = (),
        severity: str = "error",
    ) -> None:
        """Record a finding; the same one at the same place is kept once."""
        self.extend([Diagnostic(code, message, span, label, tuple(notes), tuple(hints), severity)])

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._found.update(dict.fromkeys(diagnostics))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything found so far, in order of place."""
        return tuple(sorted(self._found, key=_place))

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity == "warning")

    @property
    def has_errors(self) -> bool:
        return any(d.severity == "error" for d in self._found)

    def raise_if_any(self) -> None:
        """Raises: SpecError with everything found, if there is an error among it (warnings alone pass)."""
        if self.has_errors:
            raise SpecError(self.diagnostics)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    span = diagnostic.span
    return span.source.path, span.start, span.end, diagnostic.code


def render_all(diagnostics: Sequence[Diagnostic], color: bool = False) -> str:
    """All diagnostics as text, the first 20 in full and the others as a number."""
    blocks = [render(d, color) for d in diagnostics[:SHOWN_AT_MOST]]
    left_out = len(diagnostics) - SHOWN_AT_MOST
    if left_out > 0:
        blocks.append(f"... and {left_out} more finding{'s' if left_out > 1 else ''}, not shown")
    return "\n\n".join(blocks)


def render(diagnostic: Diagnostic, color: bool = False) -> str:
    """A diagnostic as text: headline, place, the lines with carets under the span, notes and hints."""
    tone = "31" if diagnostic.severity == "error" else "33"
    paint = _painter(color)
    headline = paint(f"{diagnostic.severity}[{diagnostic.code}]", f"1;{tone}") + paint(
        f": {_visible(diagnostic.message)}", "1"
    )
    excerpt = [] if diagnostic.span.source is NOWHERE.source else _excerpt(diagnostic.span)
    width = max((len(str(number)) for number, _, _ in excerpt if number), default=1)
    lines = [headline]
    if excerpt:
        span = diagnostic.span
        place = f"{_visible(span.source.path)}:{span.line}:{span.column}"
        lines.append(" " * width + paint("--> ", "34") + place)
        lines.append(" " * width + paint(" |", "34"))
    for at, (number, text, carets) in enumerate(excerpt):
        if not number:
            lines.append("...")
            continue
        lines.append((paint(f"{number:>{width}} |", "34") + " " + text).rstrip())
        label = f" {_visible(diagnostic.label)}" if diagnostic.label and at == len(excerpt) - 1 else ""
        indent = " " * (len(carets) - len(carets.lstrip()))
        lines.append(" " * width + paint(" |", "34") + " " + indent + paint(carets.lstrip() + label, tone))
    for kind, texts in (("note", diagnostic.notes), ("hint", diagnostic.hints)):
        lines += [" " * width + paint(" = ", "34") + paint(kind, "1") + f": {_visible(text)}" for text in texts]
    return "\n".join(lines)


def _painter(color: bool):
    return (lambda text, code: f"\x1b[{code}m{text}\x1b[0m") if color else (lambda text, code: text)


def _excerpt(span: Span) -> list[tuple[int, str, str]]:
    """The lines of a span as (number, text, carets); number 0 stands for lines left out."""
    source, first = span.source, span.line
    last = source.line_number(max(span.start, span.end - 1))
    shown = list(range(first, last + 1)) if last - first < 4 else [first, first + 1, 0, last]
    rows = []
    for number in shown:
        if not number:
            rows.append((0, "", ""))
            continue
        low, high = source.line_bounds(number)
        start = max(span.start, low) if number == first else low + _indentation(source.text, low, high)
        rows.append((number, *_clipped(source.text, low, high, start, min(span.end, high))))
    return rows


def _indentation(text: str, low: int, high: int) -> int:
    at = low
    while at < high and text[at].isspace():
        at += 1
    return at - low


def _clipped(text: str, low: int, high: int, start: int, end: int) -> tuple[str, str]:
    """A line between `low` and `high` as shown, with carets from `start` to `end`; long lines show a window."""
    left, right = low, high
    if high - low > _WINDOW:
        left = max(low, min(start - _WINDOW // 4, high - _WINDOW))
        right = min(high, left + _WINDOW)
    shown, before, under = "..." if left > low else "", 0, 0
    column = before = len(shown)
    for at in range(left, right):
        piece, width = _glyph(text[at], column)
        shown += piece
        column += width
        before += width if at < start else 0
        under += width if start <= at < end else 0
    return shown + ("..." if right < high else ""), " " * before + "^" * max(1, under)


def _glyph(character: str, column: int) -> tuple[str, int]:
    """What is printed for a character that stands at a column, and how many columns it takes."""
    if character == "\t":
        width = _TAB - column % _TAB
        return " " * width, width
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return "\N{REPLACEMENT CHARACTER}", 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return character, 0
    return character, 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _visible(text: str) -> str:
    """Text on one line and of readable length, with nothing in it that a terminal would obey."""
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return "".join(_glyph(character, 0)[0] if character != "\t" else " " for character in text)
