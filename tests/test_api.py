"""The Python API: what a spec may be, the decorator's object, and that all of them give the same module."""

# In a recurrence the annotations are declarations, which no linter knows.
# ruff: noqa: F722, F821, F841, UP037
# pyright: reportInvalidTypeForm=false, reportUndefinedVariable=false, reportGeneralTypeIssues=false

import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import recc
from recc import api, cache, catalogue
from recc.api import Recurrence
from recc.frontend.python import In, Out, State

ROOT = Path(__file__).parent.parent
TEXT = '''\
recurrence leaky(scale=1):
    """A leaky integrator."""
    input  x[D], a in (0, 1)
    state  h[D]
    h = a * h + scale * x
    output h
'''
TWO = TEXT + TEXT.replace("leaky", "second").replace("a * h", "(1 - a) * h")


@recc.recurrence
def leaky(x: In["[D]"], a: In["in (0, 1)"], h: State["[D]"], *, scale=1):  # pyright: ignore
    """A leaky integrator."""
    h = a * h + scale * x
    o: Out["[D]"] = h


@recc.recurrence()
def with_brackets(x: In["[D]"], h: State["[D]"]):
    h = 0.5 * h + x  # pyright: ignore
    o: Out["[D]"] = h


@pytest.fixture
def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 5, 3, generator=generator), torch.rand(2, 5, generator=generator)


def expected(x: torch.Tensor, a: torch.Tensor, scale: float = 1) -> torch.Tensor:
    h, outputs = torch.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        h = a[:, t, None] * h + scale * x[:, t]
        outputs.append(h)
    return torch.stack(outputs, 1)


def test_load_from_text_path_and_function_agree(tmp_path: Path, inputs) -> None:
    path = tmp_path / "leaky.rec"
    path.write_text(TEXT)
    for function in (recc.load(TEXT), recc.load(path), recc.load(str(path)), recc.load(leaky), leaky, leaky.load()):
        torch.testing.assert_close(function(*inputs)[0], expected(*inputs))


def test_load_shipped_by_name() -> None:
    assert recc.load("gla").__name__ == "gla"
    assert recc.load("gla") is recc.load("gla")


def test_constants_and_method(inputs) -> None:
    for method in ("sequential", "scan"):
        torch.testing.assert_close(recc.load(TEXT, scale=3, method=method)(*inputs)[0], expected(*inputs, scale=3))
        torch.testing.assert_close(leaky.load(scale=np.int64(3), method=method)(*inputs)[0], expected(*inputs, scale=3))


def test_compile_gives_the_loaded_text() -> None:
    text = recc.compile(TEXT)
    assert "def leaky" in text or "leaky =" in text
    assert "import recc" not in text and "from recc" not in text
    assert leaky.compile() == recc.compile(leaky)


def test_explain_and_check() -> None:
    assert "leaky" in recc.explain(TEXT)
    assert leaky.explain() == recc.explain(leaky)
    assert [recurrence.name for recurrence in recc.check(TWO).recurrences] == ["leaky", "second"]


def test_name_chooses(inputs) -> None:
    x, a = inputs
    torch.testing.assert_close(recc.load(TWO, name="second")(x, a)[0], expected(x, 1 - a))


def test_bad_specs_are_spec_errors() -> None:
    with pytest.raises(recc.SpecError, match="leek"):
        recc.load(TEXT.replace("a * h", "leek * h"))
    with pytest.raises(recc.SpecError):
        recc.compile("recurrence\n")


def test_import_beside_a_file_is_part_of_the_key(tmp_path: Path) -> None:
    helper = tmp_path / "helper.rec"
    path = tmp_path / "user.rec"
    helper.write_text("def grow(x):\n    return 2 * x\n")
    path.write_text(
        "from helper import grow\n\nrecurrence user:\n    input x\n    state h\n    h = h + grow(x)\n    output h\n"
    )
    x = torch.ones(1, 3)
    assert recc.load(path)(x)[0].tolist() == [[2, 4, 6]]
    helper.write_text("def grow(x):\n    return 3 * x\n")
    assert recc.load(path)(x)[0].tolist() == [[3, 6, 9]]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("glaa", "there is no spec file or shipped spec 'glaa'; did you mean gla"),
        ("", "there is no spec with an empty name"),
        ("no/such.rec", "there is no spec file 'no/such.rec'"),
        ("a\0b", "there is no spec file"),
    ],
)
def test_a_missing_spec_is_a_clear_error(spec: str, message: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        recc.load(spec)
    assert message in str(caught.value)


def test_a_near_miss_beside_the_path(tmp_path: Path) -> None:
    (tmp_path / "leaky.rec").write_text(TEXT)
    with pytest.raises(FileNotFoundError, match=r"did you mean .*leaky\.rec"):
        recc.load(tmp_path / "leakey.rec")


def test_other_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        recc.load(tmp_path)
    with pytest.raises(TypeError, match="a path, a text, a name or a function"):
        recc.load(3)  # pyright: ignore[reportArgumentType]
    for value in ("3", None, float("nan"), True, 1j):
        with pytest.raises(TypeError, match="the constant scale is a finite number"):
            recc.load(TEXT, scale=value)  # pyright: ignore[reportArgumentType]


def test_every_shipped_spec_is_found() -> None:
    shipped = catalogue.shipped()
    assert {"gla", "deltaproduct", "gru"} <= set(shipped)
    assert all(path.suffix == ".rec" for path in shipped.values())


def test_a_decorated_function_keeps_what_a_function_has() -> None:
    assert isinstance(leaky, Recurrence)
    assert leaky.__name__ == "leaky" and leaky.__doc__ == "A leaky integrator." and leaky.__module__ == __name__
    assert inspect.unwrap(leaky).__code__.co_name == "leaky"
    assert repr(leaky) == "<recurrence leaky>"


def test_a_decorated_function_pickles_by_reference() -> None:
    assert pickle.loads(pickle.dumps(leaky)) is leaky
    assert copy.deepcopy(leaky) is leaky and copy.copy(leaky) is leaky


def test_step_and_initial_state(inputs) -> None:
    x, a = inputs
    whole, _ = leaky(x, a)
    state = None
    for t in range(x.shape[1]):
        output, state = leaky.step(state, x[:, t], a[:, t])
        torch.testing.assert_close(output, whole[:, t])


def test_with_brackets() -> None:
    assert with_brackets(torch.ones(1, 2, 1))[0].flatten().tolist() == [1, 1.5]


def test_decorating_something_else_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="decorates a function, not int"):
        recc.recurrence(3)  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_threads_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, calls, barrier = Recurrence(inspect.unwrap(with_brackets)), [], threading.Barrier(6)

    def slow_load(function: object) -> object:
        calls.append(function)
        return lambda: "done"

    monkeypatch.setattr(api, "load", slow_load)

    def work(_: int) -> object:
        barrier.wait()
        return fresh()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == ["done"] * 6
    assert len(calls) == 1


def test_a_first_use_inside_torch_compile(inputs) -> None:
    fresh = Recurrence(inspect.unwrap(leaky))
    compiled = torch.compile(lambda x, a: fresh(x, a)[0] * 2, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), 2 * expected(*inputs))


def test_in_a_module_that_was_not_imported_from_a_file_on_the_path(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, recc\nfrom recc import In, State, Out\n\n"
        'def make():\n    @recc.recurrence\n    def inner(x: In["[D]"], h: State["[D]"]):\n'
        '        h = 0.5 * h + x\n        o: Out["[D]"] = h\n    return inner\n\n'
        "print(make()(torch.ones(1, 2, 1))[0].flatten().tolist())\n"
    )
    run = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (run.stdout, run.stderr) == ("[1.0, 1.5]\n", "")


def test_a_function_without_source_is_a_spec_error() -> None:
    names: dict[str, object] = {"recc": recc}
    exec("@recc.recurrence\ndef ghost(x, h): pass", names)
    with pytest.raises(recc.SpecError):
        names["ghost"]()  # pyright: ignore[reportCallIssue]


def test_loading_again_reads_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    function = recc.load(TEXT, scale=7)
    sys.modules.pop(function.__module__)
    monkeypatch.setattr("recc.compiler.emit", None)
    assert recc.load(TEXT, scale=7) is not function
    assert cache.directory() in Path(inspect.getfile(inspect.unwrap(function))).parents
