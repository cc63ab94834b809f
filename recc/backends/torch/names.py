"""Names and texts of a user in an emitted module: they hide nothing that the module needs, and end nothing."""

from __future__ import annotations

import builtins
import keyword

# What functions of an emitted module call their own: arguments, modules, helpers, and the locals of their frames.
RESERVED = frozenset(
    "torch math like inputs params constants state prepared kept earlier transition offset sizes leading dtype device "
    "complex_dtype rows steps once scanned dependent batch_size lanes size number SPEC EXPLANATION Tensor call "
    "step_call initial_state "
    "count_trailing_zeros windows fold_windows unknown given solve_fixed_point".split()
)
OPTIONS = frozenset("initial_state output_final_state cu_seqlens reverse method backend".split())
# Names that the functions which users call have for themselves.
FRAME = OPTIONS | frozenset("state batch_size lanes dtype device sizes call step_call SPEC".split())


def is_reserved(name: str) -> bool:
    """Whether a name means something to Python or to the functions of a module."""
    return keyword.iskeyword(name) or keyword.issoftkeyword(name) or hasattr(builtins, name) or name in RESERVED


def python_name(name: str) -> str:
    """A recurrence's name as a Python variable that hides nothing; different names stay different."""
    return f"{name}_" if _any_stem(name, is_reserved) else name


def public_name(name: str) -> str:
    """A name as an argument of the functions that users call, or as a field of their results."""
    return f"{name}_" if _any_stem(name, FRAME.__contains__) or keyword.iskeyword(name) else name


def _any_stem(name: str, taken) -> bool:
    """Whether a name, or what is left of it without underscores at its end, is taken: `len_` gives way to `len`."""
    while name:
        if taken(name):
            return True
        if not name.endswith("_"):
            return False
        name = name[:-1]
    return False


def harmless(text: str) -> str:
    """Text that cannot end the docstring that it stands in."""
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text + " " if text.endswith('"') else text


def one_line(text: str) -> str:
    """Text that cannot end the comment that it stands in."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
