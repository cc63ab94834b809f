"""The documentation's code blocks: what is in them, and what the compiler says to them today.

    python tests/documentation.py    brings the generated blocks of all pages up to date

| block                            | what a test does with it                                            |
|----------------------------------|---------------------------------------------------------------------|
| ```` ```python ````              | runs it, all blocks of a page in order and in one namespace         |
| ```` ```rec ````                 | compiles every recurrence in it                                     |
| ```` ```rec file=NAME.rec ````   | writes it to that file, for the blocks after it                     |
| ```` ```rec error ````           | generates the `text` block after it: the findings                   |
| ```` ```console ````             | generates what `$ recc ...` prints; a `$ python FILE` exists         |
| ```` ```sh ````                  | runs `recc ...`; the `./run` commands are known to that script      |
| ```` ```text ````                | nothing: a diagram                                                  |
| `<!-- emitted SPEC: f g -->`     | generates the block after it: functions of the module that comes out |
| `<!-- primitives -->`            | generates the table after it                                        |
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import recc
from recc.diagnostics import render_all
from recc.frontend.parse import parse_text
from recc.ir import primitives

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"python", "rec", "console", "sh", "text"}
FENCE = re.compile(r"^(?P<marker><!-- emitted (?P<spec>\w+): (?P<names>[\w ]+) -->\n)?"
                   r"```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)  # fmt: skip
TABLE = re.compile(r"(?<=^<!-- primitives -->\n).*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the words after its fence, what is in it, and where that is in the page."""

    info: str
    text: str
    start: int
    end: int
    emitted: tuple[str, tuple[str, ...]] | None

    @property
    def language(self) -> str:
        return self.info.split()[0] if self.info else ""


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [_block(match) for match in FENCE.finditer(page)]


def _block(match: re.Match[str]) -> Block:
    emitted = (match["spec"], tuple(match["names"].split())) if match["marker"] else None
    return Block(match["info"], match["text"], match.start("text"), match.end("text"), emitted)


def current(page: str, folder: Path) -> str:
    """The page with its generated parts as they come out today; blocks with `file=` are written to `folder`."""
    parts, end = [], 0
    expected: str | None = None
    for block in blocks(page):
        text = block.text
        if expected is not None:
            assert block.language == "text", "a `rec error` block is followed by a `text` block"
            text, expected = expected, None
        elif block.info == "rec error":
            expected = findings(block.text)
        elif block.language == "console" and block.text.startswith("$ recc "):
            text = "".join(_replayed(block.text, folder))
        elif block.emitted is not None:
            text = functions(*block.emitted)
        write_file(block, folder)
        parts += [page[end : block.start], text]
        end = block.end
    return TABLE.sub(lambda _: primitives_table(), "".join(parts) + page[end:])


def write_file(block: Block, folder: Path) -> None:
    for word in block.info.split():
        if word.startswith("file="):
            (folder / word.removeprefix("file=")).write_text(block.text)


def recurrences(text: str) -> list[str]:
    return [tree.name for tree in parse_text(text).recurrences]


def findings(text: str) -> str:
    """What is wrong with a spec, as it is printed."""
    try:
        for name in recurrences(text):
            recc.compile(text, name=name)
    except recc.SpecError as error:
        return render_all(error.diagnostics, color=False).rstrip() + "\n"
    raise AssertionError(f"nothing is wrong with this spec:\n{text}")


def run_recc(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `recc ...` in a folder with the specs beside it; standard error comes with the output."""
    words = shlex.split(command)
    assert words[0] == "recc", f"only recc is run, not {command}"
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def _replayed(text: str, folder: Path) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("$ "):
            output = run_recc(line[2:], folder).stdout
            yield f"{line}\n" + "".join(f"{printed.rstrip()}\n" for printed in output.splitlines())


def functions(spec: str, names: tuple[str, ...]) -> str:
    """The source of some functions of the module that comes out of a shipped spec."""
    module = recc.compile(spec)
    found = {node.name: node for node in ast.parse(module).body if isinstance(node, ast.FunctionDef)}
    return "\n\n".join(f"{ast.get_source_segment(module, found[name])}\n" for name in names)


def primitives_table() -> str:
    """All functions of the language with their meaning, from the compiler's own tables."""
    elementwise = {name: primitives.UNARY[name] for name in primitives.UNARY_FUNCTIONS}
    elementwise |= {name: primitives.BINARY[name] for name in primitives.EXTREMA}
    reductions = {name: text for name, text in primitives.REDUCTIONS.items() if name in primitives.REDUCTION_FUNCTIONS}
    reductions |= {name: primitives.COMPOSED[name] for name in ("mean", "norm", "sumsq")}
    normalisations = {name: primitives.COMPOSED[name] for name in primitives.NORMALISATIONS}
    taken = reductions.keys() | normalisations.keys()
    rest = {name: text for name, text in primitives.COMPOSED.items() if name not in taken}
    kinds = {
        "elementwise": elementwise,
        "reduction": reductions,
        "normalisation": normalisations,
        "other": rest,
    }
    rows = [f"| {kind} | `{name}` | {text} |" for kind, table in kinds.items() for name, text in sorted(table.items())]
    return "\n".join(["| kind | function | meaning |", "|---|---|---|", *rows]) + "\n"


def beside_specs(folder: Path) -> Path:
    """`folder`, with a copy of the specs in it, as a page's commands expect it."""
    shutil.copytree(ROOT / "specs", folder / "specs", dirs_exist_ok=True)
    return folder


def main() -> None:
    for page in PAGES:
        with TemporaryDirectory() as folder:
            page.write_text(current(page.read_text(), beside_specs(Path(folder))))


if __name__ == "__main__":
    main()
