"""Build `docs/gallery/` from the shipped specs.

python docs/builder/gallery.py             pages from the specs and the stored verification results
python docs/builder/gallery.py --verify    verify every spec first, and store the results (about 10 minutes)
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from entries import Entry, Row, entries
from pages import entry_page, index_page, verified_page

GALLERY = Path(__file__).parent.parent / "gallery"
RESULTS = "verified.json"


def main() -> None:
    made = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    made.add_argument("--verify", action="store_true", help="verify every spec first")
    made.add_argument("--out", type=Path, default=GALLERY, help="where the pages go")
    options = made.parse_args()
    if options.verify:
        (GALLERY / RESULTS).write_text(json.dumps(verified(), indent=1) + "\n", encoding="utf-8")
    pages = built()
    for name, text in pages.items():
        (options.out / name).write_text(text, encoding="utf-8")
    for path in options.out.glob("*.html"):
        if path.name not in pages:
            path.unlink()  # of a spec that is gone


def built() -> dict[str, str]:
    """The text of every page by its file's name."""
    stored = GALLERY / RESULTS
    found = entries(json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else ())
    pages = {"index.html": index_page(found), "verified.html": verified_page(found)}
    neighbours: list[Entry | None] = [None, *found, None]
    for before, entry, after in zip(neighbours, found, neighbours[2:], strict=False):
        pages[f"{entry.name}.html"] = entry_page(entry, before, after)
    return pages


def verified() -> list[Row]:
    """The results of verifying every shipped spec, without the times, which are of this machine alone."""
    from rich.progress import track

    from recc.catalogue import shipped
    from recc.diagnostics import SpecError
    from recc.verify.together import verify_each

    sources = list(shipped().values())
    rows: list[Row] = []
    for found in track(verify_each(sources), "verifying", total=len(sources)):
        if isinstance(found, SpecError):
            raise found
        rows += map(asdict, found)
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


if __name__ == "__main__":
    main()
