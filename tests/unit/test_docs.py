"""The table of keys in the docs is the one in the code."""

import re
import unittest
from pathlib import Path
from typing import get_type_hints

import click
import msgspec

from discount.cli import main
from discount.config import Settings
from discount.local.launch import defaults_of_run
from discount.store import keys
from discount.store.scripts import SCRIPTS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*(ROOT / "doc").rglob("*.md"), *ROOT.glob("*.md")]
KEYS_PAGE = ROOT / "doc" / "keys.md"
ROW = re.compile(r"^\|\s*`(\{(?:pp|00)\}:[^`]+)`\s*\|\s*([^|]+?)\s*\|\s*(.+?)\s*\|\s*$", re.MULTILINE)


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Key → its type and what follows."""
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
            keys.INSTALLATION.replace("00", "{}"),
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
            re.sub(r"{..}(:mailed:)\w+$", r"{ff}\1<digest>", keys.mailed("", 1)),
            keys.trimmed(255),
            keys.brand_mailed(255, "<brand>"),
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
            keys.codes(255, "<id>"),
            keys.shared(255, "<brand>"),
            re.sub(r"^{\w+}(.*):\w+$", r"{ff}\1:<digest>", keys.claim("x", 16)),
            re.sub(r":\d+$", ":<bucket>", keys.taken(255, "<id>", 0)),
            keys.buckets(255, "<id>"),
            re.sub(r":\d+$", ":<bucket>", keys.uses(255, "<id>", 0)),
            keys.holds(255, "<id>"),
            keys.redemptions(255, "<id>"),
            keys.user_redemptions(255, "<user>"),
            keys.redemption(255, "<id>"),
            re.sub(r":\w+$", ":<digest>", keys.guesses(255, "", "", "")),
            re.sub(r":\d+$", ":<bucket>", keys.grants(255, "<id>", 0)),
            re.sub(r":\d+$", ":<bucket>", keys.users(255, "")),
            re.sub(r":\w+$", ":<digest>", keys.idempotency(255, "", "")),
        }
        named = {key.replace("{pp}", "{ff}").replace("{00}", "{{}}") for key in rows(keys.__doc__ or "")}
        self.assertEqual(named, made)

    def test_a_script_writes_the_keys_that_the_table_says_it_writes(self) -> None:
        writers = {
            key: set(rest.rpartition("|")[2].replace(",", " ").split()) - {"worker", "app"}
            for key, (_, rest) in rows(keys.__doc__ or "").items()
            if not key.startswith("{00}")
        }
        self.assertEqual(set[str]().union(*writers.values()), set(SCRIPTS) - {"waiting", "left"})
        for key, names in writers.items():
            word = WORDS[key]
            with self.subTest(key):
                self.assertEqual(names, {name for name, script in SCRIPTS.items() if writes(script.source, word)})


class Links(unittest.TestCase):
    def test_every_link_of_a_page_leads_to_a_file(self) -> None:
        for page in [*(ROOT / "doc").rglob("*.md"), *(ROOT / "bench").glob("*.md"), *ROOT.glob("*.md")]:
            links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
            missing = [each for each in links if "://" not in each and not (page.parent / each).exists()]
            with self.subTest(page.name):
                self.assertEqual(missing, [])


def code_of(page: Path) -> list[str]:
    """The lines of code of a page, and its words of code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`]+)`", rest)


class Commands(unittest.TestCase):
    def test_a_command_of_ours_is_written_as_it_works_in_the_clone_or_in_a_container(self) -> None:
        names = "|".join(main.list_commands(click.Context(main)))
        for page in PAGES:
            # The page of all commands says at its top where the command is.
            if page.name in ("CHANGELOG.md", "command-line.md"):
                continue
            for line in code_of(page):
                with self.subTest(page=page.name, line=line):
                    self.assertNotIn("python -m discount", line)
                    for before in re.findall(
                        rf"(docker compose (?:exec|run --rm) \w+ |\S*)\bdiscount (?:{names})\b", line
                    ):
                        self.assertRegex(before, r"^(?:\.venv/bin/|docker compose (?:exec|run --rm) \w+ )$")

    def test_a_program_that_npx_brings_is_not_asked_about(self) -> None:
        found = [line for page in PAGES for line in code_of(page) if line.startswith("npx ")]
        self.assertTrue(found)
        self.assertEqual([line for line in found if not line.startswith("npx --yes ")], [])


class SettingsTable(unittest.TestCase):
    def setUp(self) -> None:
        rows = re.findall(r"^\| (`[A-Z_`, ]+`.*?) \| (.*?) \| (.*) \|$", README, re.MULTILINE)
        self.rows = [(re.findall(r"`([A-Z_]+)`", names), default, what) for names, default, what in rows]

    def test_has_the_defaults_of_the_code(self) -> None:
        compared = set[str]()
        for names, default, _ in self.rows:
            shown = re.findall(r"`([^`]+)`", default) if default.startswith("`") else []
            for name, text in zip(names, shown, strict=False):
                field = name.lower()
                # Another setting's name stands for its value.
                if field in Settings.__struct_fields__ and not text.isupper():
                    kind = get_type_hints(Settings, include_extras=True)[field]
                    with self.subTest(name):
                        self.assertEqual(msgspec.convert(text, kind, strict=False), getattr(Settings(), field))
                    compared.add(name)
        self.assertLessEqual({"PORT", "WORKER_PORT", "EVENT_DAYS", "RATE_USER", "DATA"}, compared)

    def test_says_what_make_run_sets_otherwise(self) -> None:
        for name, value in defaults_of_run("open").items():
            default = next(default for names, default, _ in self.rows if name in names)
            with self.subTest(name):
                self.assertRegex(default, rf"; `?{value}`? in `make run`$")

    def test_says_how_many_days_events_may_be_kept(self) -> None:
        what = next(what for names, _, what in self.rows if "EVENT_DAYS" in names)
        for days, good in ((3, False), (4, True), (365, True), (366, False)):
            with self.subTest(days):
                self.assertIs(fits("event_days", days), good)
        self.assertIn("4 to 365", what)


def fits(field: str, value: int) -> bool:
    try:
        msgspec.convert({field: value}, Settings)
    except msgspec.ValidationError:
        return False
    return True


WORDS = {
    "{pp}:brands": "brands",
    "{pp}:brand:<brand>": "brand",
    "{pp}:brand:<brand>:keys": "brand_keys",
    "{pp}:key:<id>": "(?:caller_)?key",
    "{pp}:rate:<digest>": "rate",
    "{pp}:brand:<brand>:mailed": "mailed",
    "{pp}:usage": "usage",
    "{pp}:discounts": "discounts",
    "{pp}:numbers": "numbers",
    "{pp}:brand:<brand>:discounts": "brand_discounts",
    "{pp}:discount:<id>": "(?:of_)?discount",
    "{pp}:discount:<id>:codes": "codes",
    "{pp}:brand:<brand>:shared": "shared",
    "{pp}:claim:<digest>": "claim",
    "{pp}:discount:<id>:taken:<bucket>": "taken",
    "{pp}:discount:<id>:grants:<bucket>": "grants",
    "{pp}:discount:<id>:buckets": "buckets",
    "{pp}:users:<bucket>": "users",
    "{pp}:discount:<id>:uses:<bucket>": "uses",
    "{pp}:discount:<id>:holds": "holds",
    "{pp}:discount:<id>:redemptions": "redemptions",
    "{pp}:user:<user>:redemptions": "user_redemptions",
    "{pp}:redemption:<id>": "(?:redemption|records)",
    "{pp}:guesses:<digest>": "user_guesses",
    "{pp}:idempotency:<digest>": "idempotency",
    "{pp}:contact:<user>": "contact",
    "{pp}:brand:<brand>:contact:<user>": "(?:brand_)?contact",
    "{pp}:brand:<brand>:contacts": "(?:brand_contacts|lists)",
    "{pp}:brand:<brand>:addresses": "(?:addresses|lists)",
    "{pp}:user:<user>:brands": "(?:user_brands|lists)",
    "{pp}:brand:<brand>:webhooks": "brand_webhooks",
    "{pp}:webhook:<id>": "webhooks?",
    "{pp}:delivery:<id>": "(?:delivery|delivery_keys)",
    "{pp}:brand:<brand>:deliveries": "brand_deliveries",
    "{pp}:lane:<lane>": "(?:lane_deliveries|delivery_keys)",
    "{pp}:due:<kind>": "(?:due|delivery_keys)",
    "{pp}:lanes:<kind>:<digest>": "(?:lanes|delivery_keys)",
    "{pp}:leases": "leases",
    "{pp}:expiring": "expiring",
    "{pp}:mailed:<digest>": "mailed",
    "{pp}:trimmed": "trimmed",
    "{pp}:events": "events",
}


def writes(source: str, word: str) -> bool:
    """Whether a script has a command that writes to the key it calls by that name."""
    found = re.findall(rf"redis\.call\('(\w+)', (?:'CREATE', )?{word}(?:\[\w+\]|_of_nobody)?[,)]", source)
    return any(
        command
        in (
            "XADD",
            "XGROUP",
            "INCR",
            "HSET",
            "SADD",
            "HDEL",
            "HSETNX",
            "HINCRBY",
            "RPUSH",
            "LPOP",
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
