"""Bad specs that hold what is said about them: each `.rec` file here ends with comments,

    # recc compile --method scan says:
    # error[E203]: ...

the command that refuses it and the text that the command prints. `python tests/diagnostics/cases.py` writes the texts
anew after a wording has changed; what it changes is read before it is kept.
"""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from recc.compiler import emit
from recc.diagnostics import SpecError

HERE = Path(__file__).parent
_MARKER = re.compile(r"^# recc (check|compile)(.*) says:\n", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A bad spec: its file, the command line that refuses it, and what that says."""

    path: Path
    arguments: tuple[str, ...]
    said: str


def cases() -> list[Case]:
    """Every bad spec beside this file."""
    return [_case(path) for path in sorted(HERE.glob("*.rec"))]


def _case(path: Path) -> Case:
    (match,) = _MARKER.finditer(path.read_text(encoding="utf-8"))
    lines = match.string[match.end() :].splitlines()
    said = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)
    return Case(path, (match.group(1), *shlex.split(match.group(2))), said)


def refusal(case: Case) -> str:
    """What the compiler says of a case; a failure if it accepts the spec."""
    method, constants = "auto", {}
    options = iter(case.arguments[1:])
    for option in options:
        value = next(options)
        if option == "--method":
            method = value
        else:
            assert option == "--set", option
            name, _, number = value.partition("=")
            constants[name] = float(number) if "." in number else int(number)
    try:
        emit(case.path, method=method, constants=constants)
    except SpecError as error:
        return str(error).replace(str(case.path), case.path.name).replace(f"{HERE}/", "")
    raise AssertionError(f"{case.path.name} is accepted")


def _rewrite(case: Case) -> None:
    text = case.path.read_text(encoding="utf-8")
    said = "".join(f"# {line}".rstrip() + "\n" for line in refusal(case).splitlines())
    (match,) = _MARKER.finditer(text)
    case.path.write_text(text[: match.end()] + said, encoding="utf-8")


if __name__ == "__main__":
    for each in cases():
        _rewrite(each)
    sys.exit(0)
