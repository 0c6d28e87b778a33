"""Metrics: the text that Prometheus reads."""

import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from discount import metrics
from discount.worker import metrics as worker_metrics
from tests.support.service import wait_until

#: Sums of these are exact in any order.
BOUNDS = (0.125, 0.5, 10)


def shown(name: str) -> float:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return next(sample.value for family in families for sample in family.samples if sample.name == name)


def samples(histogram: prometheus_client.Histogram) -> list[tuple[str, dict[str, str], float]]:
    [family] = histogram.collect()
    return [
        (sample.name.partition("_")[2], sample.labels, sample.value)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


class Figures(unittest.TestCase):
    def test_the_text_names_every_figure_with_its_kind(self) -> None:
        found = {family.name: family.type for family in text_string_to_metric_families(metrics.exposition().decode())}
        wanted = {
            "discount_request_seconds": "histogram",
            "discount_grants": "counter",
            "discount_refusals": "counter",
            "discount_redis_round_trips": "counter",
            "discount_partition_unreachable": "gauge",
        }
        self.assertEqual({name: found.get(name) for name in wanted}, wanted)

    def test_each_kind_of_process_shows_only_its_figures(self) -> None:
        def shown(text: bytes) -> set[str]:
            names = {family.name for family in text_string_to_metric_families(text.decode())}
            return {name for name in names if name.startswith("discount_") and not name.endswith("_created")}

        common = {"discount_redis_round_trips", "discount_partition_unreachable"}
        of_app, of_worker = shown(metrics.exposition()), shown(metrics.exposition(worker_metrics.OF_WORKER))
        self.assertEqual(of_app & of_worker, common)
        self.assertEqual(
            of_worker - common,
            {"discount_deliveries", "discount_events_waiting", "discount_events_oldest_seconds"}
            | {"discount_brands_due", "discount_redis_spare_replicas"}
            | {"discount_ledger_behind_seconds", "discount_ledger_partitions_behind"}
            | {"discount_ledger_lost_partitions", "discount_ledger_differences", "discount_ledger_reconciled_seconds"},
        )
        self.assertLessEqual({"discount_grants", "discount_refusals", "discount_redemptions"}, of_app)

    def test_a_count_shows_in_the_text(self) -> None:
        before = shown("discount_grants_total")
        metrics.GRANTS.inc(3)
        self.assertEqual(shown("discount_grants_total"), before + 3)

    def test_counts_of_many_threads_add_up(self) -> None:
        def count() -> None:
            for _ in range(1000):
                metrics.GRANTS.inc()
                metrics.flush()

        before = shown("discount_grants_total")
        with ThreadPoolExecutor(4) as pool:
            for each in [pool.submit(count) for _ in range(4)]:
                each.result()
        self.assertEqual(shown("discount_grants_total"), before + 4000)

    def test_observations_fill_the_buckets_of_prometheus_own_histogram(self) -> None:
        values = [0.0, 0.125, 0.25, 0.5, 0.75, 10, 10.5, 3600]
        theirs = prometheus_client.Histogram("theirs", "", ("a",), buckets=BOUNDS, registry=CollectorRegistry())
        ours = metrics.Histogram("ours", "", ("a",), BOUNDS, CollectorRegistry())
        for _ in range(2):
            for value in values:
                theirs.labels("x").observe(value)
                ours.observe(("x",), value)
            ours.flush()
        self.assertEqual(samples(ours._histogram), samples(theirs))

    def test_a_count_reaches_prometheus_without_a_scrape(self) -> None:
        before = prometheus_client.REGISTRY.get_sample_value("discount_redis_round_trips_total") or 0
        metrics.ROUND_TRIPS.inc()
        wait_until(
            lambda: prometheus_client.REGISTRY.get_sample_value("discount_redis_round_trips_total") == before + 1,
            "the count is flushed",
        )

    def test_a_hostile_label_adds_no_line(self) -> None:
        metrics.REFUSALS.inc(labels=('a"} 1\nforged 2',))
        self.assertNotIn("forged 2", metrics.exposition().decode().splitlines())

    def test_a_slot_is_taken_only_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            slots = [metrics._take_slot(Path(folder)) for _ in range(3)]
            self.assertEqual(slots, [0, 1, 2])
