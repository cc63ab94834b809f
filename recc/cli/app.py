"""The commands and what they have in common."""

from typing import Annotated

import typer

from recc import __version__
from recc.cli import compile, inspect, new, search, verify
from recc.cli.output import show_text

app = typer.Typer(
    name="recc",
    help="A compiler for recurrences: from a few lines of mathematics to a differentiable PyTorch module.",
    epilog="A SPEC is a .rec file, the name of one that ships with recc (see `recc list`), or - for standard input.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compile")(compile.compile_spec)
app.command("check")(inspect.check)
app.command("explain")(inspect.explain)
app.command("verify")(verify.verify_specs)
app.command("new")(new.new)
app.command("list")(inspect.list_specs)
app.command("search", context_settings={"ignore_unknown_options": True})(search.search)


def _version(wanted: bool) -> None:
    if wanted:
        show_text(f"recc {__version__}\n")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A compiler for recurrences: from a few lines of mathematics to a differentiable PyTorch module."""
