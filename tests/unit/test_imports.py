"""Imports point down: api to verbs, verbs to the store, everything to what is pure."""

import ast
import unittest
from pathlib import Path

import discount

ROOT = Path(discount.__file__).parent
PURE = {
    "discount.model",
    "discount.errors",
    "discount.reasons",
    "discount.codes",
    "discount.kinds",
    "discount.rules",
    "discount.durations",
    "discount.cursors",
    "discount.events",
    "discount.mails",
    "discount.mails.wording",
} | {
    "discount.api_keys",
}
VERBS = {
    *("discount.lists", "discount.discounts", "discount.pools", "discount.grants", "discount.exports"),
    "discount.claims",
    "discount.slices",
    *("discount.contacts", "discount.outbox", "discount.webhooks", "discount.deliveries", "discount.signatures"),
    *(
        "discount.redemptions",
        "discount.brands",
        "discount.users",
        "discount.quotas",
        "discount.user_events",
        "discount.tokens",
        "discount.user_tokens",
    ),
}
WIRING = {"discount.app"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it; `from discount import model` is discount.model."""
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


MODULES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}
IMPORTS = {module: imports_of(path) for module, path in MODULES.items()}


def importers(package: str) -> set[str]:
    return {
        module
        for module, imported in IMPORTS.items()
        if any((name + ".").startswith(package + ".") for name in imported)
    }


def inside(module: str, package: str) -> bool:
    return (module + ".").startswith(package + ".")


class Imports(unittest.TestCase):
    def test_only_the_store_imports_redis(self) -> None:
        for client in ("redis", "hiredis", "valkey", "fakeredis"):
            with self.subTest(client):
                self.assertEqual(
                    {module for module in importers(client) if not inside(module, "discount.store")}, set()
                )
        self.assertIn("discount.store", importers("redis"))

    def test_only_the_app_and_the_api_import_the_framework(self) -> None:
        for framework in ("flask", "werkzeug"):
            strangers = {
                module for module in importers(framework) if not inside(module, "discount.api") and module not in WIRING
            }
            with self.subTest(framework):
                self.assertEqual(strangers, set())
        self.assertIn("discount.app", importers("flask"))

    def test_pure_modules_import_pure_modules_only(self) -> None:
        self.assertLessEqual(PURE, set(MODULES))
        for module in PURE:
            ours = {name for name in IMPORTS[module] if inside(name, "discount")}
            with self.subTest(module):
                self.assertLessEqual(ours, PURE)

    def test_the_store_knows_no_verb_and_no_route(self) -> None:
        for module in MODULES:
            if inside(module, "discount.store"):
                ours = {name for name in IMPORTS[module] if inside(name, "discount")}
                with self.subTest(module):
                    self.assertEqual({name for name in ours if not inside(name, "discount.store")} - PURE, set())

    def test_verbs_know_no_route_and_no_process(self) -> None:
        for module in VERBS:
            ours = {name for name in IMPORTS[module] if inside(name, "discount")}
            allowed = {name for name in ours if inside(name, "discount.store")} | VERBS | PURE
            with self.subTest(module):
                self.assertEqual(ours - allowed, set())

    def test_routes_know_no_wiring(self) -> None:
        for module in MODULES:
            if inside(module, "discount.api"):
                with self.subTest(module):
                    self.assertEqual(IMPORTS[module] & (WIRING | {"discount.config"}), set())

    def test_dialects_know_verbs_and_the_contract_but_no_route(self) -> None:
        contract = {f"discount.api.{name}" for name in ("caller", "contract", "schemas", "tables", "voices")}
        dialects = {module for module in MODULES if inside(module, "discount.dialects")}
        self.assertGreater(len(dialects), 1)
        for module in dialects:
            ours = {name for name in IMPORTS[module] if inside(name, "discount")}
            # The store is handed on, and nothing of it is used.
            allowed = dialects | VERBS | PURE | contract | {"discount.metrics", "discount.store"}
            with self.subTest(module):
                self.assertEqual(ours - allowed, set())

    def test_only_the_wiring_knows_the_dialects(self) -> None:
        strangers = {module for module in importers("discount.dialects") if not inside(module, "discount.dialects")}
        self.assertEqual(strangers, {"discount.app"})

    def test_only_the_worker_and_the_wiring_speak_to_strangers(self) -> None:
        for client in ("httpcore", "smtplib", "aiosmtpd"):
            with self.subTest(client):
                self.assertLessEqual(importers(client), {"discount.senders", "discount.postman", "discount.sink"})
        for module in ("discount.senders", "discount.postman"):
            with self.subTest(module):
                self.assertEqual({each for each in importers(module) if not inside(each, "discount.worker")}, set())

    def test_only_the_wiring_imports_the_wiring(self) -> None:
        processes = {"discount.cli", "discount.worker", "discount.limits_page"}
        self.assertEqual(importers("discount.app") - WIRING - processes, set())

    def test_routes_send_no_command(self) -> None:
        for module, path in MODULES.items():
            if (
                inside(module, "discount.api") or inside(module, "discount.dialects")
            ) and module != "discount.api.health":
                with self.subTest(module):
                    self.assertNotRegex(path.read_text(encoding="utf-8"), r"store\.(commands?|run|run_many)\(")

    def test_routes_hold_no_try(self) -> None:
        for noun in ("discounts", "grants", "codes", "redemptions", "health"):
            tree = ast.parse(MODULES[f"discount.api.{noun}"].read_text(encoding="utf-8"))
            with self.subTest(noun):
                self.assertEqual([node for node in ast.walk(tree) if isinstance(node, ast.Try)], [])

    def test_no_module_imports_itself_by_way_of_others(self) -> None:
        def reached(module: str, seen: set[str]) -> set[str]:
            for name in IMPORTS.get(module, set()) - seen:
                seen.add(name)
                reached(name, seen)
            return seen

        self.assertEqual({module for module in MODULES if module in reached(module, set())}, set())
