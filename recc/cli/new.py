"""``recc new``: a commented spec to start from."""

import keyword
from pathlib import Path
from typing import Annotated

import typer

from recc.cli.arguments import find_spec
from recc.cli.output import CommandLineError, check_target, show_text, write_file

TEMPLATE = '''\
recurrence {name}:
    """One line on what this is, with its source (Author 2025)."""
    # Per step. Capitals are symbolic sizes: equal names are equal sizes. Batch, time and heads are never written.
    input  q[K], k[K], v[V]
    input  g <= 0, beta in (0, 1)         # scalars, with what is promised of them
    # param W[K, K]                       # constant in time, and learnable
    state  S[K, V]                        # carried from step to step; zero at first unless `= ...`

    # One equation a line. On entry `S` is its value after the previous step.
    S = exp(g) * S
    S = S + beta * outer(k, v - k @ S)
    output o[V] = q @ S
'''


def new(
    name: Annotated[str, typer.Argument(help="What the recurrence is called.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where it goes; NAME.rec by default.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="SPEC", help="Start from this spec instead: a file or a shipped name."),
    ] = None,
) -> None:
    """Write a commented spec to start from: a gated delta rule, or a copy of another spec; it compiles as it is.

    Examples:

      recc new my_memory

      recc new my_delta --from gated_deltanet

      recc new my_memory -o specs/my_memory.rec
    """
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise CommandLineError(f"{name!r} cannot be a recurrence's name: letters, digits and _, as in Python")
    path = output or Path(f"{name}.rec")
    check_target(path)
    if path.exists() or path.is_symlink():
        raise CommandLineError(f"{path} exists already, and stays as it is")
    write_file(path, TEMPLATE.format(name=name) if source is None else _renamed(source, name))
    show_text(f"wrote {path}; try: recc check {path}\n")


def _renamed(argument: str, name: str) -> str:
    """The text of a spec whose only, or first, recurrence is called `name`. Raises SpecError if the spec is bad."""
    from recc.frontend.parse import parse_file, parse_text

    source = find_spec(argument)
    file = parse_file(source) if isinstance(source, Path) else parse_text(source, "<stdin>")
    if not file.recurrences:
        raise CommandLineError(f"there is no recurrence in {argument}")
    if file.imports:
        raise CommandLineError(f"{argument} reads other files beside it; copy it by hand, with them")
    span, text = file.recurrences[0].name_span, file.source.text
    return text[: span.start] + name + text[span.end :]
