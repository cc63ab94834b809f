"""The first look at a text: characters, brackets, strings and indentation, before any grammar.

What a person gets wrong here (a tab, a `β`, a bracket never closed) would make a grammar complain about something else.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from recc.diagnostics import Findings, Source, Span
from recc.frontend.signs import SIGN_HINTS, SPELLED, foreign_name

MAX_BRACKETS = 50
MAX_BLOCKS = 20
MAX_LINE = 10_000
MAX_LINES = 10_000

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<doc>\"\"\"[\s\S]*?\"\"\")
      | (?P<string>(?:\"\"\"|''')[\s\S]*|"[^"\n]*"?|'[^'\n]*'|')
      | (?P<newline>\n)
      | (?P<blank>[ \t\f]+)
      | (?P<word>\w+)
      | (?P<open>[(\[{])
      | (?P<close>[)\]}])
      | (?P<plain>->|!=|[-+*/%@<>=,:.])
      | (?P<odd>&&|\|\||[\s\S])""",
    re.VERBOSE,
)
_CLOSES = {")": "(", "]": "[", "}": "{"}
_HEADERS = ("recurrence", "def", "for", "if", "elif", "else", "while")


@dataclass
class Line:
    """A logical line: offsets of its code, the indentation, and its first word and last sign."""

    start: int
    end: int
    indent: int
    first: str
    last: str
    bad: bool = False


@dataclass
class Scan:
    """What the scanner saw: logical lines, and whether a grammar can make sense of what is left."""

    lines: list[Line] = field(default_factory=list)
    fatal: bool = False


def scan(source: Source, start: int, end: int, findings: Findings) -> Scan:
    """Look through `source.text[start:end]`, reporting into `findings`; lines with findings are marked `bad`."""
    scanner = _Scanner(source, findings)
    scanner.run(start, end)
    if not scanner.result.fatal:
        _check_blocks(scanner.result, source, findings)
    return scanner.result


class _Scanner:
    def __init__(self, source: Source, findings: Findings) -> None:
        self.source = source
        self.findings = findings
        self.result = Scan()
        self.open: list[tuple[str, int, bool]] = []
        self.line: Line | None = None
        self.indent: str | None = ""
        self.tabs: list[int] = []
        self.length = 0

    def run(self, start: int, end: int) -> None:
        at = start
        while at < end and not self.result.fatal:
            match = _TOKEN.match(self.source.text, at, end)
            assert match is not None and match.lastgroup is not None
            getattr(self, f"_{match.lastgroup}")(match.group(), at)
            at = match.end()
        if self.open and not self.result.fatal:
            bracket, where, _ = self.open[0]
            self._report("E105", f"`{bracket}` is never closed", where, where + 1)
            self.result.fatal = True
        self._end_line()
        self._report_tabs()

    def _report(self, code: str, message: str, start: int, end: int, hint: str = "", note: str = "") -> None:
        span = Span(self.source, start, end)
        self.findings.add(code, message, span, notes=(note,) if note else (), hints=(hint,) if hint else ())
        if self.line is not None:
            self.line.bad = True

    def _code(self, text: str, at: int) -> None:
        """Note a piece of code: it belongs to the present logical line, or begins one."""
        if self.line is None:
            indent = self.indent or ""
            if "\f" in indent:
                self._report("E103", "a form feed stands before code", at - len(indent), at)
            if "\t" in indent:
                self.tabs.append(at - len(indent) + indent.index("\t"))
            self.line = Line(at, at, len(indent), text, text)
            self.length = 0
            self._count_line(at)
        self.line.end, self.line.last = at + len(text), text
        self.length += len(text)

    def _count_line(self, at: int) -> None:
        assert self.line is not None
        self.result.lines.append(self.line)
        if len(self.result.lines) > MAX_LINES:
            self._report("E107", f"a file has at most {MAX_LINES} equations", at, self.source.text.find("\n", at))
            self.result.fatal = True

    def _end_line(self) -> None:
        if self.line is not None and self.length > MAX_LINE:
            length = f"{self.length:,}"
            message = f"this line has {length} characters of code; {MAX_LINE:,} is the most"
            self._report("E107", message, self.line.start, self.line.end, "give parts of it names")
        self.line, self.indent = None, ""

    def _report_tabs(self) -> None:
        if self.tabs:
            at, others = self.tabs[0], len(self.tabs) - 1
            note = "" if not others else "one more line is too" if others == 1 else f"{others} more lines are too"
            self._report("E104", "this line is indented with a tab", at, at + 1, "indent with four spaces", note)
            self.result.fatal = True

    def _comment(self, text: str, at: int) -> None:
        pass

    def _newline(self, text: str, at: int) -> None:
        if not self.open:
            self._end_line()

    def _blank(self, text: str, at: int) -> None:
        if self.line is None:
            self.indent = text

    def _doc(self, text: str, at: int) -> None:
        self._code('"""', at)
        assert self.line is not None
        self.line.end = at + len(text)

    def _plain(self, text: str, at: int) -> None:
        self._code(text, at)

    def _word(self, text: str, at: int) -> None:
        self._code(text, at)
        if not text.isascii():
            message, hint = foreign_name(text)
            self._report("E103", message, at, at + len(text), hint)

    def _open(self, text: str, at: int) -> None:
        after_in = self.line is not None and self.line.last == "in"
        self._code(text, at)
        if text == "{":
            self._report("E103", "`{` is not part of the language", at, at + 1, SIGN_HINTS[text])
        self.open.append((text, at, after_in))
        if len(self.open) > MAX_BRACKETS:
            message = f"brackets are nested more than {MAX_BRACKETS} deep"
            self._report("E107", message, at, at + 1, "give parts of it names")
            self.result.fatal = True

    def _close(self, text: str, at: int) -> None:
        self._code(text, at)
        if not self.open:
            self._report("E105", f"`{text}` closes nothing", at, at + 1)
            return
        bracket, where, after_in = self.open.pop()
        half_open = after_in and bracket + text in ("(]", "[)")
        if bracket != _CLOSES[text] and not half_open:
            line = self.source.line_number(where)
            message = f"`{text}` does not close the `{bracket}` before it"
            note = f"`{bracket}` was opened in line {line}, column {Span(self.source, where, where).column}"
            self._report("E105", message, at, at + 1, note=note)
            self.result.fatal = True

    def _string(self, text: str, at: int) -> None:
        starts = self.line is None
        self._code(text, at)
        shown = text.split("\n", 1)[0]
        if text[:3] == '"""':
            self._report("E106", "this docstring is never closed", at, at + 3, 'it ends with `"""`')
            self.result.fatal = True
        elif text == "'":
            self._report("E103", "`'` is not part of the language", at, at + 1, SIGN_HINTS[text])
        else:
            hint = 'a docstring stands in `"""`' if starts else "`#` starts a comment"
            self._report("E106", "strings are not part of the language", at, at + len(shown), hint)
            self.result.fatal = "\n" in text

    def _odd(self, text: str, at: int) -> None:
        if text[0] in "\r\v\x1c\x1d\x1e\x85" or unicodedata.category(text[0]) in ("Zs", "Zl", "Zp", "Cf", "Cc", "Cs"):
            self._invisible(text, at)
            return
        self._code(text, at)
        hint = SIGN_HINTS.get(text, "")
        if spelling := SPELLED.get(text):
            hint = f"write `{spelling}`"
        what = "a backtick" if text == "`" else f"`{text}`"
        self._report("E103", f"{what} is not part of the language", at, at + len(text), hint)

    def _invisible(self, text: str, at: int) -> None:
        self._code(text, at)
        name = unicodedata.name(text, "").lower() or "a control character"
        message = f"an invisible character stands here (U+{ord(text):04X}, {name})"
        self._report("E103", message, at, at + 1, "delete it" if text.strip() else "write a plain space")


def _check_blocks(result: Scan, source: Source, findings: Findings) -> None:
    """Compare the indentation of the lines with the blocks that they open; stops at the first that does not fit."""
    blocks, previous = [0], None
    end_of_file = Line(0, 0, -1, "", "")
    for line in [*result.lines, end_of_file]:
        problem = _block_problem(blocks, previous, line)
        if problem is not None:
            code, message, (start, end), hint = problem
            findings.add(code, message, Span(source, start, end), hints=(hint,) if hint else ())
            result.fatal = True
            return
        previous = line


def _block_problem(blocks: list[int], before: Line | None, line: Line) -> tuple[str, str, tuple[int, int], str] | None:
    """Enter or leave blocks for a line; code, message, place and hint of what is wrong with its indentation."""
    place = (line.start, line.end)
    if before is not None and before.last == ":":
        if line.indent <= before.indent:
            message = f"an indented block must follow this `{before.first}`"
            return "E104", message, (before.start, before.end), "indent its lines by four spaces"
        blocks.append(line.indent)
        if len(blocks) > MAX_BLOCKS:
            return "E107", f"blocks are nested more than {MAX_BLOCKS} deep", place, ""
    elif line.indent > blocks[-1]:
        if before is not None and before.first in _HEADERS:
            return "E110", "`:` is missing at the end of this line", (before.end, before.end), ""
        return "E104", "this line is indented more than the one before it", place, ""
    while blocks[-1] > max(line.indent, 0):
        blocks.pop()
    if blocks[-1] != line.indent and line.indent >= 0:
        levels = " or ".join(str(level) for level in blocks)
        hint = f"indent it by {levels} spaces, or as the line before it"
        return "E104", f"this line is indented by {line.indent}, as no block above it is", place, hint
    return None
