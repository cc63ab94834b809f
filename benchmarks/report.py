"""Turns the results into tables, and writes them into `docs/performance.md`.

    python benchmarks/report.py [--results DIRECTORY] [--docs FILE]

The text of the page is written by hand; what stands between `<!-- NAME -->` and `<!-- end NAME -->` comes from here.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cpu_report

HERE = Path(__file__).parent
COLUMNS = ("plain", "eager", "associative", "sequential", "scan", "auto", "floor")
AIM, AIMED = 5.0, ("linear_scan", "gla")  # so many times faster than the loop the scan of these should be


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def scan_head() -> list[str]:
    """The titles of the columns of `scan_rows`."""
    return ["recurrence", "size", *COLUMNS, "scan", "auto"]


def scan_rows(path: Path, part: str) -> list[list[str]]:
    """One row a case: medians in milliseconds, and how many times `scan` and `auto` are faster than the eager loop."""
    rows = [row for row in read(path)["rows"] if row["pass"] == part]
    return [
        [
            row["spec"],
            size(row),
            *(milliseconds(row["seconds"].get(name)) for name in COLUMNS),
            *(f"{row['ratios'][name]:.1f}x" for name in ("scan", "auto")),
        ]
        for row in rows
    ]


def milliseconds(timing: dict[str, float] | None) -> str:
    if timing is None:
        return "-"
    value = timing["median"] * 1e3
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def size(row: dict[str, Any]) -> str:
    return " x ".join(str(number) for number in row["sizes"].values())


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 2) -> str:
    """A table; the first `words` columns are words, the others numbers."""
    rule = ["---" if place < words else "---:" for place in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def scan_section(results: Path, part: str) -> str:
    return markdown(scan_head(), scan_rows(results / "scan.json", part))


def verdict(results: Path) -> str:
    """How many times faster the scan is than each loop, for the two plainest recurrences; bold where that is the aim."""  # noqa: E501
    rows = read(results / "scan.json")["rows"]
    cells: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["spec"] in AIMED:
            known = cells.setdefault((row["spec"], size(row)), [])
            known += [faster(row, loop) for loop in ("plain", "eager")]
    head = ["recurrence", "size", "forward, plain", "forward, eager", "training, plain", "training, eager"]
    return markdown(head, [[*key, *ratios] for key, ratios in cells.items()])


def faster(row: dict[str, Any], loop: str) -> str:
    """How many times the scan is faster than a loop, in bold if that reaches the aim."""
    if loop not in row["seconds"]:
        return "-"
    ratio = row["seconds"][loop]["median"] / row["seconds"]["scan"]["median"]
    return f"**{ratio:.1f}x**" if ratio >= AIM else f"{ratio:.1f}x"


def machine_section(results: Path) -> str:
    """What the times were measured on."""
    about = read(results / "scan.json")["machine"]
    clock = "" if about["clock"] == "wall" else "; processor time, not elapsed time"
    return (
        f"{about['processor']}, {about['cores']} cores, {about['threads']} threads, load {about['load']} at the start; "
        f"{about['system']}, Python {about['python']}, torch {about['torch']}{clock}."
    )


def memory_section(results: Path) -> str:
    head = ["recurrence", "", "steps", "arguments", "kept", "kept a step", "peak", "T states"]
    rows = [
        [
            row["spec"],
            row["competitor"],
            str(row["steps"]),
            mebibytes(row["arguments"]),
            mebibytes(row["saved"]),
            f"{row['saved'] / row['steps']:.0f} B",
            mebibytes(row["peak"]),
            mebibytes(row["states"]),
        ]
        for row in read(results / "memory.json")["rows"]
    ]
    return markdown(head, rows)


def mebibytes(count: int) -> str:
    return f"{count / 2**20:.3g}" if count < 100 * 2**20 else f"{count / 2**20:.0f}"


def decode_section(results: Path) -> str:
    rows = [
        [row["spec"], size(row), *(f"{row['microseconds'][name]:.0f}" for name in ("eager", "recc"))]
        for row in read(results / "decode.json")["rows"]
    ]
    return markdown(["recurrence", "size", "by hand", "`step`"], rows)


def cpu_section(results: Path, name: str) -> str:
    """A table of `cpu.py`, or a word on what is to be done if it has not been run."""
    path = results / "cpu.json"
    if not path.exists():
        return "Not measured: `python benchmarks/cpu.py` does it."
    grid = dict(cpu_report.grids(read(path))).get(name)
    return "Not measured." if grid is None else markdown(grid.head, grid.rows, grid.words)


def cpu_failures(results: Path) -> str:
    """The competitors that were left out of a row, and why."""
    path = results / "cpu.json"
    if not path.exists():
        return "Not measured."
    grid = dict(cpu_report.grids(read(path))).get("cpu failures")
    return "No competitor failed." if grid is None else markdown(grid.head, grid.rows, grid.words)


def cpu_machine(results: Path) -> str:
    path = results / "cpu.json"
    return cpu_report.about(read(path)) if path.exists() else "Not measured."


def cpu_picture(results: Path) -> str:
    """The picture that `cpu.py` drew, as the page refers to it."""
    exists = (results / "cpu.png").exists()
    return "![Ratios of times, and memory](../benchmarks/results/cpu.png)" if exists else "No picture yet."


SECTIONS: dict[str, Callable[[Path], str]] = {
    "machine": machine_section,
    "verdict": verdict,
    "forward": lambda results: scan_section(results, "forward"),
    "training": lambda results: scan_section(results, "training"),
    "memory": memory_section,
    "decode": decode_section,
    "cpu machine": cpu_machine,
    "cpu picture": cpu_picture,
    "cpu failures": cpu_failures,
    **{f"cpu {name}": partial(cpu_section, name=f"cpu {name}") for name in ("aims", "forward", "training", "memory")},
}


def filled(page: str, results: Path) -> str:
    """The page with every section replaced. ValueError if it lacks one."""
    for name, section in SECTIONS.items():
        marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not marked.search(page):
            raise ValueError(f"the page has no section {name}")
        text = section(results)
        page = marked.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
    return page


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--results", type=Path, default=HERE / "results", help="where the JSON files are")
    made.add_argument("--docs", type=Path, default=HERE.parent / "docs" / "performance.md", help="the page to renew")
    options = made.parse_args()
    options.docs.write_text(filled(options.docs.read_text(), options.results))


if __name__ == "__main__":
    main()
