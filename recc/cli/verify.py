"""``recc verify``: every method of the emitted module against the interpreter, on random inputs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recc.catalogue import shipped
from recc.cli.arguments import SPEC_HELP, Settings, check_names, find_spec, parse_settings
from recc.cli.output import CommandLineError, error_console, show_error, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

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
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from recc.diagnostics import SpecError
    from recc.verify import verify

    results: list[Result] = []
    failed = False
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=error_console(), transient=True) as progress:
        for argument, source in sources:
            task = progress.add_task(escape(argument), total=None)

            def advance(done: int, total: int, task=task) -> None:
                progress.update(task, completed=done, total=total)

            try:
                check_names(source, constants)
                results += verify(source, constants=constants, progress=advance)
            except SpecError as error:
                progress.stop()
                show_error(error)
                progress.start()
                failed = True
            progress.remove_task(task)
    return results, failed


WIDTH = 120  # narrower, numbers would be cut short, and a number without its exponent misleads


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
