"""Renew every page that has a part made from the code: `make docs`."""

from pathlib import Path

from doc.generate import PAGES

for name, renew in PAGES.items():
    path = Path(__file__).parents[1] / name
    path.write_text(renew(path.read_text(encoding="utf-8")), encoding="utf-8")
