"""What is said about bad specs, word for word, and that nothing a user writes ends in anything but a finding."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recc import cli
from recc.compiler import emit
from recc.diagnostics import SpecError
from tests.diagnostics.cases import Case, cases, refusal

HERE = Path(__file__).parent
HEAD = "from recc import In, Out, Param, State, recurrence\n\n\n"
GOOD = """\
recurrence leaky(n=2):
    input  x[n, D], a in (0, 1)
    state  h[D]
    h = a * h + sum(x, axis=n)
    output h
"""


def finding(text: str | Path, **options: Any) -> str:
    """What the compiler says of a bad spec."""
    with pytest.raises(SpecError) as caught:
        emit(text, **options)
    return str(caught.value)


# --- specs that hold what is said about them ---


def test_there_are_many_and_of_every_kind() -> None:
    kinds = {case.path.name.split("_")[0] for case in cases()}
    assert kinds >= {
        "axes",
        "functions",
        "gradients",
        "kinds",
        "later",
        "methods",
        "names",
        "sizes",
        "states",
        "syntax",
    }
    assert len(cases()) >= 100


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.path.stem)
def test_spec(case: Case) -> None:
    assert refusal(case) == case.said


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.path.stem)
def test_every_finding_has_a_place_and_speaks_to_the_user(case: Case) -> None:
    for said in case.said.split("\n\n"):
        headline, *rest = said.splitlines()
        assert re.match(r"(error\[E\d{3}\]|warning\[W\d{3}\]): \S", headline)
        assert rest[0].strip().startswith(f"--> {case.path.name}:") and any("^" in line for line in rest)
        assert not re.search(r"\b(None|Ref|Const|Axis|Value|Poison|Let|tuple\[|object at|NAME|_NEWLINE)\b", headline)


@pytest.mark.parametrize("case", [case for case in cases() if "methods" in case.path.stem], ids=lambda c: c.path.stem)
def test_a_refused_method_is_no_error_without_it(case: Case) -> None:
    assert emit(case.path)


def functions() -> list[Any]:
    """Bad decorated functions: `=== title: method`, the code, `---`, what is said about it."""
    found = []
    for part in HERE.joinpath("functions.txt").read_text(encoding="utf-8").split("=== ")[1:]:
        title, rest = part.split("\n", 1)
        code, said = rest.split("---\n", 1)
        name, _, method = title.partition(": ")
        found.append(pytest.param(code, said.rstrip("\n"), method or "auto", id=name.replace(" ", "-")))
    return found


@pytest.mark.parametrize(("code", "said", "method"), functions())
def test_decorated_function(code: str, said: str, method: str, tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(HEAD + code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("my", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name = re.findall(r"^def (\w+)", code, re.MULTILINE)[0]
    with pytest.raises(SpecError) as caught:
        getattr(module, name).compile(method=method)
    assert str(caught.value).replace(str(path), "my.py") == said


# --- texts that no file can hold in readable form ---


def _write(data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "my.rec"
        path.write_bytes(data)
        return path

    return write


FILES = {
    "empty": (b"", "there is nothing in this file"),
    "blank": (b"\n \n\n", "there is nothing in this file"),
    "comments": (b"# nothing\n", "there is no recurrence in this file"),
    "binary": (bytes(range(256)), "the file is not text: it has a zero byte"),
    "elf": (b"\x7fELF\x02\x01\x01" + b"\x00" * 64, "the file is not text"),
    "utf-16": (GOOD.encode("utf-16"), "the file is UTF-16"),
    "latin-1": (GOOD.replace("leaky", "l\u00e4ky").encode("latin-1"), "byte 0xe4 is not UTF-8"),
    "tabs": (GOOD.replace("    ", "\t").encode(), "this line is indented with a tab"),
    "long-line": (GOOD.replace("sum(x", "sum(x" + " + x" * 250_000).encode(), "10,000 is the most"),
    "long-name": (GOOD.replace("sum(x", "sum(" + "x" * 1_000_000).encode(), "10,000 is the most"),
    "long-blank": (b"recurrence r:\n    input x\n" + b" " * 1_000_000, "`r` has no output"),
    "large": (b"#" * 5_000_000, "a file has at most 4,000,000 bytes"),
    "brackets": (GOOD.replace("sum(x", "(" * 100_000 + "x").encode(), "brackets are nested more than 50 deep"),
    "minus-signs": (GOOD.replace("sum(x", "sum(" + "-" * 5_000 + "x").encode(), "this expression is nested too deeply"),
    "powers": (GOOD.replace("sum(x", "sum(" + "x**" * 1_000 + "x").encode(), "this expression is nested too deeply"),
    "blocks": (
        (GOOD[:55] + "".join("    " * (i + 1) + "if a > 0:\n" for i in range(300))).encode(),
        "nested more than 20 deep",
    ),
    "equations": (GOOD.replace("    output h", "    h = h\n" * 12_000).encode(), "at most 10000 equations"),
    "written-out": (
        GOOD.replace(
            "    h = a", "    for i in 1000:\n        for j in 1000:\n            h = h + x[0]\n    h = a"
        ).encode(),
        "this step has 4,000 equations or more",
    ),
    "rounds": (
        GOOD.replace("    h = a", "    for i in 10**9:\n        h = h + 1\n    h = a").encode(),
        "from 0 to 1,000",
    ),
    "lag": (GOOD.replace("sum(x,", "sum(prev(x, 100000),").encode(), "from 1 to 1,000"),
    "tower": (GOOD.replace("a * h", "9**9**9**9 * h").encode(), "too large"),
    "huge-number": (GOOD.replace("a * h", "1e999 * h").encode(), "this number is too large"),
    "no-value": (GOOD.replace("a * h", "(n / 0) * h").encode(), "`n / 0` has no value"),
}


@pytest.mark.parametrize("name", FILES)
def test_file(name: str, tmp_path: Path) -> None:
    data, message = FILES[name]
    said = finding(_write(data)(tmp_path))
    assert message in said and len(said) < 20_000


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    assert "the file cannot be read" in finding(tmp_path)
    assert "the file cannot be read" in finding(tmp_path / "none.rec")


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_other_line_ends_and_a_mark_at_the_start_are_accepted(end: str, tmp_path: Path) -> None:
    path = _write(b"\xef\xbb\xbf" + GOOD.replace("\n", end).encode())(tmp_path)
    assert "def leaky(" in emit(path)
    bad = _write(GOOD.replace("a * h", "b * h").replace("\n", end).encode())(tmp_path)
    assert "my.rec:4:9" in finding(bad)


# --- imports ---


def test_a_bad_imported_file_is_shown_with_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "erasing.rec").write_text("def erase(S, k): return S - outer(k, k @ @ S)\n")
    spec = _write(b"from erasing import erase\n" + GOOD.replace("a * h", "erase(h, h)").encode())(tmp_path)
    said = finding(spec)
    assert "erasing.rec:1:42" in said and "unknown function" not in said


def test_an_imported_function_brings_those_of_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "erasing.rec").write_text(
        "from my import third\ndef half(x): return third(x) / 2\ndef erase(x): return half(x)\n"
    )
    spec = _write(
        b"from erasing import erase\n" + GOOD.replace("a * h", "erase(h)").encode() + b"def third(x): return x / 3\n"
    )
    assert "def leaky(" in emit(spec(tmp_path))


def test_a_misspelt_import_has_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "erasing.rec").write_text("def erase(x): return x\n")
    text = GOOD.replace("a * h", "erase(h)").encode()
    assert "did you mean `erasing`?" in finding(_write(b"from erazing import erase\n" + text)(tmp_path))
    assert "did you mean `erase`?" in finding(_write(b"from erasing import eraze\n" + text)(tmp_path))


# --- many findings ---


def test_at_most_twenty_findings_are_shown() -> None:
    said = finding(
        GOOD.replace("    output h", "".join(f"    y{i} = unknown{i}\n" for i in range(50)) + "    output h")
    )
    assert said.count("error[") == 20 and said.endswith("... and 30 more findings, not shown")


def test_a_constant_that_the_header_does_not_have() -> None:
    said = finding(GOOD, constants={"m": 3})
    assert "`leaky` has no constant `m`" in said and "its constants are `n`" in said
    assert "`recurrence plain(m=2):` makes it one" in finding(GOOD.replace("leaky(n=2)", "plain"), constants={"m": 3})


def test_a_loop_reports_its_body_once() -> None:
    said = finding(GOOD.replace("    output h", "    for j in 9:\n        h = h + x[j + 2]\n    output h"))
    assert said.count("error[") == 1


def test_a_bad_recurrence_does_not_hide_another() -> None:
    said = finding(GOOD.replace("a * h", "b * h") + GOOD.replace("leaky", "other").replace("a * h", "c * h"))
    assert "unknown name `b`" in said and "unknown name `c`" in said


# --- the command line ---


def run(*arguments: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("case", [case for case in cases()[::9]], ids=lambda case: case.path.stem)
def test_a_failed_command_says_the_same_and_leaves_the_file(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "module.py"
    target.write_text("as it was")
    command, *options = case.arguments
    code = run("compile", case.path, *options, "-o", target)
    errors = capsys.readouterr().err.replace(str(case.path), case.path.name).replace(f"{HERE}/", "")
    assert (code, target.read_text()) == (1, "as it was")
    assert errors.rstrip("\n") == case.said
    assert [path.name for path in tmp_path.iterdir()] == ["module.py"]
    if command == "check":
        assert run("check", case.path) == 1 and capsys.readouterr().out == ""


def test_check_names_what_is_good_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.rec", tmp_path / "bad.rec"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("a * h", "b * h"))
    assert run("check", good, bad) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("ok  leaky") and "bad.rec:4:9" in shown.err
    assert run("check", good) == 0


def test_a_bad_value_on_the_command_line_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = _write(GOOD.encode())(tmp_path)
    for value in ("", "two", "1e999", "nan", "9" * 400, "9" * 5_000, "1+1", "__import__('os')"):
        assert run("compile", spec, "--set", f"n={value}") == 2
        assert "--set" in capsys.readouterr().err
    assert run("compile", spec, "--set", "n=99999999999999999999") == 1
    assert "too large" in capsys.readouterr().err
