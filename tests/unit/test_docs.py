"""The pages say what the code says: keys, settings, links, names of files and functions."""

import ast
import re
import unittest
from pathlib import Path

import click

from discount.cli import main
from discount.config import SECRETS, Settings
from discount.store import keys
from discount.store.scripts import SCRIPTS
from doc.generate import floors
from doc.generate import settings as settings_page
from tests.unit.test_imports import FLOORS

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / "doc").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md")]
#: The most words of a sentence.
LONGEST_SENTENCE = 25
#: The headings of a decision.
PARTS = ["Context", "Decision", "Consequences", "Alternatives", "Held by"]
KEYS_PAGE = ROOT / "doc" / "keys.md"
ROW = re.compile(r"^\|\s*`(\{(?:pp|00)\}:[^`]+)`\s*\|\s*([^|]+?)\s*\|\s*(.+?)\s*\|\s*$", re.MULTILINE)


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Return the keys of a table, each with its type and the rest of its row."""
    return {key: (kind, rest) for key, kind, rest in ROW.findall(text)}


class Keys(unittest.TestCase):
    def test_the_docs_name_the_keys_that_the_code_names(self) -> None:
        written = rows(KEYS_PAGE.read_text(encoding="utf-8"))
        self.assertEqual(
            {key: kind for key, (kind, _) in written.items()},
            {key: kind for key, (kind, _) in rows(keys.__doc__ or "").items()},
        )

    def test_the_code_names_every_key_that_it_makes(self) -> None:
        made = {
            keys.installation(255),
            keys.contact("<user>", 1).replace("{00}", "{ff}"),
            keys.brand_contact(255, "<brand>", "<user>"),
            keys.brand_contacts(255, "<brand>"),
            keys.addresses(255, "<brand>"),
            keys.user_brands(255, "<user>"),
            keys.brand_webhooks(255, "<brand>"),
            keys.webhook(255, "<id>"),
            keys.delivery(255, "<id>"),
            keys.brand_deliveries(255, "<brand>"),
            keys.lane(255, "<lane>"),
            keys.due(255, "<kind>"),
            keys.lanes(255, "<kind>", "<digest>"),
            keys.leases(255),
            keys.expiring(255),
            keys.reconciled(255),
            keys.restoring(255),
            keys.uncopied(255),
            re.sub(r"{..}(:mailed:)\w+$", r"{ff}\1<digest>", keys.mailed("", 1)),
            keys.trimmed(255),
            keys.ledger_lease(255),
            keys.tallies(255),
            keys.digests(255),
            keys.forgotten(255),
            keys.indexed(255),
            keys.indexes(255),
            keys.brand_events(255, "<brand>"),
            keys.mark(255),
            keys.mark_of_asked(255),
            keys.brand_mailed(255, "<brand>"),
            keys.listing(255),
            keys.user_lists(255, "<brand>"),
            re.sub(r":\d+$", ":<bucket>", keys.user_list(255, "<brand>", "<name>", 0)),
            keys.usage(255),
            keys.discounts(255),
            keys.brands(255),
            keys.brand(255, "<brand>"),
            keys.brand_keys(255, "<brand>"),
            keys.api_key(255, "<id>"),
            re.sub(r":\w+$", ":<digest>", keys.rate(255, "", "")),
            keys.numbers(255),
            keys.events(255),
            keys.brand_discounts(255, "<brand>"),
            keys.discount(255, "<id>"),
            keys.waits(255, "<id>"),
            keys.waits_due(255),
            keys.claims(255),
            keys.codes(255, "<id>"),
            keys.shared(255, "<brand>"),
            re.sub(r"^{\w+}(.*):\w+$", r"{ff}\1:<digest>", keys.claim("x", 16)),
            re.sub(r":\d+$", ":<bucket>", keys.taken(255, "<id>", 0)),
            keys.buckets(255, "<id>"),
            re.sub(r":\d+$", ":<bucket>", keys.uses(255, "<id>", 0)),
            keys.holds(255, "<id>"),
            keys.reserved(255, "<id>"),
            re.sub(r":\d+$", ":<bucket>", keys.identities(255, "<id>", 0)),
            keys.redemptions(255, "<id>"),
            keys.targets(255),
            keys.user_redemptions(255, "<user>"),
            keys.more_redemptions(255, "<id>"),
            keys.let_go(255),
            re.sub(r":\d+$", ":<bucket>", keys.records("rdm-ff" + 24 * "0")[0]),
            re.sub(r":\w+$", ":<digest>", keys.guesses(255, "", "", "")),
            re.sub(r":\d+$", ":<bucket>", keys.grants(255, "<id>", 0)),
            re.sub(r":\d+$", ":<bucket>", keys.users(255, "")),
            re.sub(r":\w+$", ":<digest>", keys.idempotency(255, "", "")),
        }
        named = {key.replace("{pp}", "{ff}").replace("{00}", "{{}}") for key in rows(keys.__doc__ or "")}
        self.assertEqual(named, made)

    def test_a_script_writes_the_keys_that_the_table_says_it_writes(self) -> None:
        writers = {
            key: set(rest.rpartition("|")[2].replace(",", " ").split()) - {"worker", "app", "start"}
            for key, (_, rest) in rows(keys.__doc__ or "").items()
        }
        # A script that runs others writes what they write; `swap` repairs a field of any hash.
        own = {name: script for name, script in SCRIPTS.items() if not script.runs}
        others = {"waiting", "left", "records", "counters", "swap"}
        self.assertEqual(set[str]().union(*writers.values()), set(own) - others)
        for key, names in writers.items():
            word = WORDS[key]
            with self.subTest(key):
                self.assertEqual(
                    names,
                    {name for name, script in own.items() if writes((script.behind_guard or script).source, word)},
                )


class Tests(unittest.TestCase):
    def test_the_tests_that_a_page_names_exist(self) -> None:
        written = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
        known = set(re.findall(r"^ *def (test_\w+)\(", written, re.MULTILINE))
        for page in PAGES:
            with self.subTest(page.relative_to(ROOT)):
                named = set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")))
                self.assertEqual(named - known, set())


class Links(unittest.TestCase):
    def test_every_anchor_of_a_link_is_a_heading(self) -> None:
        for page in PAGES:
            links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
            missing = [
                (path, name) for path, name in links if name not in anchors((page.parent / path) if path else page)
            ]
            with self.subTest(page.relative_to(ROOT)):
                self.assertEqual(missing, [])

    def test_every_link_of_a_page_leads_to_a_file(self) -> None:
        for page in [*PAGES, *(ROOT / "bench").rglob("*.md")]:
            links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
            missing = [each for each in links if "://" not in each and not (page.parent / each).exists()]
            with self.subTest(page.name):
                self.assertEqual(missing, [])


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as its readers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def names_in(path: Path) -> set[str]:
    """Return the functions and classes of a module, and the methods as `Class.method`."""
    named = set[str]()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            named.add(node.name)
        if isinstance(node, ast.ClassDef):
            named |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return named


class Decisions(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = ROOT / "doc" / "decisions"
        self.pages = sorted(self.folder.glob("[0-9]*.md"))

    def test_each_decision_has_a_status_a_date_and_the_template_parts_in_order(self) -> None:
        for page in self.pages:
            text = page.read_text(encoding="utf-8")
            with self.subTest(page.name):
                self.assertRegex(text, r"^# \d{3} .+\n\nStatus: [^.]+\. Date: \d{4}-\d\d-\d\d\.\n")
                self.assertTrue(text.startswith(f"# {page.name[:3]} "))
                headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
                self.assertEqual([each for each in headings if each in PARTS], PARTS)

    def test_each_number_is_given_once_and_listed(self) -> None:
        self.assertEqual([int(page.name[:3]) for page in self.pages], list(range(1, len(self.pages) + 1)))
        listed = re.findall(r"\]\((\d[\w-]+\.md)\)", (self.folder / "README.md").read_text(encoding="utf-8"))
        self.assertEqual(listed, [page.name for page in self.pages])


class Floors(unittest.TestCase):
    def test_the_table_equals_the_output_of_make_docs(self) -> None:
        page = (ROOT / "doc" / "architecture.md").read_text(encoding="utf-8")
        self.assertEqual(page, floors.renew(page))

    def test_the_table_has_the_rows_that_the_import_test_allows(self) -> None:
        rows = re.findall(r"^\| `([\w/]+)` \| (.*) \|$", floors.describe(), re.MULTILINE)
        shown = {name.replace("/", "."): re.findall(r"`([\w/]+)`", rest) for name, rest in rows}
        self.assertEqual({name: {each.replace("/", ".") for each in below} for name, below in shown.items()}, FLOORS)


class NamedPlaces(unittest.TestCase):
    def test_every_file_that_the_pages_name_exists(self) -> None:
        for page in PAGES:
            # The changelog may name what is gone.
            if page.name != "CHANGELOG.md":
                paths = set(re.findall(r"`((?:discount|doc|nginx|tests)/[\w/.-]+)`", page.read_text(encoding="utf-8")))
                with self.subTest(page.relative_to(ROOT)):
                    self.assertEqual(sorted(path for path in paths if not (ROOT / path).exists()), [])

    def test_every_row_of_the_glossary_has_a_sentence_and_a_file(self) -> None:
        rows = re.findall(r"^\| (?!word |---)(.*) \|$", (ROOT / "doc" / "glossary.md").read_text("utf-8"), re.MULTILINE)
        self.assertGreater(len(rows), 50)
        for row in rows:
            with self.subTest(row):
                self.assertRegex(row, r"^[\w ]+ \| [A-Z].*\. \| `discount/[\w/.]+`$")

    def test_every_function_on_the_way_of_a_request_exists(self) -> None:
        text = (ROOT / "doc" / "life-of-a-request.md").read_text(encoding="utf-8")
        found = re.findall(r"`(discount/[\w/]+\.py)`\s((?:(?:\s+and\s+)?`[\w.]+`)+)", text)
        self.assertGreater(len(found), 20)
        for path, names in found:
            for name in re.findall(r"`([\w.]+)`", names):
                with self.subTest(f"{path} {name}"):
                    self.assertIn(name, names_in(ROOT / path))


def sentences(page: Path) -> list[str]:
    """Return the sentences of a page's prose, without tables, code and headings."""
    text = re.sub(r"^```.*?^```|^<!--.*?-->$|^[|#].*?$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "code", text))
    blocks = re.split(r"\n\s*\n|\n\s*(?:-|\d+\.) ", text)
    # A sentence ends with its paragraph, or where a full stop or a colon parts it from the next one.
    return [each for block in blocks for each in re.split(r"(?<=[.?!:;])\s+", " ".join(block.split())) if each]


class Sentences(unittest.TestCase):
    def test_no_sentence_is_longer_than_25_words(self) -> None:
        for page in PAGES:
            long = [each for each in sentences(page) if len(each.split()) > LONGEST_SENTENCE]
            with self.subTest(page.relative_to(ROOT)):
                self.assertEqual(long, [])


#: What comes before a command that runs in a container.
IN_CONTAINER = r"docker compose (?:-f \S+ )*(?:exec|run --rm) (?:-T )?\w+ "


def code_of(page: Path) -> list[str]:
    """Return the lines and words of code in a page."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", rest)


class Commands(unittest.TestCase):
    def test_a_suggested_command_works_in_the_clone_and_in_a_container(self) -> None:
        names = "|".join(main.list_commands(click.Context(main)))
        for page in PAGES:
            # The page of all commands says at its top where the command is.
            if page.name in ("CHANGELOG.md", "command-line.md"):
                continue
            for line in code_of(page):
                with self.subTest(page=page.name, line=line):
                    self.assertNotIn("python -m discount", line)
                    for before in re.findall(rf"({IN_CONTAINER}|\S*)\bdiscount (?:{names})\b", line):
                        self.assertRegex(before, rf"^(?:\.venv/bin/|{IN_CONTAINER})$")

    def test_every_npx_command_in_the_docs_passes_yes(self) -> None:
        found = [line for page in PAGES for line in code_of(page) if line.startswith("npx ")]
        self.assertTrue(found)
        self.assertEqual([line for line in found if not line.startswith("npx --yes ")], [])


class SettingsPage(unittest.TestCase):
    def setUp(self) -> None:
        self.page = (ROOT / "doc" / "settings.md").read_text(encoding="utf-8")

    def row(self, name: str) -> list[str]:
        (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", self.page, re.MULTILINE)
        return str(row).split(" | ")

    def test_the_page_equals_the_output_of_make_docs(self) -> None:
        self.assertEqual(self.page, settings_page.renew(self.page))

    def test_each_setting_has_one_row_with_a_meaning(self) -> None:
        for name in Settings.__struct_fields__:
            with self.subTest(name):
                self.assertRegex(self.row(name.upper())[-1], r"^.{10,}\.$")

    def test_a_row_shows_where_the_default_differs(self) -> None:
        self.assertEqual(self.row("LOG_FORMAT")[0], "`json`; `text` in `make run`")
        self.assertEqual(self.row("PROXIES")[0], "`0`; `1` in compose")
        self.assertEqual(self.row("WEBHOOK_LOOPBACK")[0], "`0`; `1` in `make run` with `AUTH=open`")
        self.assertEqual(self.row("THREADS")[0], "`4`")

    def test_a_row_has_the_values_that_are_accepted(self) -> None:
        self.assertEqual(self.row("EVENT_DAYS")[1], "4 to 365")
        self.assertEqual(self.row("USE_DAYS")[1], "7 to 3650")
        self.assertEqual(self.row("WEBHOOK_TIMEOUT")[1], "more than 0, at most 60")

    def test_each_secret_is_named_with_its_file(self) -> None:
        for name in SECRETS:
            with self.subTest(name):
                self.assertIn(f"`{name.upper()}_FILE`", self.page)

    def test_each_variable_of_compose_has_a_row(self) -> None:
        files = [ROOT / "docker-compose.yml", *(ROOT / "deploy").glob("*.yml")]
        compose = "".join(each.read_text(encoding="utf-8") for each in files)
        for name in sorted(set(re.findall(r"\$\{(\w+)", compose))):
            with self.subTest(name):
                self.assertRegex(self.page, rf"\n\| [^|]*`{name}`")


WORDS = {
    "{pp}:installation": "installation",
    "{pp}:brands": "brands",
    "{pp}:brand:<brand>": "brand",
    "{pp}:brand:<brand>:keys": "brand_keys",
    "{pp}:key:<id>": "(?:caller_)?key",
    "{pp}:rate:<digest>": "rate",
    "{pp}:listing": "listing",
    "{pp}:brand:<brand>:lists": "user_lists",
    "{pp}:brand:<brand>:list:<name>:<bucket>": "sets?",
    "{pp}:brand:<brand>:mailed": "mailed",
    "{pp}:usage": "usage",
    "{pp}:discounts": "discounts",
    "{pp}:numbers": "numbers",
    "{pp}:brand:<brand>:discounts": "brand_discounts",
    "{pp}:discount:<id>": "(?:of_)?discount",
    "{pp}:discount:<id>:waits": "waits",
    "{pp}:waits": "waits_due",
    "{pp}:claims": "claims",
    "{pp}:discount:<id>:codes": "codes",
    "{pp}:brand:<brand>:shared": "shared",
    "{pp}:claim:<digest>": "claim",
    "{pp}:discount:<id>:taken:<bucket>": "(?:taken|of_waits)",
    "{pp}:discount:<id>:grants:<bucket>": "(?:grants|of_waits)",
    "{pp}:discount:<id>:buckets": "buckets",
    "{pp}:users:<bucket>": "(?:users|of_waits)",
    "{pp}:discount:<id>:uses:<bucket>": "uses",
    "{pp}:discount:<id>:holds": "holds",
    "{pp}:discount:<id>:reserved": "reserved",
    "{pp}:discount:<id>:identities:<bucket>": "(?:own|places)",
    "{pp}:discount:<id>:redemptions": "redemptions",
    "{pp}:user:<user>:redemptions": "user_redemptions",
    "{pp}:discount:<id>:redemptions:more": "more_redemptions",
    "{pp}:redemptions:<bucket>": "(?:r.list|list)",
    "{pp}:let-go": "let_go",
    "{pp}:guesses:<digest>": "user_guesses",
    "{pp}:idempotency:<digest>": "idempotency",
    "{pp}:contact:<user>": "contact",
    "{pp}:brand:<brand>:contact:<user>": "(?:brand_)?contact",
    "{pp}:brand:<brand>:contacts": "(?:brand_contacts|lists)",
    "{pp}:brand:<brand>:addresses": "(?:addresses|lists)",
    "{pp}:user:<user>:brands": "(?:user_brands|lists)",
    "{pp}:brand:<brand>:webhooks": "brand_webhooks",
    "{pp}:targets": "targets",
    "{pp}:webhook:<id>": "webhooks?",
    "{pp}:delivery:<id>": "(?:delivery|delivery_keys)",
    "{pp}:brand:<brand>:deliveries": "brand_deliveries",
    "{pp}:lane:<lane>": "(?:lane_deliveries|delivery_keys)",
    "{pp}:due:<kind>": "(?:due|delivery_keys)",
    "{pp}:lanes:<kind>:<digest>": "(?:lanes|delivery_keys)",
    "{pp}:leases": "leases",
    "{pp}:expiring": "expiring",
    "{pp}:mailed:<digest>": "mailed",
    "{pp}:mark": "mark",
    "{pp}:mark:asked": "mark_of_asked",
    "{pp}:reconciled": "reconciled",
    "{pp}:uncopied": "(?:uncopied|noted)",
    "{pp}:restoring": "restoring",
    "{pp}:trimmed": "trimmed",
    "{pp}:tallies": "tallies",
    "{pp}:digests": "digests",
    "{pp}:ledger": "ledger_lease",
    "{pp}:forgotten": "forgotten",
    "{pp}:indexed": "indexed",
    "{pp}:indexes": "indexes",
    "{pp}:brand:<brand>:events": "brand_events",
    "{pp}:events": "events",
}


def writes(source: str, word: str) -> bool:
    """Return whether a script writes to the key with that name."""
    found = re.findall(rf"redis\.call\('(\w+)', (?:'CREATE', )?{word}(?:\[\w+\]|_of_nobody)?[,)]", source)
    return any(
        command
        in (
            "XADD",
            "XDEL",
            "XGROUP",
            "INCR",
            "HSET",
            "SADD",
            "SREM",
            "HDEL",
            "HSETNX",
            "HINCRBY",
            "RPUSH",
            "LPUSH",
            "LPOP",
            "LREM",
            "LSET",
            "LTRIM",
            "DEL",
            "UNLINK",
            "ZADD",
            "ZREM",
            "SET",
            "SETBIT",
        )
        for command in found
    )
