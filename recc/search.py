"""What can be asked of the shipped specs: `structure:householder method:scan complex:yes delta`.

A query is words. `field:value` asks one field, `-` in front turns a word round, a bare word is looked for everywhere;
a spec is found if every word holds. Facts come from the analysis, and are kept in the cache directory by content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from recc import cache
from recc.catalogue import shipped

Facts = Mapping[str, tuple[str, ...]]

FIELDS = tuple("name about structure algebra method input param state output complex invariant".split())

# What people call a structure, and what the analysis calls it.
SYNONYMS = {
    "householder": ("identity + rank",),
    "dplr": ("diagonal + rank", "diagonal + low rank"),
    "delta": ("identity + rank",),
    "lti": ("time-invariant",),
    "maxplus": ("(max,+)",),
    "max-plus": ("(max,+)",),
    "minplus": ("(min,+)",),
    "log-semiring": ("(logsumexp,+)",),
    "mobius": ("fractional",),
    "riccati": ("fractional",),
    "semiring": ("(max,+)", "(min,+)", "(logsumexp,+)"),
}


class QueryError(ValueError):
    """A query that cannot be understood; the message says why and what can be asked."""


def search(query: str) -> dict[str, Facts]:
    """The shipped specs that a query finds, with their facts, by name. Raises QueryError."""
    words = list(_parsed(query))
    return {name: facts for name, facts in index().items() if all(_holds(word, facts) for word in words)}


def index() -> dict[str, Facts]:
    """The facts about every shipped spec, in order of name."""
    return {name: _kept(name, path) for name, path in shipped().items()}


def _parsed(query: str) -> Iterator[tuple[bool, str | None, str]]:
    """(whether it shall hold, the field or None for all, the value) of each word; quotes keep blanks together."""
    for match in re.finditer(r"""(-?)(?:([A-Za-z_]+):)?(?:"([^"]*)"|'([^']*)'|(\S+))""", query):
        minus, field, *values = match.groups()
        value = next(value for value in values if value is not None).casefold()
        if field is not None and field.casefold() not in FIELDS:
            raise QueryError(f"{field!r} cannot be asked for; {', '.join(FIELDS)} can, as in structure:householder")
        yield not minus, field.casefold() if field else None, value


def _holds(word: tuple[bool, str | None, str], facts: Facts) -> bool:
    wanted, field, value = word
    texts = facts[field] if field else [text for texts in facts.values() for text in texts]
    return _found(value, texts) == wanted


def _found(value: str, texts: Iterable[str]) -> bool:
    spelled = (value, *SYNONYMS.get(value, ()))
    return any(each in text.casefold() for text in texts for each in spelled)


def _kept(name: str, path: Path) -> Facts:
    """Facts from the cache, else from the analysis; a cache that cannot be used only costs time."""
    key = cache.key(["facts", path.read_text(encoding="utf-8")], {})
    place = cache.directory() / f"{name}_{key}.json"
    text = cache.read(place)
    if text is not None:
        return {field: tuple(texts) for field, texts in json.loads(text).items()}
    facts = _facts(path)
    with suppress(OSError):
        cache.write(place, json.dumps(facts, indent=1) + "\n")
    return facts


def _facts(path: Path) -> Facts:
    from recc.compiler import analyse

    report = analyse(path)
    recurrence, told = report.recurrence, json.loads(report.json())
    components = told["components"]
    described = {
        "name": [recurrence.name],
        "about": [line.strip() for line in recurrence.doc.strip().splitlines()] or [""],
        "structure": [item["structure"] for item in components],
        "algebra": [item["algebra"] for item in components],
        "method": [method["name"] for method in told["admits"] if method["admitted"]],
        "input": [var.name for var in recurrence.inputs],
        "param": [var.name for var in recurrence.params],
        "state": list(recurrence.state_names),
        "output": [item.name for item in recurrence.outputs],
        "complex": ["yes" if any(state.var.complex for state in recurrence.states) else "no"],
        "invariant": ["yes" if all(item.get("time_invariant") for item in components) else "no"],
    }
    return {field: tuple(texts) for field, texts in described.items()}
