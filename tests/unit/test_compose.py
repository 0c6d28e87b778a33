"""The settings that the compose files give to containers."""

import re
import unittest
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from discount.config import Settings
from discount.environment import read_settings

ROOT = Path(__file__).parents[2]
#: The compose files that run several nodes of Redis.
OVERLAYS = ("deploy/cluster.yml", "deploy/sentinel.yml")


def compose(file: str) -> dict[str, Any]:
    """Return a compose file."""
    content: dict[str, Any] = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    return content


def services(*files: str) -> dict[str, dict[str, Any]]:
    """Return the services of compose files; later files override earlier ones."""
    merged: dict[str, dict[str, Any]] = {}
    for file in files:
        for name, service in compose(file)["services"].items():
            there = merged.setdefault(name, {})
            environment = there.get("environment", {}) | service.get("environment", {})
            merged[name] = there | service | {"environment": environment}
    return merged


def expanded(value: Any, environment: dict[str, str]) -> str:
    """Expand `${NAME:-default}` in a value as compose does."""
    inner = re.compile(r"\$\{(\w+):-([^${}]*)\}")
    text = str(value)
    while inner.search(text):
        text = inner.sub(lambda found: environment.get(found[1]) or found[2], text)
    return text


def settings_of(service: dict[str, Any], folder: str, **environment: str) -> Settings:
    """Return a container's settings, with Docker's secrets as files in a folder."""
    given = {name: expanded(value, environment) for name, value in service["environment"].items()}
    for name, path in given.items():
        if name.endswith("_FILE"):
            secret = path.removeprefix("/run/secrets/")
            assert secret in service["secrets"], f"{name}: compose gives no {secret} to this service"
            given[name] = f"{folder}/{secret}"
    return read_settings(given)


class Programs(unittest.TestCase):
    def test_each_program_of_ours_starts_with_the_settings_that_compose_gives_it(self) -> None:
        for files in ((), *((overlay,) for overlay in OVERLAYS)):
            for name, service in services("docker-compose.yml", *files).items():
                # The sink has no settings.
                if "build" in service and service["environment"]:
                    with self.subTest(name, files=files):
                        # The image listens on all addresses.
                        settings_of({"environment": service["environment"] | {"HOST": "0.0.0.0"}}, "")


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
        for file in ("docker-compose.yml", *OVERLAYS):
            for name in ("app", "worker"):
                with self.subTest(file, service=name):
                    self.assertLessEqual(set(services("docker-compose.yml", file)[name]["environment"]), known)


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


class Nodes(unittest.TestCase):
    """Several nodes of Redis on one machine."""

    def each_overlay(self) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        for file in OVERLAYS:
            with self.subTest(file):
                yield file, services(file)

    def test_the_address_of_a_node_is_fixed_and_no_other_container_gets_it(self) -> None:
        for file, found in self.each_overlay():
            fixed = [
                expanded(each["networks"]["nodes"]["ipv4_address"], {})
                for each in found.values()
                if "ADDRESS" in each["environment"]
            ]
            pool = compose(file)["networks"]["nodes"]["ipam"]["config"][0]
            self.assertGreaterEqual(len(fixed), 6)
            self.assertEqual(len(set(fixed)), len(fixed))
            for address in map(ip_address, fixed):
                self.assertIn(address, ip_network(expanded(pool["subnet"], {})))
                self.assertNotIn(address, ip_network(expanded(pool["ip_range"], {})))

    def test_a_node_announces_the_address_that_it_has(self) -> None:
        for _, found in self.each_overlay():
            for name, node in found.items():
                if "ADDRESS" in node["environment"]:
                    self.assertEqual(node["environment"]["ADDRESS"], node["networks"]["nodes"]["ipv4_address"], name)

    def test_the_service_is_given_addresses_of_nodes_that_exist(self) -> None:
        for _, found in self.each_overlay():
            there = {expanded(each["environment"].get("ADDRESS"), {}) for each in found.values()}
            for name in ("app", "worker"):
                url = expanded(found[name]["environment"]["REDIS_URL"], {})
                named = re.findall(r"[0-9]+(?:\.[0-9]+){3}", url)
                self.assertGreaterEqual(len(named), 3)
                self.assertLessEqual(set(named), there)

    def test_the_job_that_forms_the_cluster_is_given_each_node(self) -> None:
        found = services("deploy/cluster.yml")
        job = found["cluster"]["environment"]
        listed = [expanded(each, {}) for name in ("MASTERS", "REPLICAS") for each in re.findall(r"\S+", job[name])]
        nodes = [
            expanded(each["environment"]["ADDRESS"], {}) for each in found.values() if "ADDRESS" in each["environment"]
        ]
        self.assertEqual(sorted(listed), sorted(nodes))
        self.assertEqual(set(found["cluster"]["depends_on"]), {name for name in found if name.startswith("redis")})

    def test_a_shard_has_one_replica_more_than_an_answer_waits_for(self) -> None:
        for file, found in self.each_overlay():
            shards = len(found["cluster"]["environment"]["MASTERS"].split()) if "cluster" in found else 1
            replicas = len([name for name in found if name.startswith("redis")]) / shards - 1
            waited = int(expanded(found["app"]["environment"]["DURABILITY_REPLICAS"], {}))
            self.assertGreaterEqual(replicas, waited + 1, file)

    def test_a_crashed_node_waits_until_a_replica_has_taken_over(self) -> None:
        config = (ROOT / "deploy/redis/cluster.conf").read_text(encoding="utf-8")
        found = re.search(r"^cluster-node-timeout (\d+)$", config, re.MULTILINE)
        assert found
        for _, nodes in self.each_overlay():
            self.assertGreaterEqual(nodes["redis"]["environment"]["WAIT_AFTER_CRASH"], 2 * int(found[1]) / 1000 + 2)

    def test_each_node_keeps_its_data_in_a_volume_of_its_own(self) -> None:
        for file, found in self.each_overlay():
            volumes = [
                each["volumes"][0].removesuffix(":/data") for each in found.values() if "ADDRESS" in each["environment"]
            ]
            self.assertEqual(sorted(volumes), sorted({*compose(file)["volumes"], "data"}))
