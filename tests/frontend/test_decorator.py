"""Reading decorated functions: the same trees as from `.rec` text, with places in the user's file."""

import importlib.util
import itertools
import linecache
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from recc.diagnostics import SpecError
from recc.frontend import syntax as s
from recc.frontend.parse import parse_text
from recc.frontend.python import In, Out, Param, State, read_function

HEAD = "import functools\nimport recc\nfrom recc import In, Out, Param, State\n"
COUNTER = itertools.count()

RULE = (
    '''def gated(q: In["[K]"], k: In["[K]"], v: In["[V]"], g: In["<= 0"], beta: In["in (0, 1)"], S: State["[K, V]"]):
    """Gated delta rule."""
    S = exp(g) * S
    S = S + beta * outer(k, v - k @ S)
    o: Out["[V]"] = q @ S
''',
    '''recurrence gated:
    """Gated delta rule."""
    input q[K], k[K], v[V], g <= 0, beta in (0, 1)
    state S[K, V]
    S = exp(g) * S
    S = S + beta * outer(k, v - k @ S)
    output o[V] = q @ S
''',
)
EVERYTHING = (
    """def everything(
    x: recc.In, z: "In['[N]: complex']", /, W: Param[  "[D, 3]"  ],  # é
    m: 'recc.State["= -inf"]', *, n=2, eps: float = -1e-3, w=+1j,
) -> None:
    '''One
         two.
    '''
    def mix(r, M: "[K, V]"):
        '''A helper.'''
        for j in n: r = r - x[j] * (u[j] @ r)
        return r, M.T
    assert not x > 0 and m <= 1 or n != 2
    if n == 2:
        (a, b) = mix(x, W)
    elif x:
        a = 1
    elif m:
        a = True
    else:
        if x:
            a = -(x + 1) ** -n // 2 % 3
    for y in fixpoint(m, tol=1e-6, max=50):
        y = (x - y) + (y * x @ y) * ((x * y) @ y)
    m[i, 0] += sum(x, axis=(j, d))
    m -= 1; m *= 2; m /= 3
    h: Out
    loglik: "Out" = logsumexp(m)
    u: Out['[D] on edge'] = m
""",
    '''recurrence everything(n=2, eps=-1e-3, w=+1j):
    """One
         two.
    """
    input x, z[N]: complex
    param W[D, 3]
    state m = -inf
    def mix(r, M[K, V]):
        """A helper."""
        for j in n: r = r - x[j] * (u[j] @ r)
        return r, M.T
    assert not x > 0 and m <= 1 or n != 2
    if n == 2:
        a, b = mix(x, W)
    elif x:
        a = 1
    elif m:
        a = True
    else:
        if x:
            a = -(x + 1) ** -n // 2 % 3
    for y in fixpoint(m, tol=1e-6, max=50):
        y = (x - y) + (y * x @ y) * ((x * y) @ y)
    m[i, 0] += sum(x, axis=(j, d))
    m -= 1
    m *= 2
    m /= 3
    output h
    output loglik = logsumexp(m)
    output u[D] on edge = m
''',
)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Imports a text as a module with a file of its own."""

    def load(text: str) -> ModuleType:
        path = tmp_path / f"module_{next(COUNTER)}.py"
        path.write_bytes((HEAD + text).encode())
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def read(function: Any) -> s.Recurrence:
    recurrence, defs = read_function(function)
    assert defs == ()
    return recurrence


def parsed(text: str) -> s.Recurrence:
    return parse_text(text).recurrences[0]


def nodes(tree: Any) -> list[s.Node]:
    """All nodes of a tree, in order."""
    if isinstance(tree, tuple):
        return [node for part in tree for node in nodes(part)]
    if not is_dataclass(tree) or not isinstance(tree, s.Node):
        return []
    inner = [node for each in fields(tree) if "span" not in each.name for node in nodes(getattr(tree, each.name))]
    return [tree, *inner]


# --- the same tree ---


@pytest.mark.parametrize(("python", "rec"), [RULE, EVERYTHING], ids=["rule", "everything"])
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_the_same_tree(python: str, rec: str, future: str, tmp_path: Path) -> None:
    path = tmp_path / "both.py"
    path.write_text(future + HEAD + python, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("both", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = parsed(rec)
    assert read(getattr(module, expected.name)) == expected


@pytest.mark.parametrize(("python", "rec"), [RULE, EVERYTHING], ids=["rule", "everything"])
def test_the_same_places_and_brackets(python: str, rec: str, load: Callable[[str], ModuleType]) -> None:
    expected = parsed(rec)
    found = read(getattr(load(python), expected.name))
    pairs = list(zip(nodes(found), nodes(expected), strict=True))
    assert len(pairs) > 30
    for ours, theirs in pairs:
        if isinstance(ours, (s.Recurrence, s.Declare, s.Arg)):
            assert getattr(ours, "name_span").text == ours.name  # noqa: B009
            assert [span.text for span in getattr(ours, "dim_spans", ())] == [
                span.text for span in getattr(theirs, "dim_spans", ())
            ]
        elif not isinstance(ours, s.Assign):  # `(a, b) = ...` stands in brackets in only one of the two
            assert ours.span.text == theirs.span.text
        if isinstance(ours, s.Binary) and isinstance(theirs, s.Binary):
            assert (ours.op_span.text, ours.bracketed) == (theirs.op, theirs.bracketed)


def test_places_are_those_of_the_file(load: Callable[[str], ModuleType]) -> None:
    module = load('def f(x: In["[K]"], é: In = 3):\n    y = "é é"; z = x.foo\n')
    with pytest.raises(SpecError) as caught:
        read_function(module.f)
    places = [(d.span.line, d.span.column, d.span.text) for d in caught.value.diagnostics]
    assert places == [(4, 29, "3"), (5, 9, '"é é"'), (5, 21, ".foo")]
    assert caught.value.diagnostics[0].span.source.path == module.__file__


# --- where functions stand ---


def test_a_decorated_function(load: Callable[[str], ModuleType]) -> None:
    text = """
def keep(*, over=(), note=0):
    return lambda function: function
class my:
    recurrence = staticmethod(keep)
@my.recurrence(
    over={over},
    note="def f(x): y = 1",
)
@keep()
def f(x: In):
    y: Out = x
"""
    for over, names in (('"n"', ("n",)), ('("i", "j")', ("i", "j")), ('"i, j"', ("i", "j")), ("()", ())):
        found = read(load(text.format(over=over)).f)
        assert (found.name, found.over) == ("f", names)
        assert found.body == parsed("recurrence f:\n    input x\n    output y = x\n").body


def test_nested_functions_and_methods(load: Callable[[str], ModuleType]) -> None:
    module = load(
        """
def outer():
    def f(x: In):
        y: Out = x + 1
    return f
def f(x: In):
    y: Out = x + 2
class A:
    class B:
        @staticmethod
        def f(
            x: In
        ):
            y: Out = x + 3
for number in 1, 2:
    if number == 2:
        def g(x: In):
            y: Out = x + 4
"""
    )
    for function, number in ((module.outer(), 1), (module.f, 2), (module.A.B.f, 3), (module.g, 4)):
        output = read(function).body[-1]
        assert isinstance(output, s.Declare)
        assert output.value == s.Binary("+", s.Name("x"), s.Number(number))


def test_a_wrapped_function(load: Callable[[str], ModuleType]) -> None:
    module = load(
        """
def loud(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper
@loud
def f(x: In):
    y: Out = x
"""
    )
    assert read(module.f).name == "f"


def test_a_notebook_cell() -> None:
    text = 'def f(x: In["[K]"]):\n    y: Out = x\n'
    linecache.cache["<cell>"] = (len(text), None, [*text.splitlines(True)], "<cell>")
    names: dict[str, Any] = {"In": In, "Out": Out}
    exec(compile(text, "<cell>", "exec"), names)
    assert read(names["f"]).body[0] == s.Declare("input", "x", ("K",))
    del linecache.cache["<cell>"]


def test_nothing_of_the_function_runs(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    text = f"""
def f(x: "In[open({str(harm)!r}, 'w')]", y: "open({str(harm)!r}, 'w')", *, n=2):
    z: Out["= open(1)"]
    w: open({str(harm)!r}, "w") = 3
    z = __import__("os").system("touch {harm}")
"""
    with pytest.raises(SpecError):
        read_function(load(text).f)
    assert not harm.exists()


# --- functions that cannot be read ---


def test_a_file_that_has_changed(load: Callable[[str], ModuleType]) -> None:
    module = load("def f(x: In):\n    y: Out = x\n")
    path = Path(str(module.__file__))
    path.write_text("# something else\n" * 9)
    with pytest.raises(SpecError, match=r"E120\]: `f` does not stand in .* as it did when it was imported"):
        read_function(module.f)
    path.write_text("def f(:\n")
    with pytest.raises(SpecError, match=r"E120\]: .*, where `f` stands, cannot be read as Python"):
        read_function(module.f)
    path.unlink()
    with pytest.raises(SpecError, match=r"E120\]: the source of `f` cannot be found"):
        read_function(module.f)


@pytest.mark.parametrize("thing", [3, "text", len, int])
def test_what_is_no_function(thing: Any) -> None:
    with pytest.raises(TypeError, match="a recurrence is written as a function"):
        read_function(thing)


def test_markers_mean_nothing_to_python() -> None:
    for marker in (In, Out, Param, State):
        assert marker["[K]"] is marker  # type: ignore[index]
