"""C text as a shared library: built by the system's compiler at first use, and kept on disk by its content.

A library is `native/KEY/DIGEST.so` in the cache directory; the key stands for the text, the compiler and the
processor, the digest for the library's own bytes, which are checked before they are loaded. Many processes may build at
once: each writes a file of its own and renames it. What cannot be built is a `NativeError` that says why.
"""

import atexit
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

NEEDED_FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-w")
# Each is left out if a compiler does not know it. Nothing here lets arithmetic be reordered or NaN be ignored.
WANTED_FLAGS = (
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fopenmp-simd",
    "-fno-loop-unroll-and-jam",  # two rows in one accumulator take twice as long
    "-fno-tree-slp-vectorize",  # gcc 12 loses stores in a loop that sums as well
    "--param=vect-max-peeling-for-alignment=0",
)
BUILD_SECONDS = 300
LIBRARIES: dict[str, Any] = {}
BUILD_LOCK = threading.RLock()
PRIVATE_DIRECTORIES: list[str] = []


class NativeError(RuntimeError):
    """Why there is no native code: one line."""


def load_library(source: str, macros: tuple[tuple[str, str], ...]) -> Any:
    """The library of a C text with some macros, from the process, from disk, or built now. Raises NativeError."""
    options = tuple(f"-D{name}={value}" for name, value in macros)
    compiler = find_compiler()
    key = library_key(source, options, compiler)
    with BUILD_LOCK:
        if key not in LIBRARIES:
            LIBRARIES[key] = stored_library(key) or built_library(source, options, compiler, key)
        return LIBRARIES[key]


@lru_cache(maxsize=1)
def processor() -> str:
    """What code for this very processor depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    wanted = ("flags", "Features", "model name", "CPU part")
    found = {line.partition(":")[0].strip(): line for line in reversed(lines) if line.startswith(wanted)}
    return platform.machine() + "".join(found[name] for name in sorted(found))


def find_compiler() -> tuple[str, ...]:
    """The C compiler's command: `$CC`, else cc, gcc or clang. Raises NativeError if there is none."""
    chosen = os.environ.get("CC", "")
    try:
        command = shlex.split(chosen)
    except ValueError:
        command = [chosen]
    for candidate in [command] if command else [["cc"], ["gcc"], ["clang"]]:
        path = shutil.which(candidate[0])
        if path is not None:
            return (path, *candidate[1:])
    tried = f"CC={chosen}" if command else "cc, gcc, clang"
    raise NativeError(f"no C compiler was found (tried {tried})")


def library_key(source: str, options: tuple[str, ...], compiler: tuple[str, ...]) -> str:
    """32 hex digits that stand for all that a library depends on."""
    real = os.path.realpath(compiler[0])
    with_stamp = (*compiler, real, str(os.stat(real).st_mtime_ns), str(os.stat(real).st_size))
    parts = (source, *options, *with_stamp, *NEEDED_FLAGS, *WANTED_FLAGS, processor(), sys.platform)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def library_directory() -> Path:
    """Where libraries are kept: `native` in `RECC_CACHE_DIR`, else in recc's directory in the user's cache."""
    chosen = os.environ.get("RECC_CACHE_DIR")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen))) / "native"
    base = {"win32": os.environ.get("LOCALAPPDATA") or r"~\AppData\Local", "darwin": "~/Library/Caches"}.get(
        sys.platform, os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    )
    base = os.path.expanduser(base)
    if base.startswith("~"):
        return private_directory("this user has no home directory")
    return Path(os.path.abspath(base)) / "recc" / "native"


def private_directory(reason: str) -> Path:
    """A directory of this process, made with a warning the first time."""
    if not PRIVATE_DIRECTORIES:
        PRIVATE_DIRECTORIES.append(tempfile.mkdtemp(prefix="recc_native_"))
        atexit.register(shutil.rmtree, PRIVATE_DIRECTORIES[0], ignore_errors=True)
        warnings.warn(
            f"native code is kept for this process only, as the cache cannot be used ({reason}); "
            "set RECC_CACHE_DIR to a directory that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
    return Path(PRIVATE_DIRECTORIES[0])


def stored_library(key: str) -> Any:
    """The library that was built before, None if there is none whose bytes are what its name says."""
    with_digest: list[Path] = []
    try:
        with_digest = sorted((library_directory() / key).iterdir())
    except OSError:
        return None
    for path in with_digest:
        try:
            if digest_of(path.read_bytes()) == path.stem:
                return opened(path)
        except (OSError, NativeError):
            continue
    return None


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def opened(path: Path) -> Any:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeError(f"the compiled library cannot be loaded: {first_line(str(error))}") from None


def built_library(source: str, options: tuple[str, ...], compiler: tuple[str, ...], key: str) -> Any:
    """The library, built and stored. Raises NativeError."""
    with tempfile.TemporaryDirectory(prefix="recc_build_", ignore_cleanup_errors=True) as folder:
        text, made = Path(folder) / "kernel.c", Path(folder) / "kernel.so"
        text.write_text(source, encoding="utf-8")
        compile_library(compiler, text, made, options)
        data = made.read_bytes()
    name = f"{digest_of(data)}.so"
    try:
        path = write_library(library_directory() / key / name, data)
    except OSError as error:
        reason = f"{library_directory()}: {error.strerror or error}"
        try:
            path = write_library(private_directory(reason) / key / name, data)
        except OSError as failure:
            raise NativeError(f"the compiled library cannot be stored: {failure.strerror or failure}") from None
    return opened(path)


def compile_library(compiler: tuple[str, ...], text: Path, made: Path, options: tuple[str, ...]) -> None:
    """Runs the compiler, without the flags that it does not know. Raises NativeError."""
    flags = [*NEEDED_FLAGS, *WANTED_FLAGS]
    for attempt in (flags, usable_flags):
        chosen = attempt if isinstance(attempt, list) else attempt(compiler, text.parent)
        failure = run_compiler([*compiler, *chosen, *options, str(text), "-o", str(made), "-lm"])
        if failure is None:
            return
    raise NativeError(f"the C compiler {compiler[0]} failed: {failure}")


def usable_flags(compiler: tuple[str, ...], folder: Path) -> list[str]:
    """The flags that a compiler knows, tried one by one on an empty text."""
    text, made = folder / "probe.c", folder / "probe.so"
    text.write_text("int nothing;\n", encoding="utf-8")

    def works(flag: str) -> bool:
        return run_compiler([*compiler, *NEEDED_FLAGS, "-Werror", flag, str(text), "-o", str(made)]) is None

    return [*NEEDED_FLAGS, *(flag for flag in WANTED_FLAGS if works(flag))]


def run_compiler(command: list[str]) -> str | None:
    """None if a command succeeds, else what is wrong in one line."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=BUILD_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        return first_line(str(error))
    if done.returncode == 0:
        return None
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if "error" in line.lower()]
    return first_line("\n".join(errors or lines)) or f"exit status {done.returncode}"


def first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def write_library(path: Path, data: bytes) -> Path:
    """Puts a library's bytes into place, all or nothing. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp_")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


REPORTED: set[str] = set()
