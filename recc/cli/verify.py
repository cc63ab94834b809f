"""``recc verify``: every method of the emitted module against the interpreter, on random inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recc.catalogue import shipped
from recc.cli.arguments import SPEC_HELP, Settings, check_names, find_spec, parse_settings
from recc.cli.output import CommandLineError, error_console, show_error, show_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress
    from rich.table import Table

    from recc.diagnostics import SpecError
    from recc.verify import Result


def verify_specs(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC", help=SPEC_HELP, show_default=False)] = [],  # noqa: B006
    every: Annotated[bool, typer.Option("--all", help="All the specs that ship with recc.")] = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Verify specs: outputs, states and gradients of each method against the float64 interpreter.

    Inputs are random, in the ranges that the spec declares.

    Examples:

      recc verify my.rec

      recc verify deltaproduct --set n=3

      recc verify --all
    """
    constants = parse_settings(settings)
    if every == bool(specs):
        raise CommandLineError("name one spec or more, or give --all")
    arguments = list(shipped()) if every else specs
    sources = [(argument, find_spec(argument)) for argument in arguments]
    results, failed = _run(sources, constants)
    if results:
        show_table(_table(results), least=WIDTH)
    if failed or not all(result.passed for result in results):
        raise typer.Exit(1)


def _run(sources: "Sequence[tuple[str, str | Path]]", constants: dict[str, int | float]) -> "tuple[list[Result], bool]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from recc.diagnostics import SpecError

    results: list[Result] = []
    failed = False
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=error_console(), transient=True) as progress:
        for found in _found(sources, constants, progress):
            if isinstance(found, SpecError):
                progress.stop()
                show_error(found)
                progress.start()
                failed = True
            else:
                results += found
    return results, failed


def _found(
    sources: "Sequence[tuple[str, str | Path]]", constants: dict[str, int | float], progress: "Progress"
) -> "Iterator[list[Result] | SpecError]":
    """The results of each source, or what is wrong with it; one that is alone shows its cases on the bar."""
    from rich.markup import escape

    from recc.diagnostics import SpecError
    from recc.verify.together import verify_each, verify_one

    good: list[tuple[str, str | Path]] = []
    for argument, source in sources:
        try:
            check_names(source, constants)
            good.append((argument, source))
        except SpecError as error:
            yield error
    if len(good) == 1:
        ((argument, source),) = good
        task = progress.add_task(escape(argument), total=None)
        yield verify_one(source, constants, lambda done, total: progress.update(task, completed=done, total=total))
        return
    task = progress.add_task("specs", total=len(good))
    for found in verify_each([source for _, source in good], constants):
        progress.advance(task)
        yield found


WIDTH = 132  # narrower, numbers would be cut short, and a number without its exponent misleads


def _table(results: "Sequence[Result]") -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("recurrence", "method", "backend", "dtype"):
        table.add_column(column, no_wrap=True)
    for column in ("cases", "error", "gradient error", "allowed", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for row in results:
        numbers = f"{row.cases}", f"{row.error:.1e}", f"{row.gradient_error:.1e}", f"{row.tolerance:.0e}"
        verdict = "[green]pass[/]" if row.passed else f"[red]FAIL[/] {escape(row.detail)}"
        table.add_row(row.recurrence, row.method, row.backend, row.dtype, *numbers, f"{row.seconds:.2f}", verdict)
    return table
