"""The table of floors in doc/architecture.md, made from the imports of the modules."""

import ast
import re
from pathlib import Path

import discount

_TABLE = re.compile(r"(?<=<!-- floors -->\n).*(?=<!-- end of floors -->)", re.DOTALL)
_ROOT = Path(discount.__file__).parent
#: Folders that are two floors: the folder itself and these inside.
_INNER = ("api/routes", "api/schemas")


def describe() -> str:
    """Return a row for each floor: itself and the floors that it imports, from the bottom to the top."""
    rows = {floor: set[str]() for floor in map(_floor_of, _ROOT.rglob("*.py")) if floor}
    for path in _ROOT.rglob("*.py"):
        if floor := _floor_of(path):
            rows[floor] |= _imported(path) - {floor}
    ordered: list[str] = []
    while len(ordered) < len(rows):
        ordered += sorted(floor for floor in rows if floor not in ordered and rows[floor] <= set(ordered))
    lines = [f"| `{floor}` | {_listed(rows[floor], ordered)} |" for floor in ordered]
    return "\n".join(["| floor | imports |", "|---|---|", *lines]) + "\n"


def renew(page: str) -> str:
    """Return the page with its table renewed."""
    return _TABLE.sub(lambda _: describe(), page)


def _floor_of(path: Path) -> str:
    parts = path.relative_to(_ROOT).with_suffix("").parts
    inner = "/".join(parts[:2])
    return inner if inner in _INNER else parts[0].removeprefix("__init__")


def _imported(path: Path) -> set[str]:
    """Return the floors that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "discount":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            parts = [Path(*name.split(".")[1:]) for name in names]
            found |= {_floor_of(_ROOT / part) for part in parts}
    return {floor for floor in found if (_ROOT / floor).exists() or (_ROOT / f"{floor}.py").exists()} - {""}


def _listed(floors: set[str], ordered: list[str]) -> str:
    return ", ".join(f"`{floor}`" for floor in reversed(ordered) if floor in floors) or "nothing of ours"
