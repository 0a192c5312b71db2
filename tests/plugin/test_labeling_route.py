"""The order in which a round's tiles are visited."""

from __future__ import annotations

import math
import random

import pytest

from quadrat.plugin.labeling.route import NEAR_OPTIMAL, Place, visiting_order


def scattered(count: int, seed: int, raster_id: int = 1) -> list[Place]:
    cells = random.Random(seed).sample(range(170 * 143), count)
    return [Place(raster_id, cell // 170, cell % 170) for cell in cells]


def length(places: list[Place], order) -> float:
    order = list(order)
    return sum(math.dist(places[one][1:], places[other][1:]) for one, other in zip(order, order[1:]))


def shortest_tree(places: list[Place]) -> float:
    """The length of the minimum spanning tree: no path through all places is shorter (Prim 1957)."""
    near = {place: math.dist(places[0][1:], place[1:]) for place in places[1:]}
    total = 0.0
    while near:
        place = min(near, key=near.get)
        total += near.pop(place)
        near = {other: min(reach, math.dist(place[1:], other[1:])) for other, reach in near.items()}
    return total


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, NEAR_OPTIMAL, NEAR_OPTIMAL + 1, 2000])
def test_every_tile_is_visited_once(count):
    assert sorted(visiting_order(scattered(count, 0))) == list(range(count))


@pytest.mark.parametrize("seed", range(5))
def test_64_tiles_are_visited_on_a_path_that_is_nearly_the_shortest(seed):
    places = scattered(64, seed)
    path = length(places, visiting_order(places))
    assert path < 0.25 * length(places, range(64))
    assert path < 1.3 * shortest_tree(places)


@pytest.mark.parametrize("count", [500, 2000])
def test_many_tiles_are_visited_on_a_path_far_shorter_than_by_rank(count):
    places = scattered(count, 3)
    path = length(places, visiting_order(places))
    assert path < 0.1 * length(places, range(count))
    assert path < 1.8 * shortest_tree(places)


@pytest.mark.parametrize("count", [64, 500])
def test_the_order_depends_on_the_tiles_only(count):
    places = scattered(count, 4)
    shuffled = random.Random(1).sample(places, count)
    assert [places[i] for i in visiting_order(places)] == [shuffled[i] for i in visiting_order(shuffled)]


@pytest.mark.parametrize("count", [30, 200])
def test_tiles_of_a_raster_stay_together(count):
    places = [place for pair in zip(scattered(count, 5), scattered(count, 6, raster_id=2)) for place in pair]
    rasters = [places[index].raster_id for index in visiting_order(places)]
    assert rasters == [1] * count + [2] * count


def test_a_full_grid_of_many_tiles_is_walked_from_neighbour_to_neighbour():
    places = [Place(1, row, col) for row in range(16) for col in range(16)]
    assert length(places, visiting_order(places)) == 255
