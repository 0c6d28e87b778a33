"""The roster gives each new worker the kind that is missing, also during a reload and after a crash."""

import unittest

from discount.serving.roster import Kind, Roster, State


class Places(unittest.TestCase):
    def setUp(self) -> None:
        self.roster = Roster({"pool": 1, "hot": 2})

    def kinds(self, count: int) -> list[Kind]:
        return [self.roster.add()[1] for _ in range(count)]

    def test_workers_get_the_kinds_that_are_wanted(self) -> None:
        self.assertEqual(self.kinds(3), ["pool", "hot", "hot"])

    def test_a_worker_more_than_wanted_is_a_hot_one(self) -> None:
        self.assertEqual(self.kinds(4)[-1], "hot")

    def test_a_worker_that_ended_is_replaced_by_one_of_its_kind(self) -> None:
        places = [self.roster.add() for _ in range(3)]
        for place, kind in places:
            self.roster.remove(place)
            self.assertEqual(self.roster.add()[1], kind)

    def test_a_reload_makes_a_whole_generation_beside_the_old_one(self) -> None:
        self.kinds(3)
        self.roster.renew()
        self.assertEqual(self.kinds(3), ["pool", "hot", "hot"])

    def test_a_worker_of_the_new_generation_that_ended_is_replaced_while_old_ones_stop(self) -> None:
        self.kinds(3)
        self.roster.renew()
        place, _ = self.roster.add()
        self.kinds(2)
        self.roster.remove(place)
        self.assertEqual(self.kinds(1), ["pool"])

    def test_states_are_seen_by_kind(self) -> None:
        place, kind = self.roster.add()
        self.assertTrue(self.roster.has("pool", State.STARTING))
        self.assertFalse(self.roster.has("hot", *State))
        self.roster.note(place, kind, State.STOPPING)
        self.assertFalse(self.roster.has("pool", State.STARTING, State.RUNNING))
        self.assertTrue(self.roster.has("pool", State.RUNNING, State.STOPPING))
        self.roster.remove(place)
        self.assertFalse(self.roster.has("pool", *State))
