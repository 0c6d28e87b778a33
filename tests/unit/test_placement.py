"""Plans for an even placement of partitions: what holds for each, and that none has a move too many."""

import re
import unittest
from collections import Counter
from itertools import combinations
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from discount.domain.placement import Move, plan_moves

SCALE = Path(__file__).parents[2] / "doc" / "scale.md"
NODES = [f"10.0.0.{number}:6379" for number in range(1, 9)]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Return the owners of partitions, and the nodes that may have them; some owners may be no such nodes."""
    nodes = draw(st.lists(st.sampled_from(NODES), min_size=1, unique=True))
    owners = draw(st.lists(st.sampled_from(NODES), min_size=1, max_size=64))
    return owners, nodes


def after(owners: list[str], moves: list[Move]) -> list[str]:
    changed = list(owners)
    for move in moves:
        changed[move.partition] = move.target
    return changed


def fewest(owners: list[str], nodes: list[str]) -> int:
    """Return the number of moves of the best plan, out of all even shares."""
    held = Counter(owners)
    least, larger = divmod(len(owners), len(nodes))
    best = len(owners)
    for lucky in combinations(range(len(nodes)), larger):
        kept = sum(min(held[node], least + (index in lucky)) for index, node in enumerate(nodes))
        best = min(best, len(owners) - kept)
    return best


class Plans(unittest.TestCase):
    @given(clusters())
    def test_every_partition_ends_on_a_node_that_may_have_it_and_shares_differ_by_one_at_most(
        self, cluster: tuple[list[str], list[str]]
    ) -> None:
        owners, nodes = cluster
        found = Counter(after(owners, plan_moves(owners, nodes)))
        shares = [found[node] for node in nodes]
        self.assertEqual(sum(shares), len(owners))
        self.assertLessEqual(max(shares) - min(shares), 1)

    @given(clusters())
    def test_each_move_takes_a_partition_from_the_node_that_has_it_and_moves_it_once(
        self, cluster: tuple[list[str], list[str]]
    ) -> None:
        owners, nodes = cluster
        moves = plan_moves(owners, nodes)
        self.assertEqual(len({move.partition for move in moves}), len(moves))
        for move in moves:
            self.assertEqual(move.source, owners[move.partition])
            self.assertNotEqual(move.source, move.target)

    @given(clusters())
    def test_no_other_plan_has_fewer_moves(self, cluster: tuple[list[str], list[str]]) -> None:
        owners, nodes = cluster
        self.assertEqual(len(plan_moves(owners, nodes)), fewest(owners, nodes))

    @given(clusters())
    def test_an_even_placement_stays_as_it_is(self, cluster: tuple[list[str], list[str]]) -> None:
        owners, nodes = cluster
        self.assertEqual(plan_moves(after(owners, plan_moves(owners, nodes)), nodes), [])

    def test_a_new_node_takes_its_share_and_the_others_exchange_nothing(self) -> None:
        owners = [NODES[0]] * 6 + [NODES[1]] * 5 + [NODES[2]] * 5
        moves = plan_moves(owners, NODES[:4])
        self.assertEqual({move.target for move in moves}, {NODES[3]})
        self.assertEqual(len(moves), 4)


class Page(unittest.TestCase):
    def test_the_table_of_placements_is_right(self) -> None:
        rows = re.findall(
            r"^\| (\d+) \| ([\d ]+) \| ([\d ]+) \| (\d+) \|$", SCALE.read_text(encoding="utf-8"), re.MULTILINE
        )
        self.assertEqual([row[0] for row in rows], ["2", "3", "4", "6", "8", "12", "16"])
        for count, before, placed, moves in rows:
            nodes = [f"node {number}" for number in range(int(count))]
            owners = [nodes[key_slot(b"%02x" % partition) * int(count) // 16384] for partition in range(16)]
            planned = plan_moves(owners, nodes)
            with self.subTest(masters=count):
                self.assertEqual(shares(owners, nodes), before)
                self.assertEqual(shares(after(owners, planned), nodes), placed)
                self.assertEqual(str(len(planned)), moves)


def shares(owners: list[str], nodes: list[str]) -> str:
    held = Counter(owners)
    return " ".join(map(str, sorted((held[node] for node in nodes), reverse=True)))
