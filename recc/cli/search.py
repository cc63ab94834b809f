"""``recc search``: shipped specs by what is known of them."""

import sys
from typing import Annotated

import typer

from recc.cli.output import CommandLineError, show_table


def search(
    query: Annotated[
        list[str], typer.Argument(metavar="QUERY", help="Words, and FIELD:VALUE; all must hold.", show_default=False)
    ],
) -> None:
    """Search the specs that ship with recc by name, text, structure or method. Exits with 1 if nothing is found.

    FIELD is name, about, structure, algebra, method, input, param, state, output, complex or invariant; a word without
    a field is looked for in all of them, and - before a word turns it round.

    Examples:

      recc search structure:householder method:scan

      recc search lti complex:yes

      recc search 'structure:"scalar decay"' -normaliser
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from recc.search import QueryError
    from recc.search import search as found_by

    try:
        found = found_by(" ".join(query))
    except QueryError as error:
        raise CommandLineError(str(error)) from None
    if not found:
        print("no shipped spec has all of that; `recc list` shows every one", file=sys.stderr)
        raise typer.Exit(1)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    for column in ("structure", "methods", "what it is"):
        table.add_column(column)
    for name, facts in found.items():
        cells = ("; ".join(dict.fromkeys(facts["structure"])), ", ".join(facts["method"]), facts["about"][0])
        table.add_row(name, *map(escape, cells))
    show_table(table)
