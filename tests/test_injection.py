"""A spec is data: whatever it is called and whatever its texts say, the module does what the equations say."""

from __future__ import annotations

import ast
import builtins
import inspect
import keyword
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import recc
from recc.compiler import emit
from recc.diagnostics import SpecError

SPEC = """\
recurrence {recurrence}({constant}=2):
    input  {x}[{size}], {gate}
    param  {weight}[{size}]
    state  {state}[{size}] = {weight}
    def {helper}({argument}): return {argument} * {constant}
    {local} = {helper}({x})
    {state} = {gate} * {state} + {local} * {size} + sum(where(arange({size}) > 0, {x}, 0))
    output {output}[{size}] = {state}, {other} = {x}
"""
PLAIN = {
    "recurrence": "leaky",
    "constant": "n",
    "x": "x",
    "gate": "a",
    "weight": "W",
    "size": "D",
    "state": "h",
    "helper": "f",
    "argument": "v",
    "local": "u",
    "output": "y",
    "other": "z",
}
ROLES = ("x", "gate", "weight", "state", "output", "other", "local", "constant", "helper", "argument")
HOSTILE = """
    torch math Tensor like inputs params constants state prepared kept earlier transition offset sizes leading dtype
    device call call_ SPEC step run self cls len len_ min max sum_ print range tuple exec eval open compile getattr
    object super id map zip float int match case type method state_ backend reverse cu_seqlens initial_state lanes
    batch_size B T t N pi inf rows steps depth count index input param output recurrence over on along axis init every
    S_new h_new h_1 x_row x_wide a_wide prod diff total minus ratio chosen test value parts d_h d_x result_0 total_0
    primal_step start promises estimate count_trailing_zeros windows Port Level Program Spec NamedTuple os prod_
""".split()

rng = np.random.default_rng(0)
X, A, W = rng.normal(size=(1, 5, 3)), rng.uniform(size=(1, 5)), rng.normal(size=3)


def expected() -> np.ndarray:
    """What `SPEC` computes, step by step."""
    h, outs = W, []
    for x, a in zip(X[0], A[0], strict=True):
        h = a * h + 2 * x * 3 + x[1:].sum()
        outs.append(h)
    return np.stack(outs)


EXPECTED = expected()


def load(text: str, name: str) -> Any:
    """The function that a module's text exports."""
    module = sys.modules["emitted"] = ModuleType("emitted")
    exec(compile(text, "emitted", "exec"), vars(module))
    return vars(module)[name]


def works(names: dict[str, str]) -> None:
    """The spec with these names computes the same as ever: whole, scanned, step by step, and its gradient."""
    chosen = {**PLAIN, **names}
    f = load(emit(SPEC.format(**chosen)), chosen["recurrence"])
    tensors = [torch.tensor(value, requires_grad=True) for value in (X, A, W)]
    for method in ("sequential", "scan"):
        results, _ = f(*tensors, method=method)
        np.testing.assert_allclose(results[0][0].detach().numpy(), EXPECTED)
        np.testing.assert_allclose(results[1][0].detach().numpy(), X[0])
        gradients = torch.autograd.grad(results[0].sum(), tensors)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
    weight = list(inspect.signature(f.initial_state).parameters)[2]
    state = f.initial_state(1, dtype=torch.float64, **{weight: tensors[2]})
    results, _ = f.step(state, tensors[0][:, 0], tensors[1][:, 0], tensors[2])
    np.testing.assert_allclose(results[0][0].detach().numpy(), EXPECTED[0])


def identifiers(text: str) -> list[str]:
    """Every name that a module's code speaks of."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {alias.asname or alias.name for alias in names}
    return sorted(found)


def usable() -> list[str]:
    """Names that can be declared, and mean something to the module or to Python."""
    own = identifiers(emit(SPEC.format(**PLAIN)))
    names = {*own, *HOSTILE, *dir(builtins), *keyword.softkwlist} - set(PLAIN.values())
    no_names = {"True", "False", "None", "where", "sum", "arange"}  # the last three would redefine what SPEC calls
    return sorted(name for name in names if not name.startswith("_") and name not in no_names)


NAMES = usable()


def rotated(place: int) -> dict[str, str]:
    """Every role with a name of its own, all of them one further for each place."""
    return {role: NAMES[(place + 37 * k) % len(NAMES)] for k, role in enumerate(ROLES)}


@pytest.mark.parametrize("place", range(0, len(NAMES), 12))
def test_names_that_mean_something_to_the_module(place: int) -> None:
    works(rotated(place))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(NAMES), 12))
def test_every_such_name_in_every_role(start: int) -> None:
    for place in range(start + 1, min(start + 12, len(NAMES))):
        works(rotated(place))


@pytest.mark.parametrize("role", ["recurrence", "size"])
def test_such_a_name_is_refused_or_works(role: str) -> None:
    kept = 0
    for name in HOSTILE:
        try:
            text = emit(SPEC.format(**{**PLAIN, role: name}))
        except SpecError as error:
            assert f"a generated module needs the name `{name}` for itself" in str(error)
            assert f"give the {role} another name" in str(error)
        else:
            compile(text, "emitted", "exec")
            if name in ("B", "T", "step", "run", "h_new", "prod_", "index", "diff"):
                works({role: name})
                kept += 1
    assert kept >= 5


def test_no_recurrence_hides_what_its_module_defines() -> None:
    tree = ast.parse(emit(SPEC.format(**PLAIN)))
    bound: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.Assign(targets=targets):
                bound |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                bound |= {alias.asname or alias.name for alias in names}
    bound -= {"leaky", "LeakyOutputs"}
    assert len(bound) > 50
    for name in bound:
        with pytest.raises(SpecError):
            emit(SPEC.format(**{**PLAIN, "recurrence": name}))


@pytest.mark.parametrize("role", PLAIN)
@pytest.mark.parametrize("name", ["__class__", "__init__", "__import__", "__builtins__", "__debug__", "_", "_x"])
def test_names_with_underscores(role: str, name: str) -> None:
    if role in ("local", "helper", "argument"):
        works({role: name})
    else:
        with pytest.raises(SpecError, match="cannot be declared: it starts with `_`"):
            emit(SPEC.format(**{**PLAIN, role: name}))


@pytest.mark.parametrize("role", PLAIN)
def test_what_python_reserves_is_no_name(role: str) -> None:
    for name in [
        *keyword.kwlist,
        "x-y",
        "x.y",
        "x()",
        "x;import os",
        '"x"',
        "x\ny",
        "x\\",
        "x`",
        "\N{DIGIT ONE}x",
        "\ud800",
    ]:
        with pytest.raises(SpecError):
            emit(SPEC.format(**{**PLAIN, role: name}))


@pytest.mark.parametrize(
    "value",
    ["1e999", "9" * 30, "9" * 5_000, "0x10", "1_000", "1__import__('os')", "1;2", "'1'", "1if 1else 2", "\u0661"],
)
def test_what_is_not_a_number_is_refused(value: str) -> None:
    for place, other in (("u = f(x)", f"u = f(x) * {value}"), ("a\n", f"a in (0, {value})\n"), ("n=2", f"n={value}")):
        text = SPEC.format(**PLAIN)
        assert place in text
        with pytest.raises(SpecError):
            emit(text.replace(place, other))


def test_numbers_at_the_edge_work() -> None:
    for value in ("1e308", "1e-320", "9007199254740993", "0.1e1", "5.", ".5", "00.5", "1e-999"):
        text = SPEC.format(**PLAIN).replace("x, 0))", f"x, 0)) * {value}")
        f = load(emit(text), "leaky")
        zeros = torch.zeros(1, 2, 3, dtype=torch.float64)
        assert f(zeros, zeros[..., 0], zeros[0, 0])[0][0].abs().max() == 0


# --- texts ---

TEXTS = [
    '"""',
    "'''",
    '""" + __import__("os").system("false") + """',
    "\\",
    '\\"""',
    '\\\\"""\nimport os\n"""',
    'ends with "',
    'ends with ""',
    "ends with \\",
    "\\N{BULLET} \\x41 \\u0041 \\",
    "\n\nimport os\n",
    "\u2028import os\u2029",
    "\x00\x0b\x0c\x1c\x85\r",
    "\ud800\udfff",
    "{x} %s {{}}",
    "\N{RIGHT-TO-LEFT OVERRIDE}\N{GREEK SMALL LETTER BETA}\N{SNOWMAN}",
    "KEY key=\"KEY\" 'KEY'",
]


def skeleton(text: str) -> str:
    """A module without its docstrings, its explanation and what names it: all that could be executed."""
    text.encode("utf-8")
    text = re.sub(r"/\* [\w.:<> -]+:\d+(, [\w.:<> -]+:\d+)* \*/", "", text)  # lines of the spec, in the C text
    tree = ast.parse(re.sub(r'key="\w+"', 'key=""', text))
    for node in ast.walk(tree):
        if (
            isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef))
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXPLANATION":
            assert isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            node.value = ast.Constant("")
    return ast.dump(tree)


FILES = ("a*" + "/ int evil; /*.rec", 'a"""+1;b.rec', "a\\.rec", "a\nb.rec", "%s{0}.rec")


@pytest.mark.parametrize("name", FILES, ids=ascii)
def test_a_file_name_is_only_text(name: str, tmp_path: Path) -> None:
    path = tmp_path / name.replace("/", ":")
    path.write_text(SPEC.format(**PLAIN))
    other = tmp_path / "plain.rec"
    other.write_text(SPEC.format(**PLAIN))
    assert skeleton(emit(path)) == skeleton(emit(other))


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_command_is_only_text(text: str) -> None:
    spec = SPEC.format(**PLAIN)
    assert skeleton(emit(spec, command=text)) == skeleton(emit(spec))


@pytest.mark.parametrize("text", [text for text in TEXTS if '"""' not in text], ids=ascii)
def test_a_docstring_is_only_text(text: str) -> None:
    spec = SPEC.format(**PLAIN)
    documented = spec.replace("=2):\n", f'=2):\n    """{text}"""\n')
    try:
        module = emit(documented)
    except SpecError as error:
        assert "error[E1" in str(error)
    else:
        assert skeleton(module) == skeleton(emit(spec))


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_the_docstring_of_a_function_is_only_text(text: str, tmp_path: Path) -> None:
    def source(doc: str) -> str:
        return (
            "from recc import In, Out, State, recurrence\n\n@recurrence\n"
            'def leaky(x: In["[D]"], h: State["[D]"]):\n'
            f"    {doc}\n    h = 0.5 * h + x\n"
            '    y: Out["[D]"] = h\n'
        )

    modules = []
    for number, doc in enumerate((ascii(text), "'plain'")):
        path = tmp_path / f"module{number}.py"
        path.write_text(source(doc), encoding="utf-8")
        namespace: dict[str, Any] = {"__name__": "given"}
        exec(compile(path.read_text(), str(path), "exec"), namespace)
        modules.append(skeleton(namespace["leaky"].compile()))
    assert modules[0] == modules[1]


@pytest.mark.skipif(sys.platform == "win32", reason="its file names cannot have these characters")
@pytest.mark.parametrize("text", [text for text in TEXTS if not set("\0/\ud800") & set(text)], ids=ascii)
def test_a_path_is_only_text(text: str, tmp_path: Path) -> None:
    spec = SPEC.format(**PLAIN)
    path = tmp_path / f"{text}.rec"
    path.write_text(spec)
    assert skeleton(emit(path)) == skeleton(emit(spec))


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_comment_is_only_text(text: str) -> None:
    spec = SPEC.format(**PLAIN)
    line = text.replace("\n", " ").replace("\r", " ")
    assert skeleton(emit(spec.replace(", 0))", f", 0))  # {line}"))) == skeleton(emit(spec))


def test_a_promise_is_only_text(tmp_path: Path) -> None:
    text = SPEC.format(**PLAIN)
    comment = '# """ \') + __import__("os").system("false") + (\'\\'
    hostile = text.replace("    output", f"    assert (norm(x) <  {comment}\n 1)\n    output")
    module = emit(hostile)
    assert "promises" in module
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(module)) if isinstance(node, ast.Call)}
    assert not calls & {"__import__", "exec", "eval", "compile", "open"} and not any("system" in call for call in calls)


# --- nothing runs ---


def test_a_decorated_function_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import recc\nfrom recc import In, Out, State\n\n"
        "@recc.recurrence\n"
        'def leaky(x: In["[D]"], h: State["[D]"], *, n=2):\n'
        f"    h = 0.5 * h + open({str(tmp_path / 'ran')!r}, 'w') + n\n"
        '    y: Out["[D]"] = h\n'
    )
    namespace: dict[str, Any] = {"__name__": "given"}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    with pytest.raises(SpecError):
        namespace["leaky"].compile()
    assert not (tmp_path / "ran").exists()


def test_an_import_reads_only_definitions(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    spec = tmp_path / "spec.rec"
    spec.write_text("from helper import f\n" + SPEC.format(**PLAIN))
    with pytest.raises(SpecError, match="there is no file"):
        emit(spec)
    for module in ("..helper", "/etc/passwd", "os.path;import os", "helper\\"):
        spec.write_text(f"from {module} import f\n" + SPEC.format(**PLAIN))
        with pytest.raises(SpecError):
            emit(spec)
    assert not (tmp_path / "ran").exists()


def test_constants_are_numbers() -> None:
    for value in ("2", "__import__('os')", [2], None, True, float("nan"), float("inf"), 1j, torch.ones(())):
        with pytest.raises((TypeError, SpecError)):
            recc.compile(SPEC.format(**PLAIN), n=value)  # pyright: ignore[reportArgumentType]


def test_a_module_is_statements_of_a_few_kinds() -> None:
    module = emit(SPEC.format(**PLAIN))
    tree = ast.parse(module)
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign}
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "torch"}
