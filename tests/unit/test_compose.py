"""The settings that the compose files give to containers."""

import re
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from discount.config import Settings, read_settings

ROOT = Path(__file__).parents[2]


def services(*files: str) -> dict[str, dict[str, Any]]:
    """Return the services of compose files; later files override earlier ones."""
    merged: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, service in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["services"].items():
            there = merged.setdefault(name, {})
            environment = there.get("environment", {}) | service.get("environment", {})
            merged[name] = there | service | {"environment": environment}
    return merged


def expanded(value: Any, environment: dict[str, str]) -> str:
    """Expand `${NAME:-default}` in a value as compose does."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], str(value))


def settings_of(service: dict[str, Any], folder: str, **environment: str) -> Settings:
    """Return a container's settings, with Docker's secrets as files in a folder."""
    given = {name: expanded(value, environment) for name, value in service["environment"].items()}
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


def size(text: str) -> int:
    """Return a size as compose and Redis write it, in bytes."""
    found = re.fullmatch(r"(\d+)(m|mb|g|gb)", text)
    assert found, text
    return int(found[1]) << (20 if found[2].startswith("m") else 30)


class Memory(unittest.TestCase):
    def test_redis_is_full_long_before_its_container_is(self) -> None:
        redis = services("docker-compose.yml")["redis"]
        words = [expanded(word, {}) for word in redis["command"]]
        most = size(words[words.index("--maxmemory") + 1])
        self.assertEqual(words[words.index("--maxmemory-policy") + 1], "noeviction")
        self.assertGreaterEqual(size(expanded(redis["mem_limit"], {})), 2 * most + (512 << 20))

    def test_the_memory_of_redis_can_be_set(self) -> None:
        redis = services("docker-compose.yml")["redis"]
        words = [expanded(word, {"REDIS_MEMORY": "4gb", "REDIS_LIMIT": "10gb"}) for word in redis["command"]]
        self.assertIn("4gb", words)
        self.assertEqual(expanded(redis["mem_limit"], {"REDIS_LIMIT": "10gb"}), "10gb")

    def test_the_memory_limit_of_each_container_exceeds_its_tmpfs_folders(self) -> None:
        for name, service in services("docker-compose.yml").items():
            with self.subTest(name):
                folders = [re.search(r"size=(\w+)", each) for each in service["tmpfs"]]
                self.assertNotIn(None, folders, "a folder in memory without a bound")
                taken = sum(size(found[1]) for found in folders if found)
                self.assertGreater(size(expanded(service["mem_limit"], {})), taken + (64 << 20))
