"""Redis hangs: connections stay open, and no reply comes."""

from concurrent.futures import ThreadPoolExecutor

from tests.support import history
from tests.support.load import Answer
from tests.support.redis_server import RedisServer
from tests.support.service import Reply, Service, ask, create, wait_until


def answered(user: str, reply: Reply) -> Answer:
    return Answer(user, reply.status, reply.json, "", (), 0, 0)


def test_a_redis_that_hangs_is_waited_for_no_longer_than_set(redis_server: RedisServer) -> None:
    with Service(redis_server.url, replicas=2, redis_timeout=2) as service:
        url = service.urls[0]
        discount_id = create(url, 20)
        path = f"/discount/{discount_id}/grant"
        held = ask(url, "POST", path, {"user_id": "user 0"})
        redis_server.pause()

        # Four at once, each on a connection that was open or has to be opened: none waits for a hang to end.
        with ThreadPoolExecutor(4) as several:
            calls = [several.submit(ask, url, "POST", path, {"user_id": f"user {n}"}) for n in range(4)]
            replies = [call.result() for call in calls]
        assert {(reply.status, reply.slug) for reply in replies} == {(503, "unavailable")}
        assert {reply.headers["Retry-After"] for reply in replies} == {"1"}
        assert ask(url, "GET", "/ready").status == 503
        assert ask(url, "GET", "/healthy").raw == b"OK"

        redis_server.resume()
        wait_until(lambda: ask(url, "GET", "/ready").status == 200, "the service is ready again")
        # Redis may have run a script after its call timed out; a repeated call finds the result.
        answers = [answered("user 0", held)]
        for number in range(25):
            base = service.urls[number % 2]
            answers.append(answered(f"user {number}", ask(base, "POST", path, {"user_id": f"user {number}"})))
        assert history.statuses(answers)[409, "sold-out"] == 5
        found = history.check(redis_server.client(), url, discount_id, answers)
        assert found.grants["user 0"] == held.json["code"]
        assert len(found.grants) == 20
