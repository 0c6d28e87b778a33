"""Redis starts again under a service that has a ledger: a start that lost nothing costs no answer."""

from pathlib import Path

from tests.support.redis_server import RedisServer
from tests.support.service import Service, ask, create, wait_until
from tests.support.sqlite_ledger import SqliteLedger


def test_the_first_grant_after_a_start_that_lost_nothing_is_answered(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path)
    with (
        RedisServer(tcp=True, appendonly="yes") as server,
        Service(server.url, replicas=1, ledger_url=ledger.url) as service,
    ):
        base = service.urls[0]
        path = f"/discount/{create(base, 3)}/grant"
        code = ask(base, "POST", path, {"user_id": "Ann"}).json["code"]
        server.shutdown()
        server.start()
        wait_until(lambda: ask(base, "GET", "/discount").status == 200, "reads are answered again")
        answer = ask(base, "POST", path, {"user_id": "Ann"})
        assert (answer.status, answer.json["code"]) == (200, code), answer.raw
