"""Every event arrives at least once, whichever worker is killed, and however the receiver answers."""

from discount.store import Store
from tests.chaos.crew import Crew, make_offer
from tests.chaos.receiver import Receiver
from tests.chaos.storm import storm
from tests.support.redis_server import RedisServer


def test_every_event_arrives_while_workers_are_killed(
    redis_server: RedisServer, store: Store, receiver: Receiver
) -> None:
    receiver.behave(0.33)
    offers = [make_offer(store, receiver, "any", brand, 400) for brand in ("IKEA", "Billo")]
    with Crew(redis_server.url, workers=3) as crew:
        crew.await_ready()
        found = storm(redis_server, crew, receiver, offers, seed=1, grants=400, kills=5)
    assert found.events == 400 + 2
    assert found.kills == 5
    assert found.kills_in_planning >= 1, "some died between an event and its deliveries"
    assert found.repeated >= 100, "calls that went wrong were made again"
