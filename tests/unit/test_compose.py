"""What compose gives to its containers, read from the files themselves."""

import re
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from discount.config import Settings, read_settings

ROOT = Path(__file__).parents[2]


def services(*files: str) -> dict[str, dict[str, Any]]:
    """The services of compose files, the later over the earlier: their environments are one."""
    merged: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, service in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"].items():
            there = merged.setdefault(name, {})
            environment = there.get("environment", {}) | service.get("environment", {})
            merged[name] = there | service | {"environment": environment}
    return merged


def told(value: Any, environment: dict[str, str]) -> str:
    """A value with `${NAME:-default}` as compose puts it in."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], str(value))


def settings_of(service: dict[str, Any], folder: str, **environment: str) -> Settings:
    """The settings that a container reads, with the files of Docker's secrets in a folder."""
    given = {name: told(value, environment) for name, value in service["environment"].items()}
    for name, path in given.items():
        if name.endswith("_FILE"):
            secret = path.removeprefix("/run/secrets/")
            assert secret in service["secrets"], f"{name}: compose gives no {secret} to this service"
            given[name] = f"{folder}/{secret}"
    return read_settings(given)


class Secrets(unittest.TestCase):
    def test_the_app_and_the_worker_are_given_the_same_secret_from_a_file(self) -> None:
        both = services("docker-compose.yml", "deploy/secrets.yml")
        with TemporaryDirectory() as folder:
            for name in ("admin_key", "secret"):
                Path(folder, name).write_text(name * 8)
            found = {name: settings_of(both[name], folder) for name in ("app", "worker")}
        self.assertEqual(found["app"].auth, "token")
        self.assertEqual({each.secret for each in found.values()}, {"secret" * 8})

    def test_the_app_and_the_worker_are_given_the_same_secret_from_a_variable(self) -> None:
        found = [settings_of(services("docker-compose.yml")[name], "", SECRET="s" * 32) for name in ("app", "worker")]
        self.assertEqual([each.secret for each in found], ["s" * 32] * 2)

    def test_each_setting_that_compose_passes_on_exists(self) -> None:
        known = {name.upper() for name in Settings.__struct_fields__}
        for name in ("app", "worker"):
            with self.subTest(name):
                self.assertLessEqual(set(services("docker-compose.yml")[name]["environment"]), known)
