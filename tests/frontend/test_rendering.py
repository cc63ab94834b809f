"""How findings are shown, collected and raised."""

import pickle

import pytest

from recc.diagnostics import NOWHERE, Diagnostic, Findings, Source, Span, SpecError, render


def at(text: str, marked: str, path: str = "my.rec") -> Span:
    """The first place of `marked` in a text."""
    start = text.index(marked)
    return Span(Source(path, text), start, start + len(marked))


def shown(text: str, marked: str, label: str = "") -> str:
    """The excerpt alone, without the headline and the place."""
    return "\n".join(render(Diagnostic("E1", "m", at(text, marked), label)).split("\n")[3:])


def test_the_form_of_the_design() -> None:
    text = "\n" * 13 + "    S = tanh(a * S) + outer(k, v)\n"
    diagnostic = Diagnostic(
        "E203",
        "`S` cannot be updated in parallel: its update is not affine in `S`",
        at(text, "tanh(a * S)", "specs/my.rec"),
        "`tanh` of a value that depends on the previous `S`",
        ("everything else in this update is affine",),
        ("`--method sequential` and `--method newton` accept it",),
    )
    assert (
        render(diagnostic)
        == """\
error[E203]: `S` cannot be updated in parallel: its update is not affine in `S`
  --> specs/my.rec:14:9
   |
14 |     S = tanh(a * S) + outer(k, v)
   |         ^^^^^^^^^^^ `tanh` of a value that depends on the previous `S`
   = note: everything else in this update is affine
   = hint: `--method sequential` and `--method newton` accept it"""
    )


def test_colour_changes_nothing_but_colour() -> None:
    diagnostic = Diagnostic("E1", "m", at("a b c", "b"), "l", ("n",), ("h",), "warning")
    colored = render(diagnostic, color=True)
    assert "\x1b[1;33mwarning[E1]\x1b[0m" in colored
    for code in ("0", "1", "33", "34", "1;33"):
        colored = colored.replace(f"\x1b[{code}m", "")
    assert colored == render(diagnostic)


def test_without_a_place() -> None:
    assert render(Diagnostic("E1", "m", hints=("h",))) == "error[E1]: m\n  = hint: h"


def test_several_lines() -> None:
    text = "a = f(x,\n      y,\n\n      z) + 1\n"
    assert (
        shown(text, "f(x,\n      y,\n\n      z)", "here")
        == """\
1 | a = f(x,
  |     ^^^^
2 |       y,
  |       ^^
3 |
  | ^
4 |       z) + 1
  |       ^^ here"""
    )


def test_many_lines() -> None:
    text = "".join(f"line{number}\n" for number in range(1, 13))
    assert (
        shown(text, text[6:-3])
        == """\
 2 | line2
   | ^^^^^
 3 | line3
   | ^^^^^
...
12 | line12
   | ^^^^"""
    )


@pytest.mark.parametrize(
    ("text", "marked", "lines"),
    [
        ("\tx = y", "y", "1 |     x = y\n  |         ^"),
        ("ab\tx", "x", "1 | ab  x\n  |     ^"),
        ("漢字 = x", "x", "1 | 漢字 = x\n  |        ^"),
        ("x = 漢字", "漢字", "1 | x = 漢字\n  |     ^^^^"),
        ("e\u0301 = x", "x", "1 | e\u0301 = x\n  |     ^"),
        ("\x1b[31m x", "x", "1 | \ufffd[31m x\n  |       ^"),
        ("\u202e x", "x", "1 | \ufffd x\n  |   ^"),
    ],
)
def test_carets_stand_below_what_they_mark(text: str, marked: str, lines: str) -> None:
    assert shown(text, marked) == lines


def test_an_empty_span_has_a_caret() -> None:
    assert render(Diagnostic("E1", "m", Span(Source("p", "ab\n"), 2, 2))).endswith("1 | ab\n  |   ^")


def test_nothing_controls_the_terminal() -> None:
    text = render(Diagnostic("E1", "a\x1b[2Jb\nc", at("x", "x", "p\x1b.rec"), "l\x07", ("n\r",), ("h\u2028",)))
    assert not set(text) & set("\x1b\x07\r\u2028")
    assert "a\ufffd[2Jb\ufffdc" in text


def test_a_long_line_is_a_window() -> None:
    text = "a + " * 250_000 + "BAD" + " + a" * 250_000
    excerpt = shown(text, "BAD", "here").split("\n")
    assert all(len(line) < 130 for line in excerpt)
    assert excerpt[0].startswith("1 | ...") and excerpt[0].endswith("...")
    assert excerpt[0][excerpt[1].index("^") :].startswith("BAD")
    assert excerpt[1].endswith("^^^ here")


def test_a_long_message_is_cut() -> None:
    assert len(render(Diagnostic("E1", "m" * 1_000_000, hints=("h" * 1_000_000,)))) < 1100


def test_places() -> None:
    source = Source("p", "ab\ncd\n\nef")
    assert [(Span(source, start, start).line, Span(source, start, start).column) for start in (0, 2, 3, 6, 7, 9)] == [
        (1, 1),
        (1, 3),
        (2, 1),
        (3, 1),
        (4, 1),
        (4, 3),
    ]
    first, last = Span(source, 0, 1), Span(source, 7, 9)
    assert first.join(last) == last.join(first) == Span(source, 0, 9)
    assert first.join(NOWHERE) == NOWHERE.join(first) == first
    assert last.text == "ef"


def test_findings_come_in_order_and_once() -> None:
    text = "a b c"
    findings = Findings()
    for marked in "cabac":
        findings.add("E1", marked, at(text, marked))
    with pytest.raises(SpecError) as caught:
        findings.raise_if_any()
    assert [diagnostic.message for diagnostic in caught.value.diagnostics] == ["a", "b", "c"]
    assert str(caught.value) == "\n\n".join(render(diagnostic) for diagnostic in findings.diagnostics)


def test_warnings_alone_do_not_raise() -> None:
    findings = Findings()
    findings.add("W1", "careful", severity="warning")
    findings.raise_if_any()
    assert not findings.has_errors
    assert [warning.message for warning in findings.warnings] == ["careful"]
    findings.add("E1", "wrong")
    with pytest.raises(SpecError, match="careful"):
        findings.raise_if_any()


@pytest.mark.parametrize(
    ("count", "last"), [(20, ""), (21, "... and 1 more finding, not shown"), (25, "... and 5 more")]
)
def test_twenty_are_shown(count: int, last: str) -> None:
    text = str(SpecError(Diagnostic("E1", f"number {number}") for number in range(count)))
    assert text.count("error[E1]") == 20
    assert last in text.split("\n\n")[-1]
    assert "not shown" in text or count == 20


def test_an_error_survives_another_process() -> None:
    error = SpecError([Diagnostic("E1", "m", at("a b", "b"))])
    copy = pickle.loads(pickle.dumps(error))
    assert copy.diagnostics == error.diagnostics and str(copy) == str(error)
