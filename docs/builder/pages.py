"""The gallery's pages as HTML: one for each spec, and an index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from entries import Entry, Row
from mathematics import mathml
from picture import picture

from recc.typeset.equations import declared, rows

KEYWORDS = re.compile(
    r"^(\s*)(recurrence|input|param|state|output|assert|def|return|if|elif|else|for|from)\b", re.MULTILINE
)
ARXIV = re.compile(r"\barXiv (\d{4}\.\d{4,5})")


def page(title: str, body: str) -> str:
    """A whole page around a body."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        f'<link rel="stylesheet" href="style.css">\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )


def entry_page(entry: Entry, before: Entry | None, after: Entry | None) -> str:
    """The page of one spec."""
    parts = [
        _navigation(before, after),
        f"<h1>{escape(entry.name)}</h1>",
        *(f"<p>{_linked(text)}</p>" for text in entry.about),
        "<h2>Equations</h2>",
        _declarations(entry),
        _equations(entry),
        "<h2>Spec</h2>",
        f"<pre>{_coloured(entry.text)}</pre>",
        f'<p class="use"><code>recc compile {escape(entry.name)} -o {escape(entry.name)}.py</code></p>',
        "<h2>What depends on what</h2>",
        f'<div class="wide">{picture(entry.report.recurrence, entry.report.analysis)}</div>',
        '<p class="note">Inputs and parameters on the left, states level by level, outputs on the right. A dashed line '
        "is what a state reads of the step before.</p>",
        "<h2>Structure and proof</h2>",
        *map(_component, entry.told["components"]),
        "<h2>Methods</h2>",
        _methods(entry),
        "<h2>Verified</h2>",
        _verified(entry.results),
    ]
    return page(f"{entry.name} - recc", "\n".join(parts))


def index_page(found: Sequence[Entry]) -> str:
    """The table of all specs."""
    table = _table(
        ("name", "what it is", "structure", "methods"),
        [
            (
                f'<a href="{entry.name}.html">{escape(entry.name)}</a>',
                _linked(entry.about[0] if entry.about else ""),
                "<br>".join(map(escape, entry.structures)),
                ", ".join(entry.methods),
            )
            for entry in found
        ],
    )
    intro = (
        f"<p>{len(found)} published recurrences as specs, each with what the compiler proves of it. Every page is made "
        "from the spec by <code>python docs/builder/gallery.py</code>. All verification results stand in "
        '<a href="verified.html">one table</a>.</p>'
    )
    return page("Gallery - recc", f"<h1>Gallery</h1>\n{intro}\n{table}")


def verified_page(found: Sequence[Entry]) -> str:
    """The summary of `recc verify --all`."""
    results = [row for entry in found for row in entry.results]
    passed = sum(bool(row["passed"]) for row in results)
    intro = (
        '<p><a href="index.html">Gallery</a></p><h1>Verified</h1>'
        f"<p><code>recc verify --all</code>: {passed} of {len(results)} rows pass. {EXPLAINED}</p>"
    )
    return page("Verified - recc", intro + _results_table(results, linked=True))


EXPLAINED = (
    "Each row compares outputs, final states and all gradients with the float64 interpreter: 0, 1, 2, 63, 64, 65 and "
    "1000 steps, packed sequences with an empty one, strided and broadcast arguments, no rows. Errors are relative to "
    "one plus the largest value."
)


def _navigation(before: Entry | None, after: Entry | None) -> str:
    links = ['<a href="index.html">Gallery</a>']
    links += [f'<a href="{other.name}.html">{text} {other.name}</a>' for other, text in ((before, "&larr;"),) if other]
    links += [f'<a href="{other.name}.html">{other.name} &rarr;</a>' for other in (after,) if other]
    return f"<nav>{' '.join(links)}</nav>"


def _linked(text: str) -> str:
    """Text with a link at every arXiv number, and code where backticks are."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', text)


def _declarations(entry: Entry) -> str:
    found = declared(entry.tree)
    lines = [
        f"<dt>{kind}</dt><dd>{' '.join(f'<span>{mathml(latex)}</span>' for latex in texts)}</dd>"
        for kind, texts in found.items()
    ]
    constants = ", ".join(f"{name} = {value}" for name, value in entry.told["constants"].items())
    if constants:
        lines.insert(0, f"<dt>constants</dt><dd>{escape(constants)}</dd>")
    return f"<dl>{''.join(lines)}</dl>"


def _equations(entry: Entry) -> str:
    lines = [f'<div style="margin-left: {2 * row.depth}em">{mathml(row.latex)}</div>' for row in rows(entry.tree)]
    return f'<div class="equations">{"".join(lines)}</div>'


def _coloured(text: str) -> str:
    return KEYWORDS.sub(r"\1<b>\2</b>", escape(text, quote=False))


def _component(component: dict[str, Any]) -> str:
    facts = component.get("facts", ())
    if refusal := component.get("refusal"):
        facts = [
            f"culprit: {refusal['culprit']} {refusal['place']}".rstrip(),
            refusal["reason"],
            f"hint: {refusal['hint']}",
        ]
    items = "".join(f"<li>{_linked(fact)}</li>" for fact in facts)
    states = ", ".join(component["states"])
    return f"<p><b>{escape(states)}</b>: {escape(component['structure'])}</p><ul>{items}</ul>"


def _methods(entry: Entry) -> str:
    told = entry.told
    table = _table(
        ("method", "operations a step", "bytes a step (float32)", "dependent steps"),
        [tuple(escape(method[key]) for key in ("name", "work", "bytes", "depth")) for method in told["methods"]],
    )
    built = {method["name"] for method in told["methods"]}
    others = "".join(
        _other(admission, told["refused"]) for admission in told["admits"] if admission["name"] not in built
    )
    choice = f"<p>auto: {escape(told['choice']['method'])}. {escape(told['choice']['why'])}</p>"
    return table + (f"<ul>{others}</ul>" if others else "") + choice


def _other(admission: dict[str, Any], refused: dict[str, str]) -> str:
    """A method that the compiler does not have for this spec: what the proofs say of it, or why it was refused."""
    name, reason = admission["name"], admission["reason"]
    if admission["admitted"] and name not in refused:
        return f"<li>{escape(name)}: not built yet, but admitted: {_linked(reason)}</li>"
    return f"<li>{escape(name)}: refused: {_linked(refused[name] if name in refused else reason)}</li>"


def _verified(results: Sequence[Row]) -> str:
    if not results:
        return "<p>Not verified yet.</p>"
    return f'{_results_table(results)}<p class="note">{EXPLAINED}</p>'


def _results_table(results: Iterable[Row], linked: bool = False) -> str:
    heads = ("recurrence",) * linked + ("method", "backend", "dtype", "cases", "error", "gradient error", "allowed", "")
    lines = []
    for row in results:
        numbers = (str(row["cases"]), *(f"{row[key]:.0e}" for key in ("error", "gradient_error", "tolerance")))
        name = (f'<a href="{row["recurrence"]}.html">{row["recurrence"]}</a>',) * linked
        verdict = "pass" if row["passed"] else f"<b>FAIL</b> {escape(row['detail'])}"
        lines.append((*name, row["method"], row["backend"], row["dtype"], *numbers, verdict))
    return _table(heads, lines)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
