"""The results of `cpu.py` as tables, for the terminal and for `docs/performance.md`, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cpu_plan import ADD_AIM, BACKWARD_AIM, BUILD_AIMS, ELEMENTWISE, LAYERS, STEP_AIM

COMPETITORS = ("eager", "chunkwise", "associative", "torch.nn", "jax scan", "jax associative", "numba", "recc torch")
Rows = list[dict[str, Any]]
Part = tuple[str, str]


@dataclass(frozen=True)
class Grid:
    """A table; its first `words` columns are words, the others numbers."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 2


def grids(results: dict[str, Any]) -> Iterator[tuple[str, Grid]]:
    """Every table that there are results for, with the name of its section."""
    for part in ("forward", "training"):
        rows = [row for row in results["rows"] if row["pass"] == part]
        if rows:
            yield f"cpu {part}", speed(rows, part, results.get("limits"))
    failures = [[row["spec"], row["pass"], name, why] for row in results["rows"] for name, why in row["failed"].items()]
    if failures:
        yield "cpu failures", Grid("left out", ("recurrence", "pass", "competitor", "why"), failures, 4)
    aims = list(reached(results))
    if aims:
        yield "cpu aims", Grid("figures to reach", ("", "aim", "measured"), aims, 1)
    if results["memory"]:
        yield "cpu memory", memory(results["memory"])


def speed(rows: Rows, part: str, limits: Any) -> Grid:
    """Medians in milliseconds, the best of torch and JAX in bold, and how many times recc is faster than it; forwards
    also what share of the machine's limit it reaches."""
    known = [name for name in COMPETITORS if any(name in row["seconds"] for row in rows)]
    names = [*known, "recc", *(["add"] if part == "forward" else [])]
    numba = ["numba"] if "numba" in known else []
    known_limits = limits if part == "forward" else None
    cells = [
        [
            row["spec"],
            size(row),
            *(bold(time(row, name), name == row["best"]) for name in names),
            times(row["ratio"]),
            *(versus(row, name) for name in numba),
            *([limited(row, known_limits)] if known_limits else []),
        ]
        for row in rows
    ]
    ratios = ["best/recc", *(f"{n}/recc" for n in numba), *(["recc's share of"] if known_limits else [])]
    return Grid(f"{part}, ms (median)", ["recurrence", "size", *names, *ratios], cells)


def limited(row: dict[str, Any], limits: dict[str, float]) -> str:
    """What is reached of the rate of fused multiply-adds, or of that of matrix products for a layer; where these are
    not what takes the time, of the memory's bandwidth."""
    if row["flops"] is None:
        return f"{row['bytes'] / median(row, 'recc') / limits['triad']:.0%} triad"
    name = "gemm" if row["spec"] in LAYERS else "fma"
    return f"{rate(row) / limits[name]:.0%} {name}"


def versus(row: dict[str, Any], name: str) -> str:
    return times(median(row, name) / median(row, "recc")) if name in row["seconds"] else "-"


def time(row: dict[str, Any], name: str) -> str:
    timing = row["seconds"].get(name)
    if name in row["failed"]:
        return "failed"
    return "-" if timing is None else f"{significant(timing['median'] * 1e3)}{chosen(row, name)}"


def chosen(row: dict[str, Any], name: str) -> str:
    """The chunk size that was the best."""
    label = row["chosen"].get(name) if name == "chunkwise" else None
    return f" ({label})" if label else ""


def bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def size(row: dict[str, Any]) -> str:
    return " x ".join(str(number) for number in row["sizes"].values()) + f", T = {row['steps']}"


def significant(value: float) -> str:
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 1 else f"{ratio:.1f}x"


def reached(results: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each figure that should be reached, and what was measured; in bold if it is reached."""
    by_part = {(row["spec"], row["pass"]): row for row in results["rows"]}
    for (spec, part), row in by_part.items():
        yield (
            f"{spec}, {part}, against {row['best']}",
            f"{row['aim']:g}x",
            bold(times(row["ratio"]), row["ratio"] >= row["aim"]),
        )
    yield from backward(by_part)
    yield from against_limits(by_part, results.get("limits"))
    if "step" in results:
        micros = results["step"]["microseconds"]["recc"]
        yield (
            f"one token of {results['step']['spec']}",
            f"{STEP_AIM:g} us",
            bold(f"{micros:.0f} us", micros <= STEP_AIM),
        )
    titles = {"compile": "`recc compile`", "first": "first call", "again": "first call of the next process"}
    for row in results["building"]:
        for name, aim in BUILD_AIMS.items():
            taken = row["seconds"][name]
            yield f"{titles[name]}, {row['spec']}", f"{aim:g} s", bold(f"{taken:.3f} s", taken <= aim)


def backward(by_part: dict[Part, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """How many forward passes the backward pass of elementwise recurrences takes."""
    for spec in ELEMENTWISE:
        if (spec, "forward") in by_part and (spec, "training") in by_part:
            forward, both = (median(by_part[spec, part], "recc") for part in ("forward", "training"))
            ratio = both / forward - 1
            yield (
                f"{spec}, backward in forward passes",
                f"{BACKWARD_AIM:g}",
                bold(f"{ratio:.1f}", ratio <= BACKWARD_AIM),
            )


def against_limits(by_part: dict[Part, dict[str, Any]], limits: Any) -> Iterator[tuple[str, str, str]]:
    """`linear_scan` against an addition of as many bytes, and the state update against the machine's peak."""
    if ("linear_scan", "forward") in by_part:
        row = by_part["linear_scan", "forward"]
        ratio = median(row, "recc") / median(row, "add")
        yield (
            "linear_scan, forward, in `torch.add` of as many bytes",
            f"{ADD_AIM:g}",
            bold(f"{ratio:.1f}", ratio <= ADD_AIM),
        )
    if ("gated_deltanet", "forward") in by_part and limits:
        share = rate(by_part["gated_deltanet", "forward"]) / limits["fma"]
        yield "gated_deltanet, forward, share of the FMA peak", "50%", bold(f"{share:.0%}", share >= 0.5)


def median(row: dict[str, Any], name: str) -> float:
    return row["seconds"][name]["median"]


def rate(row: dict[str, Any]) -> float:
    """Additions and multiplications a second."""
    return row["flops"] / median(row, "recc")


def memory(rows: Rows) -> Grid:
    head = ("", "steps", "kept", "peak", "T states")
    cells = [
        (row["competitor"], str(row["steps"]), *(mebibytes(row[name]) for name in ("saved", "peak", "states")))
        for row in rows
    ]
    return Grid("training, MiB", head, cells, 1)


def mebibytes(count: int) -> str:
    return f"{count / 2**20:.3g}" if count < 100 * 2**20 else f"{count / 2**20:.0f}"


def about(results: dict[str, Any]) -> str:
    """The machine and what it can do, as a sentence."""
    machine, limits = results["machine"], results["limits"]
    extra = "".join(f", {name} {version}" for name, version in machine["versions"].items() if version)
    clock = "" if machine["clock"] == "wall" else "; processor time, not elapsed time"
    return (
        f"{machine['processor']}, {machine['threads']} threads, load {machine['load']} at the start; "
        f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}{extra}{clock}. "
        f"Fused multiply-adds: {limits['fma'] / 1e9:.0f} GFLOP/s; `torch.mm`: {limits['gemm'] / 1e9:.0f} GFLOP/s; "
        f"triad: {limits['triad'] / 1e9:.1f} GB/s."
    )


def tables(results: dict[str, Any]) -> Iterator[Any]:
    """For the terminal."""
    from rich.table import Table

    for _, grid in grids(results):
        table = Table(*grid.head, title=grid.title)
        for row in grid.rows:
            table.add_row(*(cell.replace("*", "").replace("`", "") for cell in row))
        yield table


def plot(results: dict[str, Any], target: Path) -> None:
    """How many times recc is faster than each competitor, as bars, and the memory of training over steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(17, 6))
    for axis, part in zip(axes, ("forward", "training"), strict=False):
        bars(axis, [row for row in results["rows"] if row["pass"] == part], part)
    curves(axes[2], results["memory"])
    figure.tight_layout()
    figure.savefig(target, dpi=110, metadata={"Software": None})


def bars(axis: Any, rows: Rows, part: str) -> None:
    """One group of bars a recurrence, one bar a competitor."""
    most = max((len(present(row)) for row in rows), default=1)
    shown: set[str] = set()
    for line, row in enumerate(rows):
        for place, name in enumerate(present(row)):
            middle = line + (place - (len(present(row)) - 1) / 2) * 0.85 / most
            label = None if name in shown else name
            ratio = median(row, name) / median(row, "recc")
            axis.barh(middle, ratio, 0.85 / most, color=f"C{COMPETITORS.index(name)}", label=label)
            shown.add(name)
    axis.axvline(1, color="black", linewidth=1)
    axis.set_yticks(range(len(rows)), [row["spec"] for row in rows])
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="times slower than recc", title=part)
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.1))


def present(row: dict[str, Any]) -> list[str]:
    return [name for name in COMPETITORS if name in row["seconds"]]


def curves(axis: Any, rows: Rows) -> None:
    for name in dict.fromkeys(row["competitor"] for row in rows):
        points = [row for row in rows if row["competitor"] == name]
        axis.plot([row["steps"] for row in points], [row["peak"] / 2**20 for row in points], "o-", label=name)
    points = {row["steps"]: row["states"] / 2**20 for row in rows}
    axis.plot(list(points), list(points.values()), "k:", label="T states")
    axis.set(
        xscale="log", yscale="log", xlabel="steps", ylabel="MiB", title="peak of training, gated_deltanet 2 x 32 x 32"
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.1))
