"""Metrics: the text that Prometheus reads."""

import tempfile
import unittest
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from discount import metrics
from discount.worker import metrics as worker_metrics


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

    def test_each_kind_of_process_shows_only_its_figures(self) -> None:
        def shown(text: bytes) -> set[str]:
            names = {family.name for family in text_string_to_metric_families(text.decode())}
            return {name for name in names if name.startswith("discount_") and not name.endswith("_created")}

        common = {"discount_redis_round_trips"}
        of_app, of_worker = shown(metrics.exposition()), shown(metrics.exposition(worker_metrics.OF_WORKER))
        self.assertEqual(of_app & of_worker, common)
        self.assertEqual(
            of_worker - common,
            {
                *("discount_deliveries", "discount_events_waiting", "discount_events_oldest_seconds"),
                *("discount_brands_due", "discount_ledger_behind_seconds", "discount_ledger_partitions_behind"),
            },
        )
        self.assertLessEqual({"discount_grants", "discount_refusals", "discount_redemptions"}, of_app)

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

    def test_a_hostile_label_adds_no_line(self) -> None:
        metrics.REFUSALS.labels('a"} 1\nforged 2').inc()
        self.assertNotIn("forged 2", metrics.exposition().decode().splitlines())

    def test_a_slot_is_taken_only_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            slots = [metrics._take_slot(Path(folder)) for _ in range(3)]
            self.assertEqual(slots, [0, 1, 2])
