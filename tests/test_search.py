"""Shipped specs by what is known of them: `recc search`, `recc.specs`, `recc new --from`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import recc
import recc.specs
from recc import cache
from recc.catalogue import shipped
from recc.search import QueryError, search


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECC_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "search"))


@pytest.mark.parametrize(
    ("query", "among", "without"),
    [
        ("structure:householder", {"deltanet", "deltaproduct", "kda"}, {"gla", "gru"}),
        ("structure:householder method:scan", {"gated_deltanet"}, {"mamba", "lstm"}),
        ("method:chunkwise structure:householder", {"gated_deltanet", "deltaproduct"}, {"mamba", "lstm"}),
        ("lti complex:yes", {"lru"}, {"ema", "mamba"}),
        ("algebra:(max,+)", {"mlstm", "aaren"}, {"gla"}),
        ('"gated linear attention"', {"gla"}, {"gru"}),
        ("structure:nonlinear -state:c", {"gru"}, {"lstm", "gla"}),
        ("NAME:Mamba", {"mamba", "mamba2"}, {"gla"}),
        ("output:'h' state:h input:x_z", {"gru"}, {"gla"}),
    ],
)
def test_queries(query: str, among: set[str], without: set[str]) -> None:
    found = set(search(query))
    assert among <= found and not without & found


def test_nothing_is_in_everything() -> None:
    assert not search("no_such_thing_anywhere")
    assert set(search("")) == set(shipped())


def test_an_unknown_field_is_an_error_that_names_the_known() -> None:
    with pytest.raises(QueryError, match="'structur' cannot be asked for; name, about, structure"):
        search("structur:householder")


def test_a_damaged_index_is_made_again() -> None:
    before = search("name:gla")
    folder = Path(cache.directory())
    for path in folder.glob("*.json"):
        path.write_text(path.read_text()[:-20])
    assert search("name:gla") == before


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "recc", *words], cwd=folder, capture_output=True, text=True)


def test_the_command(tmp_path: Path) -> None:
    found = run("search", "name:gated_deltanet", folder=tmp_path)
    assert found.returncode == 0 and "sequential, scan" in found.stdout
    nothing = run("search", "zzzz", folder=tmp_path)
    assert nothing.returncode == 1 and "no shipped spec" in nothing.stderr and not nothing.stdout
    wrong = run("search", "colour:red", folder=tmp_path)
    assert wrong.returncode == 2 and "'colour' cannot be asked for" in wrong.stderr


def test_new_from_a_spec(tmp_path: Path) -> None:
    made = run("new", "mine", "--from", "deltaproduct", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "mine.rec").read_text()
    assert text == recc.specs.text("deltaproduct").replace("recurrence deltaproduct", "recurrence mine")
    assert run("check", "mine.rec", folder=tmp_path).stdout == "ok  mine  (mine.rec)\n"
    again = run("new", "mine", "--from", "gla", folder=tmp_path)
    assert again.returncode == 2 and "exists already" in again.stderr
    assert (tmp_path / "mine.rec").read_text() == text


def test_new_from_nothing(tmp_path: Path) -> None:
    missing = run("new", "mine", "--from", "no_such_spec", folder=tmp_path)
    assert missing.returncode == 2 and "no_such_spec" in missing.stderr
    (tmp_path / "bad.rec").write_text("recurrence bad:\n    input x[\n")
    bad = run("new", "mine", "--from", "bad.rec", folder=tmp_path)
    assert bad.returncode == 1 and "bad.rec:2" in bad.stderr
    assert not (tmp_path / "mine.rec").exists()


def test_equations_for_a_paper(tmp_path: Path) -> None:
    found = run("explain", "gla", "--latex", folder=tmp_path)
    assert found.returncode == 0 and r"S \leftarrow e^{gk} \odot S" in found.stdout.replace(r"\text{gk}", "gk")


def test_specs_as_a_module() -> None:
    assert recc.specs.gla is recc.load("gla")
    assert {"gla", "mgu", "path", "text"} <= set(dir(recc.specs))
    assert recc.specs.path("gla").name == "gla.rec"
    with pytest.raises(AttributeError, match="no spec called 'no_such_spec'"):
        recc.specs.no_such_spec  # noqa: B018
