"""The benchmarks run, at sizes that say nothing about speed: what they write is complete, and the page takes it in."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recc.runtime.costs import Rates

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
PAGE = ROOT / "docs" / "performance.md"


def run(script: str, *arguments: str | Path) -> str:
    """Runs a benchmark in a process of its own, where warnings are errors; what it prints."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}
    command = [sys.executable, "-W", "error", str(BENCHMARKS / script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of everything, and the page that was made of them."""
    folder = tmp_path_factory.mktemp("results")
    shutil.copy(PAGE, folder / "page.md")
    run("run.py", "--quick", "--results", folder, "--docs", folder / "page.md")
    return folder


def read(results: Path, name: str) -> Any:
    return json.loads((results / f"{name}.json").read_text())


@pytest.mark.slow
def test_every_recurrence_is_timed_in_both_passes(results: Path) -> None:
    rows = read(results, "scan")["rows"]
    specs = {"linear_scan", "gla", "mamba2", "lru", "mlstm", "deltanet", "gated_deltanet"}
    assert {(row["spec"], row["pass"]) for row in rows} == {(s, p) for s in specs for p in ("forward", "training")}
    for row in rows:
        expected = {"eager", "plain", "sequential", "scan", "auto", "floor"}
        if "deltanet" not in row["spec"]:
            expected.add("associative")
        assert set(row["seconds"]) == expected
        assert all(0 < timing["fastest"] <= timing["median"] <= timing["slowest"] for timing in row["seconds"].values())
        assert all(timing["repetitions"] >= 1 for timing in row["seconds"].values())
        assert row["bytes"] > 0


@pytest.mark.slow
def test_what_is_compared_agrees(results: Path) -> None:
    for row in read(results, "scan")["rows"]:
        assert set(row["errors"]) == set(row["seconds"]) - {"floor"}
        assert all(error < 1e-4 for error in row["errors"].values())
    for row in read(results, "decode")["rows"]:
        assert all(error < 1e-4 for error in row["errors"].values())


@pytest.mark.slow
def test_the_machine_is_described(results: Path) -> None:
    for name in ("scan", "decode"):
        machine = read(results, name)["machine"]
        assert machine["threads"] >= 1 and machine["cores"] >= 1 and machine["torch"] and machine["processor"]


@pytest.mark.slow
def test_modules_keep_less_for_the_backward_pass_than_a_loop(results: Path) -> None:
    kept = {(r["spec"], r["competitor"], r["steps"]): r["saved"] for r in read(results, "memory")["rows"]}
    assert {spec for spec, _, _ in kept} == {"gla", "gru"}
    for (spec, competitor, steps), count in kept.items():
        if competitor != "eager":
            assert 0 < count < kept[spec, "eager", steps] / 2
    assert (results / "memory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_a_module_keeps_is_one_state_a_tile(results: Path) -> None:
    state = 4 * 2 * 32 * 32
    rows = [r for r in read(results, "memory")["rows"] if (r["spec"], r["competitor"]) == ("gla", "sequential")]
    for row in rows:  # and the state at the start
        assert row["saved"] == state * (math.ceil(row["steps"] / 64) + 1)


@pytest.mark.slow
def test_decoding_is_timed(results: Path) -> None:
    rows = read(results, "decode")["rows"]
    assert [row["spec"] for row in rows] == ["gated_deltanet", "gru"]
    assert all(set(row["microseconds"]) == {"eager", "recc"} for row in rows)
    assert all(value > 0 for row in rows for value in row["microseconds"].values())


@pytest.mark.slow
def test_the_page_has_every_number_and_keeps_its_words(results: Path) -> None:
    page = (results / "page.md").read_text()
    assert outside_of_sections(page) == outside_of_sections(PAGE.read_text())
    for name in ("forward", "training"):
        table = section(page, name)
        assert all(f"| {row['spec']} |" in table for row in read(results, "scan")["rows"])
    assert section(page, "memory").count("\n") == 1 + 1 + len(read(results, "memory")["rows"])
    assert section(page, "decode").count("| g") == 2


@pytest.mark.slow
def test_a_page_that_lacks_a_section_is_refused(results: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text().replace("<!-- memory -->", ""))
    with pytest.raises(AssertionError, match="the page has no section memory"):
        run("report.py", "--results", results, "--docs", page)


@pytest.fixture(scope="module")
def cpu_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of `cpu.py` beside those that are kept, and the page that was made of them."""
    folder = tmp_path_factory.mktemp("cpu_results")
    shutil.copytree(BENCHMARKS / "results", folder, dirs_exist_ok=True)
    for old in folder.glob("cpu.*"):
        old.unlink()
    shutil.copy(PAGE, folder / "page.md")
    run("cpu.py", "--quick", "--out", folder / "cpu.json")
    run("report.py", "--results", folder, "--docs", folder / "page.md")
    return folder


@pytest.mark.slow
def test_native_code_is_measured_against_every_competitor(cpu_results: Path) -> None:
    results = read(cpu_results, "cpu")
    rows = {(row["spec"], row["pass"]): row for row in results["rows"]}
    matrices, vectors = {"gated_deltanet", "mlstm", "gla", "deltaproduct"}, {"linear_scan", "rg_lru", "mingru", "mamba"}
    specs = matrices | vectors | {"gru", "lstm"}
    assert set(rows) == {(spec, part) for spec in specs for part in ("forward", "training")}
    for (spec, part), row in rows.items():
        expected = {"eager", "recc torch", "recc"} | ({"add"} if part == "forward" else set())
        expected |= {"chunkwise"} if spec in matrices else {"associative"} if spec in vectors else {"torch.nn"}
        assert expected <= set(row["seconds"])
        assert all(0 < timing["fastest"] <= timing["median"] <= timing["slowest"] for timing in row["seconds"].values())
        assert set(row["errors"]) == set(row["seconds"]) - {"add"}
        assert all(error < 1e-4 for error in row["errors"].values()) and row["failed"] == {}
        best = min(
            row["seconds"][name]["median"] for name in set(row["seconds"]) - {"recc", "recc torch", "add", "numba"}
        )
        assert row["ratio"] == pytest.approx(best / row["seconds"]["recc"]["median"])


@pytest.mark.slow
def test_limits_a_token_building_and_memory_are_measured(cpu_results: Path) -> None:
    results = read(cpu_results, "cpu")
    assert all(results["limits"][name] > 1e8 for name in ("fma", "gemm", "triad"))
    assert results["step"]["microseconds"].keys() >= {"eager", "recc torch", "recc"}
    for row in results["building"]:
        assert set(row["seconds"]) == {"compile", "first", "again", "call"}
        assert row["seconds"]["again"] < row["seconds"]["first"]  # what was built before is found
    kept = {(row["competitor"], row["steps"]): row["saved"] for row in results["memory"]}
    assert all(kept["recc", steps] < kept["eager", steps] / 4 for _, steps in kept)
    assert (cpu_results / "cpu.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_page_shows_native_code(cpu_results: Path) -> None:
    page = (cpu_results / "page.md").read_text()
    assert outside_of_sections(page) == outside_of_sections(PAGE.read_text())
    assert section(page, "cpu failures") == "No competitor failed.\n"
    for row in read(cpu_results, "cpu")["rows"]:
        assert f"| {row['spec']} |" in section(page, f"cpu {row['pass']}")
        share = "triad" if row["flops"] is None else "gemm" if row["spec"] in ("gru", "lstm") else "fma"
        (line,) = [line for line in section(page, "cpu forward").splitlines() if line.startswith(f"| {row['spec']} |")]
        assert line.endswith(f"% {share} |")
        assert f"| {row['spec']}, {row['pass']}, against {row['best']} |" in section(page, "cpu aims")
    assert "GFLOP/s" in section(page, "cpu machine") and "cpu.png" in section(page, "cpu picture")
    assert section(page, "cpu memory").count("| recc |") == 2


FAILING = """
import json, sys
from dataclasses import asdict
sys.path.insert(0, sys.argv[1])
from cpu_contenders import Contender, contenders, in_torch
from cpu_plan import planned
from cpu_report import grids
from cpu_speed import measured
from measure import Effort

def broken(a, x):
    raise RuntimeError("no such operator\\nand more")

known = contenders("linear_scan", 80, "cpu")
found = {name: known[name] for name in ("eager", "recc")}
found |= {name: Contender({"": in_torch(f)}) for name, f in (("wrong", lambda a, x: x), ("broken", broken))}
row = measured(planned("linear_scan", True), found, "forward", Effort(0.0, 2, 2))
row = json.loads(json.dumps(row, default=asdict))
tables = dict(grids({"rows": [row], "building": [], "memory": []}))
print(json.dumps({"row": row, "left out": tables["cpu failures"].rows}))
"""


@pytest.mark.slow
def test_a_competitor_that_fails_is_left_out_and_named() -> None:
    command = [sys.executable, "-c", FAILING, str(BENCHMARKS)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["row"]["seconds"].keys() == {"eager", "recc", "add"} and found["row"]["best"] == "eager"
    assert found["row"]["errors"].keys() == {"eager", "recc"}
    whys = {name: why for _, _, name, why in found["left out"]}
    assert whys.keys() == {"wrong", "broken"}
    assert "wrong is off by" in whys["wrong"] and whys["broken"] == "RuntimeError: no such operator"


@pytest.mark.slow
def test_the_rates_of_the_cost_model_are_measured() -> None:
    printed = run("calibrate.py", "--quick")
    for name in Rates._fields:
        assert re.search(rf"^{name.upper()}_SECONDS = [\d.e-]+  # now [\d.e-]+$", printed, re.MULTILINE)
    for spec in ("linear_scan", "gated_deltanet", "gru"):
        assert re.search(rf"{spec} .* native .* both", printed)


def test_a_case_that_is_not_there_is_refused_in_one_line() -> None:
    command = [sys.executable, str(BENCHMARKS / "cpu.py"), "--only", "gro"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "invalid choice: 'gro'" in done.stderr and "Traceback" not in done.stderr


def test_the_page_is_what_the_results_say(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    shutil.copy(PAGE, page)
    run("report.py", "--docs", page)
    assert page.read_text() == PAGE.read_text()


def section(page: str, name: str) -> str:
    return page.split(f"<!-- {name} -->")[1].split(f"<!-- end {name} -->")[0].strip("\n") + "\n"


def outside_of_sections(page: str) -> str:
    """The page with nothing between its markers."""
    lines, inside = [], False
    for line in page.splitlines():
        inside = inside and not line.startswith("<!-- end ")
        if not inside:
            lines.append(line)
        inside = inside or (line.startswith("<!-- ") and not line.startswith("<!-- end "))
    return "\n".join(lines)
