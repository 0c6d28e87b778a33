"""SQL is never built from strings: every text of SQL is a constant of the code, and values are parameters."""

import ast
import unittest
from pathlib import Path

import discount

ROOT = Path(discount.__file__).parent
#: Functions that take SQL as text.
OF_TEXT = {"text", "exec_driver_sql", "executescript", "literal_column", "SQL", "DDL", "execute"}


def texts_of_sql(source: str) -> list[tuple[int, ast.expr]]:
    """Return the line and the first argument of each call that takes SQL as text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in OF_TEXT:
                found.append((node.lineno, node.args[0]))
    return found


def is_built(argument: ast.expr) -> bool:
    """Return whether an argument is a string that is put together: formatted, joined or added up."""
    if isinstance(argument, ast.BinOp):
        return is_built(argument.left) or is_built(argument.right) or _is_text(argument.left)
    if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Attribute):
        return argument.func.attr in ("format", "join", "replace") and _is_text(argument.func.value)
    return isinstance(argument, ast.JoinedStr) and any(isinstance(each, ast.FormattedValue) for each in argument.values)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


class Sql(unittest.TestCase):
    def test_no_text_of_sql_is_put_together(self) -> None:
        count = 0
        for path in sorted((ROOT / "ledger").rglob("*.py")):
            for line, argument in texts_of_sql(path.read_text(encoding="utf-8")):
                count += 1
                with self.subTest(f"{path.relative_to(ROOT)}:{line}"):
                    self.assertFalse(is_built(argument))
        self.assertGreater(count, 10)

    def test_text_is_a_constant_where_only_text_is_taken(self) -> None:
        for path in sorted((ROOT / "ledger").rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("text", "literal_column"):
                    with self.subTest(f"{path.relative_to(ROOT)}:{node.lineno}"):
                        self.assertIsInstance(node.args[0], ast.Constant)

    def test_sql_is_spoken_in_the_ledger_alone(self) -> None:
        for path in sorted(ROOT.rglob("*.py")):
            if path.is_relative_to(ROOT / "ledger"):
                continue
            with self.subTest(path.relative_to(ROOT)):
                self.assertNotRegex(path.read_text(encoding="utf-8"), r"\bimport (?:sqlite3|psycopg)\b|exec_driver_sql")

    def test_what_is_put_together_is_noticed(self) -> None:
        for call in (
            "text(f'SELECT {name}')",
            "connection.execute('SELECT ' + name)",
            "connection.execute('SELECT %s' % name)",
            "connection.exec_driver_sql('SELECT {}'.format(name))",
            "text(', '.join(names))",
        ):
            with self.subTest(call):
                ((_, argument),) = texts_of_sql(call)
                self.assertTrue(is_built(argument))
