"""The cache of emitted modules: what it keeps, what it refuses to trust, and that many may use it at once."""

import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recc import cache

ROOT = Path(__file__).parent.parent
SOURCE = '''\
"""An emitted module."""

__all__ = ["double"]


def double(x):
    """Twice x."""
    return 2 * x


def fail():
    raise ValueError("as asked for")
'''


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("RECC_CACHE_DIR", str(folder))
    monkeypatch.setattr(cache, "_private", None)
    return folder


def fresh_key(text: str = "") -> str:
    """A key that no other test has, as modules stay imported."""
    return cache.key([text, os.urandom(8).hex()], {})


def load_again(key: str, build) -> object:
    """As a new process would: the module is not imported yet."""
    sys.modules.pop(f"recc.cache.double_{key}", None)
    return cache.load("double", key, build)


def never() -> str:
    raise AssertionError("built although it was in the cache")


def test_builds_once_and_keeps_a_file(directory: Path) -> None:
    key = fresh_key()
    module = cache.load("double", key, lambda: SOURCE)
    assert module.double(3) == 6
    assert cache.load("double", key, never) is module
    assert [path.name for path in directory.iterdir()] == [f"double_{key}.py"]
    again = load_again(key, never)
    assert again is not module and again.double(3) == 6  # pyright: ignore[reportAttributeAccessIssue]


def test_source_and_tracebacks_come_from_the_file() -> None:
    module = cache.load("double", fresh_key(), lambda: SOURCE)
    assert (
        inspect.getsource(module.double) == SOURCE[SOURCE.index("def double") : SOURCE.index("\n\n\ndef fail")] + "\n"
    )
    with pytest.raises(ValueError) as caught:
        module.fail()
    assert 'raise ValueError("as asked for")' in "".join(traceback.format_tb(caught.value.__traceback__))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data.replace(b"2 * x", b"3 * x"),
        lambda data: data + b"\n",
        lambda data: b"\0" * len(data),
        lambda data: data + data,
    ],
    ids=["last byte lost", "half lost", "empty", "edited", "line added", "zeros", "twice"],
)
def test_a_damaged_file_is_rebuilt(directory: Path, damage) -> None:
    key = fresh_key()
    cache.load("double", key, lambda: SOURCE)
    path = directory / f"double_{key}.py"
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert load_again(key, lambda: SOURCE).double(3) == 6  # pyright: ignore[reportAttributeAccessIssue]
    assert path.read_bytes() == good


def test_a_failed_build_leaves_nothing(directory: Path) -> None:
    key = fresh_key()

    def build() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError):
        cache.load("double", key, build)
    assert not directory.exists()
    assert f"recc.cache.double_{key}" not in sys.modules


def test_a_module_that_fails_is_not_kept_imported() -> None:
    key = fresh_key()
    with pytest.raises(ZeroDivisionError):
        cache.load("double", key, lambda: "1 / 0\n")
    assert f"recc.cache.double_{key}" not in sys.modules


def test_a_failed_write_leaves_no_temporary_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        module = cache.load("double", fresh_key(), lambda: SOURCE)
    assert module.double(3) == 6
    assert "return 2 * x" in inspect.getsource(module.double)
    assert list(directory.iterdir()) == []


def test_an_unusable_directory_falls_back_with_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RECC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match="set RECC_CACHE_DIR"):
        module = cache.load("double", fresh_key(), lambda: SOURCE)
    assert Path(inspect.getfile(module.double)).exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.load("double", fresh_key(), lambda: SOURCE).double(1) == 2


def test_key_depends_on_everything_and_on_order_of_nothing() -> None:
    base = cache.key(["a", "b"], {"n": 2, "method": "scan"})
    assert cache.key(["a", "b"], {"method": "scan", "n": 2}) == base
    others = [
        cache.key(["ab"], {"n": 2, "method": "scan"}),
        cache.key(["a", "b", ""], {"n": 2, "method": "scan"}),
        cache.key(["a", "b"], {"n": 3, "method": "scan"}),
        cache.key(["a", "b"], {"n": 2.0, "method": "scan"}),
        cache.key(["a", "b"], {"n": 2, "method": "auto"}),
        cache.key(["a", "b"], {"n": 2}),
        cache.key(["a", "\ud800"], {"n": 2, "method": "scan"}),
    ]
    assert len({base, *others}) == 1 + len(others)


def test_key_depends_on_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    base = cache.key(["a"], {})
    monkeypatch.setattr(cache, "_compiler_digest", lambda: "another")
    assert cache.key(["a"], {}) != base


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/recc"),
        ("linux", {"HOME": "/home/ada"}, "/home/ada/.cache/recc"),
        ("linux", {"HOME": "/home/ada", "XDG_CACHE_HOME": ""}, "/home/ada/.cache/recc"),
        ("darwin", {"HOME": "/Users/ada"}, "/Users/ada/Library/Caches/recc"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/recc"),
        ("linux", {"RECC_CACHE_DIR": "~/mine", "HOME": "/home/ada"}, "/home/ada/mine"),
    ],
)
def test_directory(platform: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RECC_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.directory() == Path(expected)


def test_threads_build_once() -> None:
    key, built, barrier = fresh_key(), [], threading.Barrier(8)

    def build() -> str:
        built.append(1)
        return SOURCE

    def work(_: int) -> object:
        barrier.wait()
        return cache.load("double", key, build)

    with ThreadPoolExecutor(8) as pool:
        modules = list(pool.map(work, range(8)))
    assert len(built) == 1 and all(module is modules[0] for module in modules)


WORKER = """
import sys
from recc import cache
key, rounds = sys.argv[1], int(sys.argv[2])
text = "x = 1\\n" * 20000
for i in range(rounds):
    module = cache.load("many", key, lambda: text)
    assert module.x == 1
    del sys.modules[module.__name__]
    if i % 3 == 0:
        path = cache.directory() / f"many_{key}.py"
        cache.write(path, text)
"""


def test_processes_share_a_directory(directory: Path) -> None:
    command = [sys.executable, "-c", WORKER, fresh_key(), "12"]
    workers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [worker.communicate()[1] for worker in workers] == [""] * 4
    assert len(list(directory.iterdir())) == 1


def test_functions_pickle_across_processes() -> None:
    module = cache.load("double", fresh_key(), lambda: SOURCE)
    data = pickle.dumps(module.double)
    assert pickle.loads(data) is module.double and copy.deepcopy(module.double) is module.double
    code = f"import pickle; print(pickle.loads({data!r})(21))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("42\n", "")


def test_an_unknown_module_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__(f"recc.cache.double_{'0' * 32}")
