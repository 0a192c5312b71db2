"""torchgeo's networks by the names of their weights: its transforms, its bands, and files read safely.

The files are made with torchgeo's own networks and random numbers, in the published format.
"""

import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from quadrat.core.encoders.listing import torchgeo_state
from quadrat.core.encoders.registry import load_encoder
from quadrat.core.encoders.torchgeo_inputs import family_of
from quadrat.core.encoders.torchgeo_models import describe_torchgeo, find, list_weights, published_hash
from quadrat.core.errors import EncoderError

from .encoder_files import exact

models = pytest.importorskip("torchgeo.models")

RGB = ("B04", "B03", "B02")
ALL = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
NINE = ("B04", "B03", "B02", "B05", "B06", "B07", "B08", "B11", "B12")


def pixels(n_bands, size=64):
    return np.random.default_rng(0).uniform(0.01, 0.9, (1, n_bands, size, size)).astype(np.float32)


def published(folder, builder, **options):
    """A network of torchgeo with random weights and its file, as its publisher saves it."""
    torch.manual_seed(0)
    model = models.get_model(builder, **options)
    state = model.state_dict()
    if builder == "panopticon_vitb14":
        # The teacher's file has DINOv2's mask token and position embedding, for 518 px.
        state = model.model.state_dict() | {"mask_token": torch.zeros(1, 768), "pos_embed": torch.randn(1, 1370, 768)}
    if builder.startswith("dofa"):
        state = {name: tensor for name, tensor in state.items() if not name.startswith(("fc_norm", "head"))}
    torch.save(state, folder / "weights.pth")
    return model.eval(), folder / "weights.pth"


def whole(features):
    """The features of a network without its classifier."""
    for name in ("fc", "head"):
        if isinstance(getattr(features, name, None), nn.Linear):
            setattr(features, name, nn.Identity())
    return features


@pytest.mark.parametrize(
    ("builder", "name", "bands"),
    [
        ("resnet18", "ResNet18_Weights.SENTINEL2_ALL_MOCO", ALL),
        ("resnet50", "ResNet50_Weights.SENTINEL2_RGB_MOCO", RGB),
        ("resnet50", "ResNet50_Weights.SENTINEL2_ALL_SOFTCON", ALL),
        ("vit_small_patch16_224", "ViTSmall16_Weights.SENTINEL2_ALL_DINO", ALL),
        ("vit_small_patch16_224", "ViTSmall16_Weights.SENTINEL2_ALL_CLOSP", ALL),
    ],
)
def test_a_network_gets_digital_numbers_through_torchgeos_own_transforms(tmp_path, builder, name, bands):
    model, file = published(tmp_path, builder, in_chans=len(bands))
    encoder = exact(load_encoder(f"torchgeo:{name}@{file}"))
    assert encoder.card.bands == bands
    seen = pixels(len(bands))
    weights = find(name).weights
    with torch.no_grad():
        expected = whole(model)(weights.transforms(torch.from_numpy(seen * 10_000))).numpy()
    np.testing.assert_allclose(encoder.encode(seen, bands), expected, rtol=1e-3, atol=1e-3)


def test_satlas_gets_true_colour_and_clipped_numbers_of_the_whole_tile(tmp_path):
    model, file = published(tmp_path, "resnet50", in_chans=9)
    encoder = exact(load_encoder(f"torchgeo:ResNet50_Weights.SENTINEL2_SI_MS_SATLAS@{file}"))
    assert encoder.card.bands == NINE
    seen = pixels(9, size=256)
    colour = np.minimum(seen[:, :3] / 0.3558, 1.0)
    others = np.minimum(seen[:, 3:] * 10_000 / 8160, 1.0)
    with torch.no_grad():
        expected = whole(model)(torch.from_numpy(np.concatenate([colour, others], axis=1))).numpy()
    np.testing.assert_allclose(encoder.encode(seen, NINE), expected, rtol=1e-3, atol=1e-3)
    assert encoder.encode(pixels(9, size=64), NINE).shape == (1, 2048)


def test_a_swin_transformer_gives_its_features_not_its_classes(tmp_path):
    model, file = published(tmp_path, "swin_v2_t")
    encoder = exact(load_encoder(f"torchgeo:Swin_V2_T_Weights.SENTINEL2_SI_RGB_SATLAS@{file}"))
    seen = pixels(3, size=256)
    with torch.no_grad():
        expected = whole(model)(torch.from_numpy(np.minimum(seen / 0.3558, 1.0))).numpy()
    np.testing.assert_allclose(encoder.encode(seen, RGB), expected, rtol=1e-3, atol=1e-3)


def test_dofa_is_told_the_wavelengths_of_the_bands_it_gets(tmp_path):
    model, file = published(tmp_path, "dofa_base_patch16_224", num_classes=0)
    some = ("B02", "B08")
    encoder = exact(load_encoder(f"torchgeo:DOFABase16_Weights.DOFA_MAE[B02, B08]@{file}"))
    assert encoder.card.bands == some
    seen = pixels(2, size=224)
    colour = (np.minimum(seen[:, 0] / 0.3558, 1.0) * 255 - 126.63977424) / 67.42465279
    infrared = (np.minimum(seen[:, 1] * 10_000 / 32, 255) - 101.435633) / 60.29744676
    prepared = torch.from_numpy(np.stack([colour, infrared], axis=1))
    with torch.no_grad():
        expected = model(prepared, [0.49, 0.842]).numpy()
    np.testing.assert_allclose(encoder.encode(seen, some), expected, rtol=1e-3, atol=1e-3)
    assert find("DOFABase16_Weights.DOFA_MAE").family.bands == NINE


def test_panopticon_is_told_wavelengths_in_nanometres(tmp_path):
    _, file = published(tmp_path, "panopticon_vitb14")
    encoder = exact(load_encoder(f"torchgeo:Panopticon_Weights.VIT_BASE14[B03,B04]@{file}"))
    seen = pixels(2)
    vectors = encoder.encode(seen, ("B03", "B04"))
    assert vectors.shape == (1, 768)
    turned = encoder.encode(np.ascontiguousarray(seen[:, ::-1]), ("B04", "B03"))
    np.testing.assert_allclose(turned, vectors, rtol=1e-4, atol=1e-4)
    assert find("Panopticon_Weights.VIT_BASE14").family.bands == tuple(band for band in ALL if band != "B10")


def test_every_usable_weight_has_as_many_bands_as_its_network():
    found = list_weights()
    assert torchgeo_state() == ""
    assert len(found) > 30
    for name, reason in found.items():
        if not reason:
            wanted = find(name)
            assert set(wanted.family.bands) <= set(ALL), name
            assert len(wanted.family.bands) == wanted.weights.meta.get("in_chans", len(wanted.family.bands)), name
    refused = {name for name, reason in found.items() if reason}
    assert "ResNet50_Weights.SENTINEL2_RGB_SECO" in refused
    assert "ResNet50_Weights.SENTINEL2_ALL_NDVI_SECO_ECO" in refused
    assert any(name.startswith("Unet") for name in refused)


def test_the_hash_that_pins_a_file_is_the_one_in_its_name():
    assert published_hash(find("ResNet50_Weights.SENTINEL2_RGB_MOCO").weights.url) == "2b57ba8b"
    assert len(published_hash(find("ResNet50_Weights.SENTINEL2_ALL_SOFTCON").weights.url)) == 64


def test_published_weights_come_from_the_folder_of_weights(tmp_path, monkeypatch):
    """A file under a published name counts only with the published hash, which random weights cannot have."""
    monkeypatch.setenv("QUADRAT_WEIGHTS", str(tmp_path))
    _, file = published(tmp_path, "resnet18", in_chans=3)
    name = "ResNet18_Weights.SENTINEL2_RGB_MOCO"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    weights = find(name).weights
    file.rename(tmp_path / weights.url.rsplit("/", 1)[-1])
    assert not describe_torchgeo(name).available
    monkeypatch.setattr("quadrat.core.encoders.torchgeo_models.KNOWN_HASHES", {weights.url.rsplit("/", 1)[-1]: digest})
    assert describe_torchgeo(name).available
    assert load_encoder(f"torchgeo:{name}").card.bands == RGB


def test_facts_about_torchgeos_weights():
    info = describe_torchgeo("ViTSmall16_Weights.SENTINEL2_ALL_DINO", ("B02", "B03"))
    assert (info.bands, info.size_px, info.available) == (ALL, 224, False)
    assert "needs B01" in info.reason
    by_hand = describe_torchgeo("Panopticon_Weights.VIT_BASE14")
    assert (by_hand.available, by_hand.downloadable) == (False, False)
    assert "@PATH/panopticon_vitb14_teacher.pth" in by_hand.reason


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ResNet50_Weights.SENTINEL2_RGB_MOC", "SENTINEL2_RGB_MOCO"),
        ("Unet_Weights.SENTINEL2_2CLASS_FTW", "not those of an encoder"),
        ("ResNet18_Weights.LANDSAT_TM_TOA_MOCO", "not those of an encoder"),
        ("ResNet50_Weights.SENTINEL2_RGB_SECO", "contradictory"),
        ("nonsense", "does not name weights"),
        ("ResNet50_Weights.SENTINEL2_RGB_MOCO[B04]", "just the bands"),
        ("DOFABase16_Weights.DOFA_MAE[B10]", "cannot be used"),
        ("DOFABase16_Weights.DOFA_MAE[B04,B04]", "cannot be used"),
        ("Panopticon_Weights.VIT_BASE14", "No hash is published"),
    ],
)
def test_what_cannot_be_used_says_why(name, said):
    with pytest.raises(EncoderError) as caught:
        load_encoder(f"torchgeo:{name}")
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_a_file_of_other_weights_is_refused(tmp_path):
    _, file = published(tmp_path, "resnet18", in_chans=3)
    with pytest.raises(EncoderError, match="does not hold the weights"):
        load_encoder(f"torchgeo:ResNet50_Weights.SENTINEL2_RGB_MOCO@{file}")
    torch.save(nn.Linear(2, 2), file)
    with pytest.raises(EncoderError, match="cannot be read safely"):
        load_encoder(f"torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO@{file}")


def test_bands_are_named_as_quadrat_names_them():
    meta = {"bands": ["B1", "B8a", "B12"], "in_chans": 3}
    assert family_of("X_Weights.SENTINEL2_ALL_MOCO", meta).bands == ("B01", "B8A", "B12")
