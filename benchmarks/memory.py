"""How much memory training takes as sequences grow: emitted modules against autograd through the eager loop.

    python benchmarks/memory.py [--quick] [--out FILE]

Writes the numbers as JSON, and beside it a PNG. Every number comes from a fresh process (`memory_step.py`); this one
stays small and imports no torch, as a child's peak is never below what its parent had when it was started.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

HERE = Path(__file__).parent
WORD = 4  # bytes of a float32


@dataclass(frozen=True)
class Curve:
    """One recurrence; its state has `state` elements in a row."""

    spec: str
    sizes: dict[str, int]
    state: int
    competitors: tuple[str, ...]


CURVES = (
    Curve("gla", {"B": 1, "H": 2, "K": 32, "V": 32}, 2 * 32 * 32, ("eager", "sequential", "scan")),
    Curve("gru", {"B": 1, "D": 64}, 64, ("eager", "sequential")),
)
STEPS = tuple(2**power for power in (10, 12, 14, 16))
QUICK_STEPS = (64, 256)


def measure(curve: Curve, competitor: str, steps: int) -> dict[str, Any]:
    """One row of the results. CalledProcessError if the measuring process fails."""
    command = [
        sys.executable,
        str(HERE / "memory_step.py"),
        curve.spec,
        competitor,
        str(steps),
        json.dumps(curve.sizes),
    ]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    row = {"spec": curve.spec, "sizes": curve.sizes, "competitor": competitor, "steps": steps}
    return {**row, **json.loads(output), "states": steps * curve.state * WORD}


def plot(rows: list[dict[str, Any]], target: Path) -> None:
    """Kept bytes and peak against the number of steps, one column a recurrence."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(CURVES), figsize=(5 * len(CURVES), 7), sharex=True, squeeze=False)
    titles = {"saved": "kept for the backward pass", "peak": "peak of forward and backward"}
    for column, curve in enumerate(CURVES):
        for line, (quantity, title) in enumerate(titles.items()):
            axis = axes[line][column]
            for competitor in curve.competitors:
                chosen = [r for r in rows if (r["spec"], r["competitor"]) == (curve.spec, competitor)]
                axis.plot([r["steps"] for r in chosen], [r[quantity] / 2**20 for r in chosen], "o-", label=competitor)
            chosen = [r for r in rows if r["spec"] == curve.spec and r["competitor"] == "eager"]
            axis.plot([r["steps"] for r in chosen], [r["states"] / 2**20 for r in chosen], "k:", label="T states")
            axis.set(xscale="log", yscale="log", title=f"{curve.spec}: {title}", ylabel="MiB")
            axis.grid(alpha=0.3)
        axes[1][column].set_xlabel("steps")
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(target, dpi=120, metadata={"Software": None})


def show(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table("recurrence", "", "steps", "arguments", "kept", "kept per step", "peak", "T states", title="MiB")
    for row in rows:
        sizes = (f"{row[key] / 2**20:.2f}" for key in ("arguments", "saved"))
        per_step = f"{row['saved'] / row['steps']:.0f} B"
        rest = (f"{row[key] / 2**20:.1f}" for key in ("peak", "states"))
        table.add_row(row["spec"], row["competitor"], str(row["steps"]), *sizes, per_step, *rest)
    console.print(table)


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--quick", action="store_true", help="short sequences, to see that it runs")
    made.add_argument("--out", type=Path, default=HERE / "results" / "memory.json", help="the JSON file to write")
    options = made.parse_args()
    console, rows = Console(), []
    steps = QUICK_STEPS if options.quick else STEPS
    wanted = [(curve, name, count) for curve in CURVES for name in curve.competitors for count in steps]
    with Progress(console=console) as progress:
        task = progress.add_task("", total=len(wanted))
        for curve, name, count in wanted:
            progress.update(task, description=f"{curve.spec} {name} {count}")
            rows.append(measure(curve, name, count))
            progress.advance(task)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"quick": options.quick, "rows": rows}, indent=1) + "\n")
    show(rows, console)
    plot(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
