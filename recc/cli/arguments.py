"""What several commands take: specs, ``--set`` and the method, and how their values are checked."""

import re
import sys
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from recc import catalogue
from recc.cli.output import CommandLineError

SET_HELP = "Replace a constant of the recurrence's header, as in n=3; may be repeated."
SIZES_HELP = (
    "Sizes of a call, as in T=4096,B=8,H=4,K=64: steps, sequences, lanes and axes of the spec; may be repeated."
)
SPEC_HELP = "A .rec file, the name of a shipped spec, or - for standard input."

Settings = Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help=SET_HELP)]
SizeSettings = Annotated[list[str], typer.Option("--sizes", metavar="NAME=SIZE,...", help=SIZES_HELP)]
SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help=SPEC_HELP, show_default=False)]
SpecArguments = Annotated[list[str], typer.Argument(metavar="SPEC", help=SPEC_HELP, show_default=False)]


class Method(str, Enum):
    auto = "auto"
    sequential = "sequential"
    scan = "scan"
    convolution = "convolution"


class Backend(str, Enum):
    auto = "auto"
    torch = "torch"
    cpu = "cpu"


def find_spec(argument: str) -> str | Path:
    """The file that ``argument`` names, or standard input's text. Exits with 2 if there is no such file."""
    if argument == "-":
        return _standard_input()
    try:
        found = catalogue.locate(argument)
        if isinstance(found, Path):
            with found.open("rb"):
                return found
    except (FileNotFoundError, IsADirectoryError) as error:
        raise CommandLineError(str(error)) from None
    except OSError as error:
        raise CommandLineError(f"{argument} cannot be read: {error.strerror}") from None
    raise CommandLineError("a spec's name has no line break in it")


def check_names(source: str | Path, constants: Iterable[str], name: str | None = None) -> None:
    """Exits with 2 if the spec has no recurrence called ``name``, or no recurrence of it has one of ``constants``."""
    from recc.frontend.parse import parse_file, parse_text

    file = parse_file(source) if isinstance(source, Path) else parse_text(source, "<stdin>")
    names = [recurrence.name for recurrence in file.recurrences]
    if name is not None and name not in names:
        raise CommandLineError(f"there is no recurrence {name!r} in this spec, only {', '.join(names)}")
    known = {constant.id for recurrence in file.recurrences for constant, _ in recurrence.constants}
    for constant in constants:
        if constant not in known:
            only = f", only {', '.join(sorted(known))}" if known else ""
            raise CommandLineError(f"--set {constant}=...: there is no such constant in this spec{only}")


def parse_settings(settings: list[str]) -> dict[str, int | float]:
    """``["n=3", "s=0.5"]`` as constants. Exits with 2 for anything else."""
    values: dict[str, int | float] = {}
    for setting in settings:
        match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*=\s*(\S+)\s*", setting)
        if match is None:
            raise CommandLineError(f"--set takes NAME=VALUE, such as n=3, not {setting!r}")
        name, text = match.groups()
        if name in values:
            raise CommandLineError(f"--set gives {name} twice")
        values[name] = _number(name, text)
    return values


def parse_sizes(texts: list[str]) -> dict[str, int]:
    """``["K=64, V=64", "T=4096"]`` as sizes, between commas or spaces. Exits with 2 for anything else."""
    sizes: dict[str, int] = {}
    for text in texts:
        parts = re.sub(r"\s*=\s*", "=", text.replace(",", " ")).split()
        for part in parts or [text]:
            match = re.fullmatch(r"([A-Za-z_]\w*)=([+-]?[0-9]{1,18})", part)
            if match is None:
                raise CommandLineError(f"--sizes takes NAME=SIZE with whole numbers, such as T=4096,K=64, not {part!r}")
            name, number = match.groups()
            if name in sizes:
                raise CommandLineError(f"--sizes gives {name} twice")
            sizes[name] = int(number)
    return sizes


def _number(name: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if abs(value) <= sys.float_info.max:
            return value
    raise CommandLineError(f"--set {name}=... takes a finite number, not {text!r}")


def _standard_input() -> str:
    data = sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CommandLineError(f"standard input is not UTF-8 text (byte {error.start})") from None
    return text if "\n" in text else text + "\n"
