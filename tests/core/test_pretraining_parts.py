"""Views, losses and the k-NN measure: the parts of the training of an encoder."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quadrat.core.encoders.whitening import measure_whitening
from quadrat.core.pretraining.contrast import MoCo, SimCLR, info_nce, nt_xent
from quadrat.core.pretraining.neighbours import knn_accuracy
from quadrat.core.pretraining.positives import mine_neighbours
from quadrat.core.pretraining.views import Views

PLAIN = Views(size_px=32, least_area=1.0, most_area=1.0, brightness=0.0, contrast=0.0, tint=0.0)


def some_tiles(count=4, bands=3, size=32, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).random((count, bands, size, size))).float()


def run(network, views):
    return network(views)


class Averages(torch.nn.Module):
    """Bands to as many features, with a weight each."""

    def __init__(self, bands=3):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(bands))

    def forward(self, views):
        return views.mean(dim=(2, 3)) * self.weight


def test_a_view_of_the_whole_tile_is_one_of_its_eight_ways_to_lie():
    tiles = some_tiles(64)
    ways = set()
    # A crop with sides in the proportion 4:3 cannot be the whole, so only those of equal sides are compared.
    square = Views(32, 0.9999, 1.0, 0.0, 0.0, 0.0)
    views = square.draw(tiles, Equal(0))
    for tile, view in zip(tiles, views, strict=True):
        turned = [torch.rot90(t, k, (1, 2)) for t in (tile, tile.flip(2)) for k in range(4)]
        distances = [float((view - t).abs().mean()) for t in turned]
        assert min(distances) < 0.02
        ways.add(int(np.argmin(distances)))
    assert len(ways) == 8


class Equal:
    """A generator whose crops have equal sides: the aspect is the second thing that is drawn."""

    def __init__(self, seed):
        self.rng, self.calls = np.random.default_rng(seed), 0

    def uniform(self, *arguments):
        self.calls += 1
        drawn = self.rng.uniform(*arguments)
        return np.zeros_like(drawn) if self.calls == 2 else drawn

    def __getattr__(self, name):
        return getattr(self.rng, name)


@given(st.integers(0, 1000), st.floats(0.05, 0.9))
@settings(max_examples=20, deadline=None)
def test_a_crop_shows_only_what_is_in_the_tile(seed, least):
    tiles = some_tiles(6, seed=seed) * 0.5 + 0.25
    views = Views(32, least, 1.0, 0.0, 0.0, 0.0).draw(tiles, np.random.default_rng(seed))
    assert views.shape == tiles.shape
    assert views.min() >= tiles.min() - 1e-5
    assert views.max() <= tiles.max() + 1e-5


def test_brightness_is_the_same_for_all_bands_and_leaves_their_proportions():
    tiles = some_tiles(16)
    bright = Views(32, 1.0, 1.0, 0.5, 0.0, 0.0).draw(tiles, np.random.default_rng(1)).mean(dim=(2, 3))
    plain = PLAIN.draw(tiles, np.random.default_rng(1)).mean(dim=(2, 3))
    factors = bright / plain
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert 0.5 <= float(factors.min()) < 0.8
    assert 1.2 < float(factors.max()) <= 1.5


def test_contrast_leaves_the_mean_and_tint_changes_the_colour():
    tiles = some_tiles(16)
    plain = PLAIN.draw(tiles, np.random.default_rng(1))
    contrasted = Views(32, 1.0, 1.0, 0.0, 0.5, 0.0).draw(tiles, np.random.default_rng(1))
    torch.testing.assert_close(contrasted.mean(dim=(2, 3)), plain.mean(dim=(2, 3)))
    assert not torch.allclose(contrasted.std(dim=(2, 3)), plain.std(dim=(2, 3)), rtol=0.05)
    tinted = Views(32, 1.0, 1.0, 0.0, 0.0, 0.3).draw(tiles, np.random.default_rng(1)).mean(dim=(2, 3))
    factors = tinted / plain.mean(dim=(2, 3))
    assert float((factors.amax(dim=1) - factors.amin(dim=1)).max()) > 0.1


def test_the_same_chance_gives_the_same_views():
    views = Views(24, 0.2, 1.0, 0.2, 0.2, 0.1)
    once, again = (views.draw(some_tiles(), np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, views.draw(some_tiles(), np.random.default_rng(6)))


def plain_nt_xent(first, second, temperature):
    vectors = np.concatenate([first, second]).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    count, losses = len(first), []
    for i, vector in enumerate(vectors):
        partner = (i + count) % (2 * count)
        others = [j for j in range(2 * count) if j != i]
        exponents = [np.exp(vector @ vectors[j] / temperature) for j in others]
        losses.append(-np.log(np.exp(vector @ vectors[partner] / temperature) / sum(exponents)))
    return np.mean(losses)


@given(st.integers(2, 9), st.integers(2, 6), st.floats(0.1, 2.0), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_nt_xent_is_that_of_the_paper(count, dimension, temperature, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((2, count, dimension))
    ours = nt_xent(torch.from_numpy(first), torch.from_numpy(second), temperature)
    assert float(ours) == pytest.approx(plain_nt_xent(first, second, temperature))


def test_info_nce_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    queries, keys, queue = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in rng.standard_normal((3, 7, 5)))
    ours = float(info_nce(*map(torch.from_numpy, (queries, keys, queue)), 0.3))
    losses = []
    for query, key in zip(queries, keys, strict=True):
        positive = np.exp(query @ key / 0.3)
        losses.append(-np.log(positive / (positive + sum(np.exp(query @ other / 0.3) for other in queue))))
    assert ours == pytest.approx(np.mean(losses))


def test_moco_s_copy_follows_slowly_and_the_queue_holds_the_latest_keys():
    contrast = MoCo(Averages(), 3, temperature=0.2, queue=10, momentum=0.9, seed=0).train()
    views = some_tiles(4), some_tiles(4, seed=1)
    before = contrast.queue.clone()
    loss = contrast.loss(*views, run, np.random.default_rng(0))
    loss.backward()
    with torch.no_grad():
        contrast.network.weight += 1.0
    contrast.after_step()
    torch.testing.assert_close(contrast.key_network.weight, torch.full((3,), 1.1))
    assert torch.equal(contrast.queue[8:], before[8:])
    assert not torch.isclose(contrast.queue[:8], before[:8]).all(dim=1).any()
    torch.testing.assert_close(contrast.queue.norm(dim=1), torch.ones(10))
    contrast.loss(*views, run, np.random.default_rng(1))
    contrast.after_step()
    assert int(contrast.place) == 6


@pytest.mark.parametrize("make", [
    lambda: SimCLR(Averages(), 3, 0.5),
    lambda: MoCo(Averages(), 3, 0.5, 64, 0.9, 0),
])  # fmt: skip
def test_views_that_are_alike_cost_less_than_views_of_other_tiles(make):
    contrast = make().train()
    tiles = some_tiles(8) * torch.rand(8, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng
    same = contrast.loss(tiles, tiles, run, rng(0))
    other = contrast.loss(tiles, tiles.roll(1, 0), run, rng(0))
    assert float(same) < float(other)


def test_knn_accuracy_is_the_share_of_right_majorities():
    labels = np.repeat([0, 1, 2, -1], 50)
    centres = torch.eye(4)

    def apart(rows):
        return centres[torch.from_numpy(labels[rows] % 4)]

    assert knn_accuracy(apart, labels, 0) == 1.0
    mixed = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 3)))
    assert knn_accuracy(lambda rows: mixed[torch.from_numpy(rows)], labels, 0) < 0.7


def test_knn_agrees_with_scikit_learn():
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 300)
    vectors = rng.standard_normal((300, 4)) + labels[:, None]
    ours = knn_accuracy(lambda rows: torch.from_numpy(vectors[rows]), labels, 9)
    order = np.random.default_rng(9).permutation(np.arange(300))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[order]
    theirs = KNeighborsClassifier(5).fit(unit[60:], labels[order][60:]).score(unit[:60], labels[order][:60])
    assert ours == pytest.approx(theirs, abs=1e-9)


@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_mined_neighbours_are_the_nearest_others(count, wanted, seed):
    features = np.random.default_rng(seed).standard_normal((count, 5)) * [1, 2, 3, 4, 0] + 7
    mined = mine_neighbours(torch.from_numpy(features).float(), wanted, 0)
    tensor = torch.from_numpy(features).float()
    whitened = measure_whitening(tensor)(tensor).numpy()
    unit = whitened / np.linalg.norm(whitened, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.sort(cosines, axis=1)[:, ::-1][:, : min(wanted, count - 1)]
    assert mined.shape == nearest.shape
    np.testing.assert_allclose(np.take_along_axis(cosines, mined, axis=1), nearest, atol=1e-4)


def test_mining_copes_with_tiles_that_are_all_the_same():
    mined = mine_neighbours(torch.ones(9, 4), 3, 0)
    assert mined.shape == (9, 3)
    assert not (mined == np.arange(9)[:, None]).any()


def test_among_very_many_tiles_neighbours_are_looked_for_in_a_sample(monkeypatch):
    monkeypatch.setattr("quadrat.core.pretraining.positives._CANDIDATES", 10)
    mined = mine_neighbours(torch.from_numpy(np.random.default_rng(0).standard_normal((40, 4))).float(), 3, 5)
    assert len(np.unique(mined)) <= 10
    assert not (mined == np.arange(40)[:, None]).any()
    assert all(len(set(row)) == 3 for row in mined.tolist())


def test_whole_tiles_are_looked_at_in_the_scale_of_the_views() -> None:
    def side_of(view_px: int, least: float, most: float) -> int:
        return Views(view_px, least, most, 0.0, 0.0, 0.0).whole_px(64)

    # An even mean of many crops, as a crude check of the formula.
    drawn = 48 / np.sqrt(np.random.default_rng(0).uniform(0.08, 0.6, 100_000)).mean()
    assert side_of(48, 0.08, 0.6) == round(drawn / 16) * 16 == 80
    assert side_of(48, 0.2, 1.0) == 64
    assert side_of(64, 1.0, 1.0) == 64
    assert side_of(128, 1.0, 1.0) == 128
    assert side_of(32, 1.0, 1.0) == 64  # never smaller than the tile
