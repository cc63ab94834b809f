"""The layers of the compiler: nothing imports what is above it, and `recc.runtime` needs nothing but torch."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "recc"

CORE = {"diagnostics", "ir"}
PASSES = CORE | {"structures"}
COMPILER = PASSES | {"frontend", "passes", "backends", "runtime"}
ALLOWED: dict[str, set[str]] = {
    "diagnostics": set(),
    "runtime": set(),
    "cache": set(),
    "catalogue": set(),
    "ir": {"diagnostics"},
    "structures": CORE,
    "passes": PASSES,
    "frontend": CORE | {"passes", "cache"},
    "backends": PASSES | {"passes", "runtime"},
    "explanation": CORE | {"passes"},
    "expectation": COMPILER,
    "report": COMPILER | {"explanation", "expectation"},
    "compiler": COMPILER | {"expectation", "report"},
    "typeset": CORE | {"frontend"},
    "search": {"compiler", "cache", "catalogue"},
    "specs": {"api", "catalogue"},
    "verify": COMPILER | {"compiler", "cache", "catalogue"},
    "api": {"diagnostics", "frontend", "compiler", "cache", "catalogue"},
    "cli": {"diagnostics", "ir", "frontend", "compiler", "cache", "catalogue", "api", "search", "typeset", "verify"},
    "__main__": {"cli"},
}


def imports(text: str, module: str) -> Iterator[str]:
    """Every module that the text of ``module`` imports, in functions and under TYPE_CHECKING too, by absolute name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(module.split(".")[: -node.level]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield from (f"{source}.{alias.name}" for alias in node.names)


def violations(text: str, module: str) -> list[str]:
    """Imports that the layers forbid in ``module``, a dotted name such as ``recc.ir.nodes``."""
    layer = module.split(".")[1]
    found = []
    for name in imports(text, module):
        top, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if top == "recc":
            allowed = target in ALLOWED[layer] | {layer, "__version__"}
        else:
            allowed = layer != "runtime" or top == "torch" or top in sys.stdlib_module_names
        if not allowed:
            found.append(f"{module} imports {name}")
    return found


def modules() -> list[tuple[str, Path]]:
    """Every module of the package but its front door, which fetches names from all layers on demand."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts != ("recc", "__init__"):
            found.append((".".join(parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_nothing_imports_upwards(module: str, path: Path) -> None:
    assert module.split(".")[1] in ALLOWED, f"give {module} its place in ALLOWED"
    assert violations(path.read_text(encoding="utf-8"), module) == []


def test_the_order_has_no_cycle() -> None:
    remaining = {layer: set(below) for layer, below in ALLOWED.items()}
    while remaining:
        free = {layer for layer, below in remaining.items() if not below}
        assert free, f"these import each other: {sorted(remaining)}"
        remaining = {layer: below - free for layer, below in remaining.items() if layer not in free}


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("recc.ir.nodes", "from recc.frontend import syntax"),
        ("recc.ir.nodes", "from recc import compiler"),
        ("recc.ir.nodes", "def f():\n    import recc.api"),
        ("recc.ir.nodes", "from ..passes.tidy import tidy"),
        ("recc.ir.nodes", "if TYPE_CHECKING:\n    from recc.passes.tidy import tidy"),
        ("recc.runtime.tiles", "import numpy"),
        ("recc.runtime.tiles", "from recc.diagnostics import Span"),
        ("recc.passes.tidy", "from recc.backends.torch import emit"),
    ],
)
def test_a_violation_is_seen(module: str, text: str) -> None:
    assert len(violations(text, module)) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("recc.ir.nodes", "from recc.diagnostics import Span\nimport numpy"),
        ("recc.ir.nodes", "from .traverse import nodes"),
        ("recc.runtime.tiles", "import math\nimport torch.nn.functional\nfrom recc.runtime.program import f"),
        ("recc.compiler", "from recc import __version__"),
    ],
)
def test_what_is_allowed_passes(module: str, text: str) -> None:
    assert violations(text, module) == []
