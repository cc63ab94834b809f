"""``recc compile``: a spec in, a module out."""

import gc
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from recc.cli.arguments import Backend, Method, Settings, SpecArgument, check_names, find_spec, parse_settings
from recc.cli.output import check_target, show_text, write_file


def compile_spec(
    spec: SpecArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where the module goes; without it, standard output."),
    ] = None,
    method: Annotated[Method, typer.Option(help="How time is run through; auto takes the cheapest.")] = Method.auto,
    backend: Annotated[Backend, typer.Option(help="What the module computes with.")] = Backend.auto,
    settings: Settings = [],  # noqa: B006
    name: Annotated[
        str | None, typer.Option(help="Which recurrence, if the file has several.", show_default=False)
    ] = None,
) -> None:
    """Compile a spec to a standalone PyTorch module.

    Examples:

      recc compile deltaproduct.rec -o deltaproduct.py

      recc compile deltaproduct --set n=3 --method scan -o deltaproduct3.py

    An existing FILE is replaced only if everything went well.
    """
    constants = parse_settings(settings)
    source = find_spec(spec)
    to_file = output is not None and str(output) != "-"
    if output is not None and to_file:
        check_target(output, source)
    check_names(source, constants, name)
    gc.disable()  # what a compilation makes lives as long as this process: no garbage is worth a sixth of the time
    from recc.compiler import emit

    text = emit(
        source, name=name, constants=constants, method=method.value, backend=backend.value, command=_command(sys.argv)
    )
    if output is not None and to_file:
        write_file(output, text)
    else:
        show_text(text)


def _command(argv: list[str]) -> str:
    return shlex.join(["recc", *argv[1:]])
