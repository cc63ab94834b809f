"""What a syntax error is called: the parser's complaint in the user's words, and the way out of common mistakes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from recc.diagnostics import Diagnostic, Source, Span
from recc.frontend.scan import Line
from recc.frontend.signs import (
    ATTRIBUTE_HINT,
    CALL_HINT,
    CHAIN_HINT,
    CHOICE_HINT,
    FOREIGN_WORDS,
    OWN_WORDS,
    PRINT_HINT,
    SLICE_HINT,
    WORD_HINTS,
)

KINDS = ("input", "param", "state", "output")
STARTERS = (*KINDS, "recurrence", "def", "from", "for", "if", "elif", "else", "return", "assert")
_EXPECTED = (
    ({"PLUS", "MUL"}, "an operator"),
    ({"CMP", "_IN"}, "a range"),
    ({"RPAR"}, "`)`"),
    ({"RSQB"}, "`]`"),
    ({"EQUAL"}, "`=`"),
    ({"COLON"}, "`:`"),
    ({"COMMA"}, "`,`"),
    ({"_IN"}, "`in`"),
    ({"_IMPORT"}, "`import`"),
    ({"_NEWLINE"}, "the end of the line"),
    ({"$END"}, "the end"),
    ({"LPAR", "LSQB"}, "`(` or `[`"),
)
_FOUND = re.compile(r'"""|->|[-+*/%@=!<>]=|\*\*|//|[A-Za-z_]\w*|\d[\w.]*|[\s\S]')


@dataclass(frozen=True)
class Failure:
    """Where the parser stopped, what it would have accepted there, and the logical line that it was in."""

    source: Source
    at: int
    limit: int
    expected: frozenset[str]
    line: Line | None
    dedent: bool = False

    @property
    def found(self) -> str:
        """The word or sign that stands there; empty at the end of a line."""
        if self.at >= self.limit or self.source.text[self.at] in "\n#":
            return ""
        match = _FOUND.match(self.source.text, self.at)
        return match.group() if match else ""

    @property
    def after_value(self) -> bool:
        """Whether an expression could end here: the parser no longer expects the operators that could follow it."""
        last = re.search(r"(\w+|[\])])$", self.code.rstrip()[-80:])
        return last is not None and last.group(1) not in OWN_WORDS

    @property
    def starts(self) -> bool:
        return self.line is not None and self.at == self.line.start

    @property
    def code(self) -> str:
        """The logical line up to the failure."""
        return self.source.text[self.line.start if self.line else 0 : self.at]


Saying = tuple[str, str, str]
"""Code, message and hint."""


def explain(failure: Failure) -> Diagnostic:
    """The diagnostic for a syntax error."""
    if failure.source.text[failure.at - 1 : failure.at + 1] == "==":
        failure = replace(failure, at=failure.at - 1, expected=frozenset({"EQUAL"}))
    found = failure.found
    said = next((said for rule in _RULES if (said := rule(failure, found))), None)
    code, message, hint = said or _plain(failure, found)
    span = Span(failure.source, failure.at, failure.at + len(found))
    return Diagnostic(code, message, span, hints=(hint,) if hint else ())


def expected_words(expected: frozenset[str]) -> str:
    """What could have stood in a place: "an operator, `)` or `,`"."""
    words = ["an expression"] if {"NAME", "NUMBER", "LPAR"} <= expected else []
    if not words and "NAME" in expected:
        words = ["a name or a size" if "NUMBER" in expected else "a name"]
    left = set(expected)
    for names, word in _EXPECTED:
        if names <= left and not (words and "LPAR" in names):
            words.append(word)
            left -= names
    if len(words) > 1 and words[-1] == "the end of the line" and "an operator" in words:
        words = [word for word in words if word != "`,`"]
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _plain(failure: Failure, found: str) -> Saying:
    what = f"`{found}`" if found else "the end of the line" if failure.line else "the end"
    expected = expected_words(failure.expected)
    return "E110", f"expected {expected}, found {what}" if expected else f"{what} cannot stand here", ""


def _nothing_computed(failure: Failure, found: str) -> Saying | None:
    if not failure.dedent:
        return None
    return "E110", "there is no equation below this docstring", ""


def _foreign_word(failure: Failure, found: str) -> Saying | None:
    if found not in FOREIGN_WORDS:
        return None
    declares = failure.line is not None and failure.line.first in (*KINDS, "recurrence")
    hint = "choose another name" if declares else WORD_HINTS.get(found, "")
    return "E111", f"`{found}` is a word of Python that is not part of the language", hint


def _top_level(failure: Failure, found: str) -> Saying | None:
    if not failure.starts or failure.line is None or failure.line.indent or not found:
        return None
    if found == "@":
        return "E110", "a decorator stands before a function in a `.py` file", "begin with `recurrence name:`"
    if found == '"""':
        return "E106", "a docstring stands at the start of a recurrence", "`#` starts a comment"
    if found == "recurrence":
        return "E110", "a recurrence needs a name", "begin with `recurrence name:`"
    if found == "import":
        return "E111", "only `from file import name` imports", ""
    if difflib.get_close_matches(found, ["recurrence"]):
        return "E110", f"`{found}` cannot begin a line here", "did you mean `recurrence`?"
    what = "a declaration" if found in KINDS else "an equation" if found.isidentifier() else f"`{found}`"
    return "E110", f"{what} stands outside of a recurrence", "begin with `recurrence name:`, and indent what is in it"


def _declaration_in_block(failure: Failure, found: str) -> Saying | None:
    if not re.search(rf"(?:^|:)\s*(?:{'|'.join(KINDS)}) +$", failure.code) or not re.match("[A-Za-z_]", found):
        return None
    return "E113", "a declaration stands at the level of the recurrence, not inside of a block", ""


def _missing_comma(failure: Failure, found: str) -> Saying | None:
    if failure.line is None or failure.line.first not in KINDS or not re.match("[A-Za-z_]", found):
        return None
    if "COMMA" not in failure.expected or not failure.after_value or "=" in failure.code:
        return None
    return "E110", f"`,` is missing before `{found}`", ""


def _block_in_line(failure: Failure, found: str) -> Saying | None:
    if found in ("import", "from") and failure.line is not None and failure.line.indent:
        return "E110", f"`{found}` stands at the top of a file", ""
    if failure.line is not None and failure.line.first == "recurrence" and failure.expected == {"_NEWLINE"} and found:
        return "E110", "the equations of a recurrence begin on a new line", "indent them by four spaces"
    if found not in ("for", "if", "def") or not failure.code.rstrip().endswith(":"):
        return None
    return "E110", f"`{found}` cannot stand in the line of another block", "begin a new line, indented by four spaces"


def _list(failure: Failure, found: str) -> Saying | None:
    if found != "[" or "NUMBER" not in failure.expected:
        return None
    return "E114", "a list cannot stand here", ""


def _misspelt_start(failure: Failure, found: str) -> Saying | None:
    match = re.fullmatch(r"([A-Za-z_]\w*) +", failure.code)
    if match is None or not re.match(r"[A-Za-z_\d]", found):
        return None
    close = difflib.get_close_matches(match.group(1), STARTERS, 1, 0.7)
    hint = f"did you mean `{close[0]}`?" if close and close[0] != match.group(1) else ""
    return "E110", f"`{match.group(1)}` does not begin a declaration or an equation", hint


def _bare_kind(failure: Failure, found: str) -> Saying | None:
    if failure.line is None or failure.line.first not in KINDS or failure.code.strip() != failure.line.first or found:
        return None
    kind = failure.line.first
    return "E110", f"`{kind}` must be followed by a name", f"for example `{kind} x[K]`"


def _lonely_call(failure: Failure, found: str) -> Saying | None:
    match = re.fullmatch(r"([A-Za-z_]\w*) *", failure.code)
    if match is None or found != "(":
        return None
    name = match.group(1)
    return "E111", f"a call of `{name}` on its own does nothing", PRINT_HINT if name == "print" else CALL_HINT


def _lonely_else(failure: Failure, found: str) -> Saying | None:
    if found not in ("else", "elif"):
        return None
    if failure.starts:
        return "E110", f"`{found}` does not follow an `if` block of the same indentation", ""
    return "E110", f"`{found}` cannot stand here", ""


def _ternary(failure: Failure, found: str) -> Saying | None:
    if found != "if" or not failure.after_value:
        return None
    return "E114", "`if` does not choose inside of an expression", CHOICE_HINT


def _turned_sign(failure: Failure, found: str) -> Saying | None:
    sign = failure.source.text[failure.at - 1 : failure.at + 1]
    if sign == "<>":
        return "E114", "`<>` is not part of the language", "`!=` compares"
    sign = failure.source.text[failure.at : failure.at + 2]
    if sign not in ("=>", "=<"):
        return None
    return "E114", f"`{sign}` is not part of the language", f"write `{sign[::-1]}`"


def _equals(failure: Failure, found: str) -> Saying | None:
    if found == "=" and "EQUAL" not in failure.expected and failure.after_value:
        if failure.line and failure.line.first in ("if", "elif", "assert"):
            return "E114", "`=` assigns, and cannot be a condition", "`==` compares"
        return "E114", "`=` stands once in an equation", "`==` compares; a value of its own goes on a line of its own"
    if found == "==" and "EQUAL" in failure.expected:
        return "E114", "`==` compares, and does not assign", "`=` assigns"
    return None


def _chained(failure: Failure, found: str) -> Saying | None:
    if found not in ("<", "<=", ">", ">=", "==", "!=") or not failure.after_value:
        return None
    return "E114", "comparisons cannot be chained", CHAIN_HINT


def _not_augment(failure: Failure, found: str) -> Saying | None:
    text = failure.source.text[failure.at : failure.at + 3]
    match = re.match(r"(\*\*|//|@|%)=", text)
    if match is None or "AUG" not in failure.expected:
        return None
    name = failure.code.strip()
    return "E114", f"`{match.group()}` is not part of the language", f"write `{name} = {name} {match.group(1)} ...`"


def _colon(failure: Failure, found: str) -> Saying | None:
    if found != ":":
        return ("E110", "`:` is missing", "") if not found and failure.expected == {"COLON"} else None
    if failure.source.text[failure.at : failure.at + 2] == ":=":
        return "E114", "`:=` is not part of the language", "a value of its own goes on a line of its own"
    if re.fullmatch(r"[A-Za-z_]\w* *", failure.code):
        return "E113", "only inputs, params, states and outputs are declared", "leave the type out"
    if "RSQB" in failure.expected or failure.code.rstrip().endswith("["):
        return "E114", "there are no slices", SLICE_HINT
    return None


def _attribute(failure: Failure, found: str) -> Saying | None:
    if found != "." or not failure.after_value:
        return None
    return "E114", "a value has no attributes", ATTRIBUTE_HINT


def _number(failure: Failure, found: str) -> Saying | None:
    if not found[:1].isdigit():
        return None
    match = re.fullmatch(r"(\d+(?:\.\d*)?)([A-Za-z_]\w*)", found)
    if match is None or re.fullmatch(r"0[xXbBoO]\w+|[\d_.]+", found):
        return ("E108", f"`{found}` is not a number", "numbers are decimal") if re.search("[a-zA-Z_]", found) else None
    if "NUMBER" not in failure.expected:
        return None
    return "E108", f"`{found}` is neither a number nor a name", f"write `{match.group(1)} * {match.group(2)}`"


def _docstring(failure: Failure, found: str) -> Saying | None:
    return ("E106", "a docstring stands only at the start of a recurrence or `def`", "") if found == '"""' else None


def _default(failure: Failure, found: str) -> Saying | None:
    if found != "=" or failure.line is None or failure.line.first != "def":
        return None
    return "E110", "the arguments of a `def` have no defaults", ""


_RULES: tuple[Callable[[Failure, str], Saying | None], ...] = (
    _nothing_computed,
    _foreign_word,
    _top_level,
    _declaration_in_block,
    _lonely_else,
    _missing_comma,
    _block_in_line,
    _list,
    _misspelt_start,
    _bare_kind,
    _lonely_call,
    _ternary,
    _default,
    _not_augment,
    _turned_sign,
    _equals,
    _chained,
    _colon,
    _attribute,
    _number,
    _docstring,
)
