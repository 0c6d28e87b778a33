"""/metrics with several workers: each worker shows the figures of all, dead ones included."""

import json
import re
from collections import Counter
from functools import partial

import pytest

from tests.support import history
from tests.support.load import Call, drive, grant_call
from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, wait_until

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def figures(service: Service) -> Counter[tuple[str, ...]]:
    """Return every sample by its name and its label values, in order of the label names."""
    text = ask(service.urls[0], "GET", "/metrics").raw.decode()
    found: Counter[tuple[str, ...]] = Counter()
    for name, labels, value in _SAMPLE.findall(text):
        values = [value for _, value in sorted(re.findall(r'(\w+)="([^"]*)"', labels))]
        assert (name, *values) not in found
        found[name, *values] = int(float(value)) if float(value).is_integer() else 0
    return found


def requests(found: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Count the requests by method, route and status, except those for metrics."""
    name = "discount_request_seconds_count"
    return {key[1:]: value for key, value in found.items() if key[0] == name and key[2] not in ("/metrics", "/healthy")}


def are_counted(service: Service, wanted: dict[tuple[str, ...], int]) -> bool:
    return requests(figures(service)) == wanted


def test_figures_match_the_requests_even_when_workers_die(redis_server: RedisServer) -> None:
    route, bulk_route = "/discount/{discount_id}/grant", "/discount/{discount_id}/grants"
    with Service(redis_server.url, replicas=1, workers=3) as service:
        assert requests(figures(service)) == {}
        # The app shows its own figures, not the worker's as 0.
        workers = ("discount_events", "discount_lanes", "discount_deliveries")
        assert [name for name, *_ in figures(service) if name.startswith(workers)] == []
        for round_ in range(1, 4):
            # None has died before the first round.
            for _ in range(2 if round_ > 1 else 0):
                service.kill_worker(0)
            discount_id = create(service.urls[0], 100)
            calls = [grant_call(discount_id, f"user {number}") for number in range(120) for _ in range(2)]
            answers = drive(service.urls, calls)
            assert history.statuses(answers) == {(201, ""): 100, (200, ""): 100, (409, "sold-out"): 40}
            other = create(service.urls[0], 50)
            bulk = Call("", "POST", f"/discount/{other}/grants", {"user_ids": [f"user {n}" for n in range(60)]})
            assert history.statuses(drive(service.urls, [bulk] * 4)) == {(200, ""): 4}

            wanted: dict[tuple[str, ...], int] = {
                ("POST", "/discount", "201"): 2 * round_,
                ("POST", route, "201"): 100 * round_,
                ("POST", route, "200"): 100 * round_,
                ("POST", route, "409"): 40 * round_,
                ("POST", bulk_route, "200"): 4 * round_,
            }
            # A worker counts for itself for up to a second.
            wait_until(partial(are_counted, service, wanted), "all workers have flushed")
            for _ in range(10):
                found = figures(service)
                assert requests(found) == wanted
                assert found["discount_grants_total",] == 150 * round_
                assert found["discount_refusals_total", "sold-out"] == 40 * round_
                # Calls that came at once shared some.
                assert found["discount_redis_round_trips_total",] >= 10 * round_


def test_workers_that_end_cleanly_lose_no_figure_and_no_line(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each worker ends after so many requests, the last ones at the end of the service.
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--max-requests 70")
    with Service(redis_server.url, replicas=1, workers=2, log_level="info") as service:
        discount_id = create(service.urls[0], 200)
        drive(service.urls, [grant_call(discount_id, f"user {number}") for number in range(100)], retries=5)
        service.reload(0)
        found = requests(figures(service))
        assert found["POST", "/discount/{discount_id}/grant", "201"] == 100
        assert found["POST", "/discount", "201"] == 1
        service.terminate(0)
        service.wait(0)
        entries = [json.loads(line) for line in service.log(0).splitlines() if '"request_id"' in line]
    assert Counter(entry["status"] for entry in entries if "grant" in entry["route"])[201] == 100
    assert len({entry["request_id"] for entry in entries}) == len(entries)
