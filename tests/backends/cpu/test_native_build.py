"""How libraries are built, kept and lost: each mistake ends in a clear error or in a clean way around it."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import recc
from recc import cache
from recc.runtime import native_build
from recc.runtime.native_build import NativeError, load_library

TEXT = "int answer(void) { return NUMBER; }\n"


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and no library in the process."""
    monkeypatch.setenv("RECC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(native_build, "LIBRARIES", {})
    monkeypatch.setattr(native_build, "PRIVATE_DIRECTORIES", [])
    monkeypatch.setattr(native_build, "REPORTED", set())
    return tmp_path


def load(number: int = 7):
    return load_library(TEXT, (("NUMBER", str(number)),))


def again(number: int = 7):
    """What another process would find."""
    native_build.LIBRARIES.clear()
    return load(number)


def libraries(folder: Path) -> list[Path]:
    return sorted(folder.glob("native/*/*.so"))


def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_build, "run_compiler", lambda command: "it must not be called")


def test_macros_make_libraries_of_their_own(fresh: Path) -> None:
    assert load(7).answer() == 7 and load(8).answer() == 8
    assert len(libraries(fresh)) == 2


def test_a_second_process_does_not_compile(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    no_compiler(monkeypatch)
    assert again().answer() == 7
    with pytest.raises(NativeError, match="it must not be called"):
        load(9)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_library_is_built_again(fresh: Path, damage: str) -> None:
    load()
    (path,) = libraries(fresh)
    data = path.read_bytes()
    path.unlink()
    path.write_bytes({"cut": data[: len(data) // 2], "changed": data[:-1] + b"x", "empty": b""}[damage])
    assert again().answer() == 7
    assert libraries(fresh)[0].read_bytes() == data


def test_a_directory_that_cannot_be_written(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fresh / "file"
    file.write_text("")
    monkeypatch.setenv("RECC_CACHE_DIR", str(file / "below"))
    with pytest.warns(RuntimeWarning, match="native code is kept for this process only") as found:
        assert load().answer() == 7 and load(8).answer() == 8
    assert len(found) == 1


def test_a_full_disk(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(native_build, "write_library", full)
    with pytest.warns(RuntimeWarning, match="No space left"), pytest.raises(NativeError, match="cannot be stored"):
        load()


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(NativeError, match=r"no C compiler was found \(tried cc, gcc, clang\)"):
        load()


def test_the_environment_chooses_the_compiler(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = fresh / "mine"
    wrapper.write_text('#!/bin/sh\necho called >> "$0.log"\nexec cc "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", f"{wrapper} -DEXTRA=1")
    assert load().answer() == 7
    assert (fresh / "mine.log").read_text() == "called\n"


def test_a_compiler_that_knows_fewer_flags(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = fresh / "old"
    wrapper.write_text(
        '#!/bin/sh\ncase "$*" in *fopenmp-simd*|*param*) echo unknown flag >&2; exit 1;; esac\nexec cc "$@"\n'
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(wrapper))
    assert load().answer() == 7


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(NativeError, match="the C compiler .*false failed: exit status 1"):
        load()


def test_text_that_does_not_compile() -> None:
    with pytest.raises(NativeError, match="failed: .*error"):
        load_library("int answer(void) { return }", ())


DOUBLE = "recurrence twice:\n    input  x[D]\n    state  h[D]\n    h = 2 * x\n    output h\n"


def test_without_a_compiler_torch_takes_over_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    f = recc.load(DOUBLE)
    monkeypatch.setattr(sys.modules[f.__module__], "READY", {})
    monkeypatch.setattr(sys.modules[f.__module__], "LIBRARIES", {})
    monkeypatch.setattr(sys.modules[f.__module__], "REPORTED", set())
    monkeypatch.setattr(sys.modules[f.__module__], "BUILD_SHARE", -1.0)
    monkeypatch.setenv("CC", "/nowhere/cc")
    x = torch.randn(1, 3, 4)
    with pytest.warns(RuntimeWarning, match="twice: the torch backend is used.*no C compiler") as found:
        assert torch.equal(f(x)[0], 2 * x) and torch.equal(f(x)[0], 2 * x)
    assert len(found) == 1
    with pytest.raises(RuntimeError, match="backend: twice cannot run on 'cpu': no C compiler was found"):
        f(x, backend="cpu")


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.randn(1, 3, 0), {}, "an axis is empty"),
        (torch.randn(1, 3, 4, device="meta"), {}, "tensors are not on the CPU"),
        (torch.randn(1, 3, 4), {"method": "scan"}, "it has no method 'scan'"),
    ],
)
def test_calls_that_native_code_cannot_make(x: torch.Tensor, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"backend: twice cannot run on 'cpu': {message}"):
        recc.load(DOUBLE)(x, backend="cpu", **options)


def test_a_module_without_native_code() -> None:
    assert "NATIVE" not in recc.compile(DOUBLE, backend="torch")
    with pytest.raises(ValueError, match="it was compiled with `--backend torch`"):
        recc.load(DOUBLE, backend="torch")(torch.randn(1, 3, 4), backend="cpu")


def test_the_directory_is_beside_the_modules(monkeypatch: pytest.MonkeyPatch, fresh: Path) -> None:
    assert native_build.library_directory().parent == cache.directory()
    monkeypatch.delenv("RECC_CACHE_DIR")
    assert native_build.library_directory().parent == cache.directory()


SCRIPT = """
import sys, torch, recc
f = recc.load(sys.argv[1])
x = torch.ones(1, 3, 4)
assert torch.equal(f(x, backend="cpu")[0], 2 * x)
"""


def test_processes_that_build_at_once(fresh: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([sys.executable, "-c", SCRIPT, DOUBLE], env=environment) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    assert len(libraries(fresh)) == 1
    assert not list(fresh.glob("native/*/.tmp_*"))


def work(connection, x: torch.Tensor) -> None:
    torch.use_deterministic_algorithms(False)  # else torch fills memory with its own threads, which died at the fork
    out = recc.load(DOUBLE)(x, backend="cpu")[0]
    torch.set_num_threads(1)
    connection.send(bool(torch.equal(out, 2 * x)))


def test_fork_after_use() -> None:
    """Worker threads do not survive a fork; a child makes its own."""
    before = torch.get_num_threads()
    x = torch.randn(4, 2**12, 64)
    f = recc.load(DOUBLE)
    try:
        torch.set_num_threads(2)
        assert torch.equal(f(x, backend="cpu")[0], 2 * x)
        assert sys.modules[f.__module__].POOLS
        here, there = multiprocessing.Pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons warn of any fork beside threads
            child = multiprocessing.get_context("fork").Process(target=work, args=(there, x))
            child.start()
        assert here.poll(60) and here.recv()
        child.join(60)
        assert child.exitcode == 0
    finally:
        torch.set_num_threads(before)
