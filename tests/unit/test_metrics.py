"""Figures: the text that Prometheus reads."""

import tempfile
import unittest
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from discount import metrics


class Figures(unittest.TestCase):
    def test_the_text_names_every_figure_with_its_kind(self) -> None:
        found = {family.name: family.type for family in text_string_to_metric_families(metrics.exposition().decode())}
        wanted = {
            "discount_request_seconds": "histogram",
            "discount_grants": "counter",
            "discount_refusals": "counter",
            "discount_redis_round_trips": "counter",
        }
        self.assertEqual({name: found.get(name) for name in wanted}, wanted)

    def test_a_count_shows_in_the_text(self) -> None:
        def shown() -> float:
            families = text_string_to_metric_families(metrics.exposition().decode())
            return next(
                sample.value
                for family in families
                for sample in family.samples
                if sample.name == "discount_grants_total"
            )

        before = shown()
        metrics.GRANTS.inc(3)
        self.assertEqual(shown(), before + 3)

    def test_a_hostile_label_makes_no_line(self) -> None:
        metrics.REFUSALS.labels('a"} 1\nforged 2').inc()
        self.assertNotIn("forged 2", metrics.exposition().decode().splitlines())

    def test_a_slot_is_taken_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            slots = [metrics._take_slot(Path(folder)) for _ in range(3)]
            self.assertEqual(slots, [0, 1, 2])
