"""Every code block of README.md and docs/ does what the page says; `documentation.py` has the kinds of blocks."""

import linecache
import re
from pathlib import Path

import pytest
from documentation import LANGUAGES, PAGES, ROOT, beside_specs, blocks, current, recurrences, run_recc, write_file

import recc

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_generated_blocks_are_current(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    assert text == current(text, beside_specs(tmp_path)), "run `python tests/documentation.py`"


@pages
def test_specs_compile(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page.read_text()):
        write_file(block, tmp_path)
        if block.language == "rec" and block.info != "rec error":
            for name in recurrences(block.text):
                assert f"def {name}(" in recc.compile(block.text, name=name)


@pages
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(beside_specs(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks(page.read_text())):
        write_file(block, tmp_path)
        if block.language == "sh":
            _run_commands(block.text, tmp_path)
        if block.language == "python" and block.emitted is None:
            path = tmp_path / f"block_{number}.py"
            path.write_text(block.text)
            linecache.checkcache(str(path))
            exec(compile(block.text, str(path), "exec"), namespace)


def _run_commands(text: str, folder: Path) -> None:
    for line in text.splitlines():
        command = line.partition("#")[0].strip()
        if command.startswith("./run "):
            assert f"./{command[2:].split()[0]} {command.split()[1]} " in (ROOT / "run").read_text(), command
        elif command.startswith("recc "):
            done = run_recc(command, folder)
            assert done.returncode == 0, f"{command}\n{done.stdout}"
        else:
            assert command.startswith(("pip ", "git ", "cd ")) or not command, f"who runs {command}?"


def test_the_readme_shows_a_shipped_spec() -> None:
    first = blocks((ROOT / "README.md").read_text())[0]
    assert first.text == (ROOT / "specs" / "gated_deltanet.rec").read_text()


@pages
def test_every_block_is_of_a_kind_that_is_tested(page: Path) -> None:
    text = page.read_text()
    found = blocks(text)
    scripts = [script for block in found for script in re.findall(r"^\$ python (\S+)", block.text, re.MULTILINE)]
    assert all((ROOT / script).is_file() for script in scripts), scripts
    assert 2 * len(found) == len(re.findall(r"^\s*```", text, re.MULTILINE))
    assert {block.language for block in found} <= LANGUAGES


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
