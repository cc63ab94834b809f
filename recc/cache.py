"""Emitted modules kept on disk: looked up by content, written atomically, checked before they are run.

A file is `NAME_KEY.py` in `RECC_CACHE_DIR` (by default the user's cache directory). Its last line is a checksum of the
lines above it, so a file that was cut short, damaged or edited is noticed and built again. Many processes may share the
directory: each writes to a temporary file of its own and renames it, and all of them write the same bytes for a key.
Deleting the directory is always safe.
"""

import atexit
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

# An emitted module is imported as `recc.cache.NAME_KEY`. A path, if an empty one, makes this module a package to the
# import system, which then asks `_Finder`: so a function that was pickled in one process is found in another.
__path__: list[str] = []

_CHECKSUM = b"# recc checksum: "
_MODULE = re.compile(re.escape(__name__) + r"\.([A-Za-z_]\w*_[0-9a-f]{32})")
_lock = threading.RLock()
_private: Path | None = None


def load(stem: str, key: str, build: Callable[[], str]) -> ModuleType:
    """The module for ``key``: imported before, else from its file, else built by ``build()`` and written first.

    ``stem`` (an identifier) is for the reader: it starts the file's and the module's name. What ``build`` raises
    passes through, and leaves nothing behind.
    """
    name = f"{__name__}.{stem}_{key}"
    with _lock:
        if name in sys.modules:
            return sys.modules[name]
        path = directory() / f"{stem}_{key}.py"
        text = read(path)
        if text is None:
            text = build().rstrip("\n") + "\n"
            path = _store(path, text)
        return _execute(name, path, text)


def directory() -> Path:
    """Where emitted modules are kept: ``RECC_CACHE_DIR``, else ``recc`` in the platform's user cache directory."""
    chosen = os.environ.get("RECC_CACHE_DIR")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or r"~\AppData\Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    base = os.path.expanduser(base)
    if base.startswith("~"):
        return _private_directory("this user has no home directory")
    return Path(os.path.abspath(base)) / "recc"


def key(parts: Sequence[str], options: Mapping[str, object]) -> str:
    """32 hex digits that stand for the texts ``parts``, the ``options`` and the compiler itself.

    Options are compared by type and value (``2``, ``2.0`` and ``True`` emit different text), in any order.
    """
    digest = hashlib.sha256(_compiler_digest().encode())
    described = [f"{name}={type(value).__name__}:{value!r}" for name, value in sorted(options.items())]
    for text in (*parts, *described):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:32]


def read(path: Path) -> str | None:
    """The emitted text in ``path``, or None if there is none that can be trusted."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    body, mark, checksum = data.rpartition(_CHECKSUM)
    if not mark or checksum != _checksum(body):
        return None
    return body.decode("utf-8")


def write(path: Path, text: str) -> None:
    """Puts ``text`` and its checksum into ``path``, all or nothing. Raises ``OSError`` if that cannot be done."""
    body = text.encode("utf-8")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".tmp_", suffix=".py")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body + _CHECKSUM + _checksum(body))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _store(path: Path, text: str) -> Path:
    """The path that ``text`` was written to, or would have been: a module without a file still shows its source."""
    try:
        write(path, text)
    except OSError as error:
        if read(path) == text:  # another process was first, and Windows does not replace a file that is open
            return path
        path = _private_directory(f"{path.parent}: {error.strerror or error}") / path.name
        with suppress(OSError):
            write(path, text)
    return path


def _private_directory(reason: str) -> Path:
    global _private
    if _private is None:
        _private = Path(tempfile.mkdtemp(prefix="recc_"))
        atexit.register(shutil.rmtree, _private, ignore_errors=True)
        warnings.warn(
            f"compiled recurrences are kept for this process only, as the cache cannot be used ({reason}); "
            "set RECC_CACHE_DIR to a directory that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
    return _private


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n"


@cache
def _compiler_digest() -> str:
    """A hash of the version and of recc's own sources, so that a changed compiler never meets its old output."""
    from recc import __version__

    root = Path(__file__).parent
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(root.rglob("*")):
        if path.suffix in {".py", ".lark", ".c"}:
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class _Loader(importlib.abc.Loader):
    """Runs text that was checked, not whatever the file holds by now; tracebacks and `inspect` read the file."""

    def __init__(self, text: str) -> None:
        self.text = text

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None and module.__spec__.origin is not None
        exec(compile(self.text, module.__spec__.origin, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, fullname: str) -> str:
        return self.text


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        match = _MODULE.fullmatch(fullname)
        if match is None:
            return None
        file = directory() / f"{match[1]}.py"
        text = read(file)
        return None if text is None else _spec(fullname, file, text)


def _spec(name: str, path: Path, text: str) -> importlib.machinery.ModuleSpec:
    spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(text))
    assert spec is not None
    return spec


def _execute(name: str, path: Path, text: str) -> ModuleType:
    spec = _spec(name, path, text)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        _Loader(text).exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


sys.meta_path.append(_Finder())
