"""The runtime's source as it stands in an emitted module: one text, imports apart, in order of dependence."""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib.resources import files

# What every module carries along, in order of dependence.
MODULES = ("program", "costs", "tiles", "autograd", "packing", "arguments", "operator", "promises", "call")
# What a module carries along beside these if it needs it.
CONVOLUTION = ("linear_systems", "convolution", "convolution_operator")
NATIVE = (
    "native_build", "native_cut", "native_plan",
    "native_memory", "native_threads", "native", "native_solve", "native_step",
)  # fmt: skip
SHARED_TIME = ("native_chunks",)
LANES = ("native_lanes",)
FIXED_POINTS = ("fixed_point",)


def runtime_source(modules: tuple[str, ...] = MODULES) -> tuple[str, frozenset[str], frozenset[str]]:
    """The code of modules of the runtime without imports, the import lines they need, and the names they define."""
    bodies, imports, defined = zip(*(_module_source(name) for name in modules), strict=True)
    return "\n\n\n".join(bodies), frozenset().union(*imports), frozenset().union(*defined)


@lru_cache(maxsize=64)
def _module_source(name: str) -> tuple[str, frozenset[str], frozenset[str]]:
    """What `runtime_source` returns, of one module."""
    text = files("recc.runtime").joinpath(f"{name}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    imports, defined = set[str](), set[str]()
    dropped: set[int] = set()
    for node in tree.body:
        span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            dropped |= set(span)
            if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("recc")):
                imports.add(ast.unparse(node))
        elif node is tree.body[0] and isinstance(node, ast.Expr):
            dropped |= set(span)
        else:
            defined |= _names(node)
    heading = (ast.get_docstring(tree) or "").splitlines()[0]
    code = "\n".join(line for number, line in enumerate(text.splitlines(), 1) if number not in dropped).strip("\n")
    return f"# --- {heading.rstrip('.')} ---\n\n\n{code}", frozenset(imports), frozenset(defined)


def merged_imports(lines: frozenset[str]) -> str:
    """Import lines, with one `from` for each module, standard library first, as a formatter would sort them."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for line in lines:
        node = ast.parse(line).body[0]
        if isinstance(node, ast.Import):
            plain |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.setdefault(node.module or "", set()).update(alias.name for alias in node.names)
    standard = [f"import {name}" for name in sorted(plain) if name != "torch"]
    standard += [
        f"from {module} import {', '.join(sorted(items))}"
        for module, items in sorted(named.items())
        if module != "torch"
    ]
    third = ["import torch"] + [
        f"from torch import {', '.join(sorted(items))}" for module, items in named.items() if module == "torch"
    ]
    return "\n".join(standard) + "\n\n" + "\n".join(third)


def bound_names(line: str) -> list[str]:
    """The names that an import line binds."""
    (node,) = ast.parse(line).body
    assert isinstance(node, (ast.Import, ast.ImportFrom))
    return [alias.asname or alias.name.partition(".")[0] for alias in node.names]


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    return set()
