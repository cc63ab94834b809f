"""``recc check``, ``recc explain`` and ``recc list``: what there is to know about a spec without compiling it."""

from pathlib import Path
from typing import Annotated

import typer

from recc.cli.arguments import (
    Settings,
    SizeSettings,
    SpecArgument,
    SpecArguments,
    check_names,
    find_spec,
    parse_settings,
    parse_sizes,
)
from recc.cli.output import CommandLineError, show_error, show_table, show_text


def check(specs: SpecArguments, settings: Settings = []) -> None:  # noqa: B006
    """Check specs: one line for each good recurrence, and everything that is wrong with the others.

    Examples:

      recc check my.rec

      recc check specs/*.rec
    """
    from recc.compiler import front
    from recc.diagnostics import SpecError

    constants = parse_settings(settings)
    failed = False
    for argument, source in [(argument, find_spec(argument)) for argument in specs]:
        try:
            check_names(source, constants)
            for recurrence in front(source, constants).recurrences:
                show_text(f"ok  {recurrence.name}  ({argument})\n")
        except SpecError as error:
            show_error(error)
            failed = True
    if failed:
        raise typer.Exit(1)


def explain(
    spec: SpecArgument,
    json: Annotated[bool, typer.Option("--json", help="For programs: the same as JSON.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="For a paper: the equations of a step, as LaTeX.")] = False,
    sizes: SizeSettings = [],  # noqa: B006
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads, for the times at --sizes.")] = 1,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Explain a spec: structure, proofs and refusals, the methods it admits with their costs, and the choice.

    With --sizes: how long every method and backend should take at these sizes, and which of them `auto` takes.

    Examples:

      recc explain gru

      recc explain deltaproduct --set n=3 --json

      recc explain gla --sizes T=4096,B=8,H=4,K=64,V=64
    """
    from recc.compiler import SizesError, analyse

    source, constants, known = find_spec(spec), parse_settings(settings), parse_sizes(sizes)
    check_names(source, constants)
    if latex:
        show_text(_equations(source))
        return
    report = analyse(source, constants)
    try:
        expected = report.expected(known, threads) if known else None
    except SizesError as error:
        raise CommandLineError(f"--sizes: {error}") from None
    text = report.text() if expected is None else expected.text()
    show_text((report.json(expected) if json else text).rstrip("\n") + "\n")


def _equations(source: str | Path) -> str:
    from recc.frontend.parse import parse_file, parse_text
    from recc.typeset import latex

    file = parse_file(source) if isinstance(source, Path) else parse_text(source, "<stdin>")
    return "\n".join(map(latex, file.recurrences))


def list_specs() -> None:
    """List the specs that ship with recc. Each name can be used wherever a SPEC is asked for."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from recc.catalogue import shipped

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    for name, path in shipped().items():
        table.add_row(name, escape(_first_line(path)))
    show_table(table)


def _first_line(path: Path) -> str:
    from recc.frontend.parse import parse_file

    doc = next((recurrence.doc for recurrence in parse_file(path).recurrences if recurrence.doc), "")
    return doc.strip().partition("\n")[0]
