"""The gallery: its pages are those that the specs give today, and their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from recc.catalogue import shipped

ROOT = Path(__file__).parent.parent
GALLERY = ROOT / "docs" / "gallery"
PAGES = sorted(GALLERY.glob("*.html"))


class Links(HTMLParser):
    """The targets of a page's links, and the tags that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for key, value in attrs if key == "href" and value]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_pages_are_up_to_date(tmp_path: Path) -> None:
    """`python docs/builder/gallery.py` would change nothing."""
    command = [sys.executable, str(ROOT / "docs" / "builder" / "gallery.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    built = {path.name: path.read_text() for path in tmp_path.glob("*.html")}
    assert built.keys() == {path.name for path in PAGES}
    stale = [name for name, text in built.items() if text != (GALLERY / name).read_text()]
    assert not stale


def test_every_spec_has_a_page_and_the_other_way_round() -> None:
    assert {path.stem for path in PAGES} == {*shipped(), "index", "verified"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    page = Links()
    page.feed(path.read_text())
    assert not page.open and page.targets
    for target in page.targets:
        if target.startswith("https:"):
            assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{4,5}", target)
        else:
            assert (GALLERY / target).is_file(), target


def test_every_spec_is_verified() -> None:
    """`verified.json` has rows for every spec, all of which passed."""
    import json

    rows = json.loads((GALLERY / "verified.json").read_text())
    assert {row["recurrence"] for row in rows} == set(shipped())
    assert all(row["passed"] for row in rows)
