"""What is said about specs that are wrong: every text in `mistakes*.txt`, word for word."""

import importlib.util
from pathlib import Path

import pytest

from recc.diagnostics import SpecError
from recc.frontend.parse import parse_text
from recc.frontend.python import read_function

HERE = Path(__file__).parent
HEAD = "import recc\nfrom recc import In, Out, Param, State\n\n\n"


def cases(name: str) -> list:
    """The parts of a file of the form `=== title`, spec, `---`, what is said about it, an empty line."""
    found = []
    for part in HERE.joinpath(name).read_text(encoding="utf-8").split("=== ")[1:]:
        title, rest = part.split("\n", 1)
        spec, said = rest.split("---\n", 1)
        found.append(pytest.param(spec, said.rstrip("\n"), id=title.replace(" ", "-")))
    return found


@pytest.mark.parametrize(("spec", "said"), cases("mistakes.txt"))
def test_rec(spec: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_text(spec, "my.rec")
    assert str(caught.value) == said


@pytest.mark.parametrize(("code", "said"), cases("mistakes_python.txt"))
def test_python(code: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(HEAD + code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("my", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(SpecError) as caught:
        read_function(module.f)
    assert str(caught.value).replace(str(path), "my.py") == said


def test_there_are_many() -> None:
    assert len(cases("mistakes.txt")) > 100
    assert len(cases("mistakes_python.txt")) > 20


@pytest.mark.parametrize(("spec", "said"), cases("mistakes.txt"))
def test_no_name_of_the_grammar_is_shown(spec: str, said: str) -> None:
    for name in ("NEWLINE", "INDENT", "RPAR", "LSQB", "EQUAL", "NAME", "NUMBER", "KIND", "CMP", "$END", "Token"):
        assert name not in said.replace("DEDENT", "INDENT")
