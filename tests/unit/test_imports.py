"""Folders are floors: each may import those below it, and nothing above. One row a folder."""

import ast
import unittest
from pathlib import Path

import discount

ROOT = Path(discount.__file__).parent

#: What each floor may import of ours, itself aside.
FLOORS: dict[str, set[str]] = {
    "domain": set(),
    "deferred": set(),
    "metrics": {"deferred"},
    "config": {"domain"},
    "environment": {"config", "domain"},
    "logs": {"config", "deferred"},
    "store": {"domain"},
    "redis_access": {"store", "config", "metrics", "domain"},
    "security": {"store", "domain"},
    "mails": {"domain"},
    "services": {"security", "store", "domain", "deferred"},
    "ledger": {"services", "security", "store", "domain"},
    "api.schemas": {"ledger", "services", "store", "domain"},
    "api": {"api.schemas", "services", "security", "store", "domain", "logs", "metrics"},
    "api.routes": {"ledger", "api", "api.schemas", "services", "security", "mails", "store", "domain", "metrics"},
    "console": {"ledger", "api", "api.schemas", "services", "security", "mails", "store", "domain"},
    "dialects": {"api", "api.schemas", "services", "mails", "store", "domain", "metrics"},
    "worker": {
        *("ledger", "services", "security", "mails", "store", "domain", "config", "metrics", "redis_access"),
    },
    "local": {"store", "domain", "config", "environment"},
    "serving": {"store", "domain", "config", "environment", "logs"},
    "cli": {
        *("ledger", "api.routes", "api", "api.schemas", "worker", "local", "services", "security", "store", "domain"),
        *("config", "environment", "logs"),
    },
    "app": {
        *("console", "dialects", "ledger", "api.routes", "api", "services", "security", "store", "config"),
        *("environment", "logs", "redis_access"),
    },
    "__main__": {"cli"},
}
#: Libraries that only some floors may import.
LIBRARIES: dict[str, set[str]] = {
    "redis": {"store"},
    "hiredis": {"store"},
    "flask": {"api", "api.routes", "app", "console"},
    "werkzeug": {"api", "api.routes", "console"},
    "babel": {"console"},
    "jwt": {"security"},
    "itsdangerous": {"console"},
    "gunicorn": {"serving", "api"},
    "httpcore": {"worker"},
    "smtplib": {"worker"},
    "aiosmtpd": {"local"},
    "click": {"cli", "local"},
    "rich": {"cli"},
    "sqlalchemy": {"ledger"},
    "alembic": {"ledger"},
}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Return every module that a file imports; `from discount.store import keys` is discount.store.keys."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            whole = {f"{node.module}.{name.name}" for name in node.names}
            inside = {name for name in whole if name in MODULES}
            found |= inside if inside == whole else inside | {node.module}
    return found


def floor_of(module: str) -> str:
    """Return the floor of one of our modules; empty for the package itself."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[:2] in (["api", "routes"], ["api", "schemas"]) else "".join(parts[:1])


MODULES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}
IMPORTS = {module: imports_of(path) for module, path in MODULES.items()}


class Floors(unittest.TestCase):
    def test_every_module_belongs_to_a_floor(self) -> None:
        self.assertEqual({floor_of(module) for module in MODULES} - {""}, set(FLOORS))

    def test_each_floor_imports_only_the_floors_its_row_allows(self) -> None:
        for module, imported in IMPORTS.items():
            floor = floor_of(module)
            floors = {floor_of(name) for name in imported if name.split(".")[0] == "discount"}
            with self.subTest(module):
                self.assertLessEqual(floors - {floor, ""}, FLOORS.get(floor, set()))

    def test_no_row_allows_more_than_is_used(self) -> None:
        used: dict[str, set[str]] = {floor: set() for floor in FLOORS}
        for module, imported in IMPORTS.items():
            if floor_of(module):
                used[floor_of(module)] |= {floor_of(name) for name in imported if name.split(".")[0] == "discount"}
        for floor, allowed in FLOORS.items():
            with self.subTest(floor):
                self.assertEqual(allowed - used[floor], set())

    def test_the_rows_have_an_order_from_bottom_to_top(self) -> None:
        placed: set[str] = set()
        for floor, allowed in FLOORS.items():
            with self.subTest(floor):
                below = allowed if floor != "api" else allowed - {"api.schemas"} | {"api.schemas"}
                self.assertLessEqual(below, placed)
            placed.add(floor)

    def test_no_module_imports_itself_by_way_of_others(self) -> None:
        def reached(module: str, seen: set[str]) -> set[str]:
            for name in IMPORTS.get(module, set()) - seen:
                seen.add(name)
                reached(name, seen)
            return seen

        self.assertEqual({module for module in MODULES if module in reached(module, set())}, set())


class Libraries(unittest.TestCase):
    def test_each_library_is_imported_only_where_its_row_allows(self) -> None:
        for library, allowed in LIBRARIES.items():
            floors = {
                floor_of(module)
                for module, imported in IMPORTS.items()
                if any((name + ".").startswith(library + ".") for name in imported)
            }
            with self.subTest(library):
                self.assertEqual(floors - allowed, set())
                self.assertTrue(floors)


class Routes(unittest.TestCase):
    def setUp(self) -> None:
        self.routes = {
            module: path
            for module, path in MODULES.items()
            if floor_of(module) in ("api.routes", "dialects") and not module.endswith("health")
        }
        self.assertGreater(len(self.routes), 10)

    def test_routes_send_no_command(self) -> None:
        for module, path in self.routes.items():
            with self.subTest(module):
                self.assertNotRegex(path.read_text(encoding="utf-8"), r"store\.(commands?|run|run_many)\(")

    def test_native_routes_contain_no_try_statement(self) -> None:
        for module, path in self.routes.items():
            if floor_of(module) == "api.routes":
                tree = ast.parse(path.read_text(encoding="utf-8"))
                with self.subTest(module):
                    self.assertEqual([node for node in ast.walk(tree) if isinstance(node, ast.Try)], [])
