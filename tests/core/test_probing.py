"""How encoders are tested: on images that are held out, by neighbours and by a linear learner."""

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from quadrat.core.encoders.registry import load_encoder
from quadrat.core.errors import UsageError
from quadrat.core.images import open_images
from quadrat.core.probing import probe
from quadrat.core.splits import held_out


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Sixty noisy pictures of three colours that overlap a little."""
    folder = tmp_path_factory.mktemp("probe") / "set"
    rng = np.random.default_rng(0)
    for index in range(60):
        kind = index % 3
        colour = np.array([[90, 60, 50], [60, 90, 50], [60, 60, 80]])[kind] + rng.normal(0, 9, 3)
        levels = (colour + rng.normal(0, 12, (32, 32, 3))).clip(0, 255)
        place = folder / "rgb"[kind]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels.astype(np.uint8)).save(place / f"{index}.png")
    return open_images(folder)


def vectors_of(images):
    pixels = np.stack([images.read(row) for row in range(60)])
    return load_encoder("statistics").encode(pixels, images.bands).astype(np.float16).astype(float)


def test_neighbours_are_those_of_scikit_learn(images):
    found = probe(load_encoder("statistics"), images, holdout=0.3, seed=4, labels=[12], draws=3)
    vectors, apart = vectors_of(images), held_out(60, 0.3, 4)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    reference = KNeighborsClassifier(5).fit(unit[~apart], images.targets[~apart])
    assert found.knn == pytest.approx(reference.score(unit[apart], images.targets[apart]), abs=1 / 18 + 1e-9)
    assert (found.trained_on, found.tested_on) == (42, 18)
    assert list(found.linear) == [12, 42]
    assert found.linear[42][0] > 0.8
    assert found.score == "accuracy"


def test_leaving_one_out_tests_every_image(images):
    found = probe(load_encoder("statistics"), images, leave_one_out=True)
    assert (found.trained_on, found.tested_on) == (59, 60)
    assert found.knn > 0.8
    assert list(found.linear) == [59]


def test_the_same_seed_gives_the_same_scores(images):
    once, again = (probe(load_encoder("statistics"), images, labels=[9]) for _ in range(2))
    assert once == again


def test_images_without_classes_cannot_be_tested_on(tmp_path):
    for name in "ab":
        Image.new("RGB", (32, 32)).save(tmp_path / f"{name}.png")
    with pytest.raises(UsageError, match="classes"):
        probe(load_encoder("statistics"), open_images(tmp_path))


def test_too_few_images_are_refused(images):
    with pytest.raises(UsageError, match="too few"):
        probe(load_encoder("statistics"), images, holdout=0.0)
    with pytest.raises(UsageError, match="too few"):
        probe(load_encoder("statistics"), images, holdout=0.95)


def test_several_classes_an_image_are_scored_by_micro_f1(images, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    lines = ["filename,red,green"]
    for row in range(60):
        kind = images.targets[row]
        Image.fromarray((images.read(row).transpose(1, 2, 0) * 900).clip(0, 255).astype(np.uint8)).save(
            folder / f"{row}.png"
        )
        lines.append(f"{row}.png,{int(kind == 2)},{int(kind == 1)}")
    (folder / "labels.csv").write_text("\n".join(lines))
    found = probe(load_encoder("statistics"), open_images(folder), labels=[20])
    assert found.score == "micro_f1"
    assert found.knn > 0.6
