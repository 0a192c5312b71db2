"""A network runs in the precision of its device, and in batches that fit into memory, with the same vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from quadrat.core.architectures import build_network
from quadrat.core.encoders.base import EncoderCard
from quadrat.core.encoders.networks import NetworkEncoder
from quadrat.core.encoders.spec import InputSpec
from quadrat.core.encoders.throughput import GPU_LARGEST, BatchSize, precision_of
from quadrat.core.errors import EncoderError

CPU, GPU = torch.device("cpu"), torch.device("cuda")
BANDS = ("B02", "B03", "B04")


def encoder_of(network: nn.Module, size_px: int = 64) -> NetworkEncoder:
    spec = InputSpec(BANDS, "reflectance", (0.2,) * 3, (0.1,) * 3, size_px)
    encoder = NetworkEncoder(EncoderCard("test", BANDS, "test-1"), network, spec, "cpu")
    encoder.precision = torch.float32
    return encoder


def tiles(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.01, 0.4, (n, 3, 64, 64)).astype(np.float32)


class Cramped(nn.Module):
    """The mean of each band, in a memory that holds ``room`` tiles."""

    def __init__(self, room: int, error: type[Exception] = torch.OutOfMemoryError, message: str = "no room"):
        super().__init__()
        self.room, self.error, self.message = room, error, message
        self.ran: list[int] = []

    def forward(self, prepared):
        if len(prepared) > self.room:
            raise self.error(self.message)
        self.ran.append(len(prepared))
        return prepared.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory"),
        (RuntimeError, "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
        (RuntimeError, "DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
    ],
)
def test_memory_that_runs_out_halves_the_batches_and_changes_no_vector(error, message):
    roomy, cramped = encoder_of(Cramped(1000)), encoder_of(Cramped(30, error, message))
    pixels = tiles(150)
    np.testing.assert_array_equal(cramped.encode(pixels, BANDS), roomy.encode(pixels, BANDS))
    assert max(cramped.network.ran) <= 30
    first = cramped.tiles_together
    cramped.encode(pixels, BANDS)
    assert cramped.tiles_together == first <= 30


def test_memory_too_small_for_one_tile_is_an_error_that_says_what_to_do():
    with pytest.raises(EncoderError, match="single tile") as caught:
        encoder_of(Cramped(0)).encode(tiles(5), BANDS)
    assert "--device" in caught.value.hint


def test_another_fault_of_a_network_is_not_taken_for_memory():
    with pytest.raises(RuntimeError, match="shapes"):
        encoder_of(Cramped(0, RuntimeError, "shapes do not fit")).encode(tiles(5), BANDS)


@pytest.mark.skipif(precision_of(CPU) == torch.float32, reason="this processor has no half precision")
@pytest.mark.parametrize("architecture", ["resnet18", "squeezenet1_1"])
def test_vectors_in_the_processors_half_precision_stay_close_to_those_in_full(architecture):
    torch.manual_seed(0)
    encoder = encoder_of(build_network(architecture, 3))
    pixels = tiles(20)
    full = encoder.encode(pixels, BANDS)
    encoder.precision = precision_of(CPU)
    half = encoder.encode(pixels, BANDS)
    assert half.dtype == np.float32
    assert not np.array_equal(half, full)
    assert (np.linalg.norm(half - full, axis=1) < 0.03 * np.linalg.norm(full, axis=1)).all()


def test_the_average_over_the_last_features_is_taken_in_full_precision():
    encoder = encoder_of(nn.AdaptiveAvgPool2d(1))
    encoder.precision = torch.bfloat16
    pixels = tiles(4)
    expected = ((pixels - 0.2) / 0.1).mean(axis=(2, 3))
    np.testing.assert_allclose(encoder.encode(pixels, BANDS), expected, rtol=1e-4, atol=1e-6)


def test_a_network_that_overflows_in_float16_is_computed_in_full():
    class Large(nn.Module):
        def forward(self, prepared):
            return torch.nn.functional.conv2d(prepared, torch.full((1, 3, 64, 64), 100.0)).flatten(1)

    encoder = encoder_of(Large())
    pixels = np.full((2, 3, 64, 64), 0.39, np.float32)
    expected = encoder.encode(pixels, BANDS)
    assert expected.min() > 65504
    encoder.precision = torch.float16
    np.testing.assert_allclose(encoder.encode(pixels, BANDS), expected)


def test_the_precision_is_said_unless_it_is_the_usual():
    encoder = encoder_of(Cramped(10))
    assert encoder.remark == ""
    encoder.precision = torch.bfloat16
    assert encoder.remark == "test computes in bfloat16 on this machine's CPU, which is faster."


@given(size_px=st.sampled_from([32, 64, 224, 5000]), seconds=st.lists(st.floats(1e-4, 10), max_size=12))
def test_on_a_processor_the_batch_stays_as_it_is(size_px, seconds):
    batch = BatchSize(CPU, size_px)
    before = batch.size
    for second in seconds:
        batch.ran(batch.size, second)
    assert batch.size == before >= 1


def run_at(batch: BatchSize, rate_of) -> None:
    """Two full batches of the present size at the rate that a GPU has with it."""
    for _ in range(2):
        batch.ran(batch.size, batch.size / rate_of(batch.size))


def test_on_a_gpu_the_batch_grows_while_that_makes_it_faster_and_then_stays():
    batch = BatchSize(GPU, 224)
    start = batch.size
    for _ in range(8):
        run_at(batch, lambda size: min(size, 4 * start))
    assert batch.size == 4 * start


def test_on_a_gpu_the_batch_does_not_grow_forever():
    batch = BatchSize(GPU, 224)
    start = batch.size
    for _ in range(20):
        run_at(batch, lambda size: size)
    assert batch.size == GPU_LARGEST * start


def test_a_batch_that_is_far_from_full_says_nothing():
    batch = BatchSize(GPU, 64)
    before = batch.size
    for _ in range(10):
        batch.ran(before // 2, 1.0)
    assert batch.size == before


def test_after_memory_ran_out_the_batch_does_not_grow_again():
    batch = BatchSize(GPU, 224)
    batch.halve(batch.size)
    after = batch.size
    for _ in range(5):
        run_at(batch, lambda size: size)
    assert batch.size == after
