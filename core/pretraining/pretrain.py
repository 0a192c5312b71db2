"""From imagery to an encoder file: ``quadrat pretrain``.

While it runs, what was learnt lies beside the encoder in ``NAME.checkpoint`` and what can be made again in
``NAME.tiles``; both go when the encoder is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..architectures import SMALLEST_PX, STAGES
from ..encoders.networks import WHITENING, Readout
from ..encoders.spec import EncoderSpec, InputSpec, save_encoder
from ..encoders.whitening import measure_whitening
from ..errors import EncoderError, UsageError
from ..monitor import SILENT, Monitor
from .checkpoint import Checkpoint
from .neighbours import FEWEST_LABELS, knn_accuracy
from .options import PretrainOptions
from .sources import Source, SourceOptions, open_source
from .start import begin
from .training import Pretraining, Progress

ENDING = ".safetensors"
_MEASURED = 4096


@dataclass(frozen=True)
class Pretrained:
    """What became of a training: the ``encoder`` file, finished ``epochs``, the last epoch's mean ``loss``.

    ``knn`` is the k-NN accuracy in the end, None without labels; ``seconds`` are those of this run alone.
    """

    encoder: Path
    tiles: int
    bands: tuple[str, ...]
    epochs: int
    loss: float
    knn: float | None
    dimension: int
    seconds: float


def checkpoint_of(out: Path) -> Path:
    """Where the training of an encoder is kept while it is not finished."""
    return out.with_suffix(".checkpoint")


def pretrain(
    paths: Sequence[Path],
    out: Path,
    options: PretrainOptions,
    source_options: SourceOptions | None = None,
    *,
    start: str = "",
    resume: bool = True,
    device: str = "cpu",
    workers: int = 2,
    monitor: Monitor = SILENT,
) -> Pretrained:
    """Train an encoder on imagery and write it as one file.

    Args:
        paths: see :func:`.sources.open_source`.
        out: the file, ``NAME.safetensors``.
        options: how.
        source_options: which of the tiles.
        start: the encoder to begin with, as for ``embed``; empty for none.
        resume: go on where an earlier run of the same training stopped; otherwise start anew.
        device: ``cpu`` or ``cuda``.
        workers: threads that make views.
        monitor: told of every step; a cancelled training is kept.

    Raises:
        UsageError: options that make no sense, a source that cannot be used, or a checkpoint of another training.
        ImageryError, ProjectError: the source cannot be read.
        EncoderError: a file cannot be written or read.
    """
    options.check(tuple(STAGES), SMALLEST_PX)
    _check_place(out, workers)
    if not resume:
        checkpoint_of(out).unlink(missing_ok=True)
    begun = time.perf_counter()
    work = out.with_suffix(".tiles")
    with ExitStack() as stack:
        stack.callback(_clear, out)
        source = open_source(paths, source_options or SourceOptions(), work, stack, monitor.part(0.0, 0.02))
        _check_sizes(source, options)
        first = begin(source, options, start, monitor.part(0.02, 0.03))
        source, options = first.source, first.options
        identity = {**asdict(options), "tiles": source.identity, "bands": source.bands}
        if start:
            identity["start"] = first.identity
        checkpoint = Checkpoint(checkpoint_of(out), identity)
        training = Pretraining(
            source.tiles, len(source.bands), options, first.scaling, checkpoint, device, first.weights
        )
        progress = training.run(_check_of(training, source), workers, monitor.part(0.03, 1.0))
        spec = _spec_of(training, source, progress, out)
        save_encoder(out, {**_halved(training.network.eval().state_dict()), **_whitening_of(training, spec)}, spec)
        checkpoint.remove()
    return Pretrained(
        encoder=out,
        tiles=len(source.tiles),
        bands=source.bands,
        epochs=len(progress.losses),
        loss=progress.losses[-1],
        knn=progress.accuracies[-1] if progress.accuracies else None,
        dimension=spec.dimension or 0,
        seconds=time.perf_counter() - begun,
    )


def _clear(out: Path) -> None:
    """Take away what can be made again, unless there is a training that is going to need it."""
    if not checkpoint_of(out).exists():
        shutil.rmtree(out.with_suffix(".tiles"), ignore_errors=True)


def _check_place(out: Path, workers: int) -> None:
    if out.suffix != ENDING:
        raise UsageError(
            f"An encoder is a {ENDING} file, and {out.name} is not.", hint=f"Name it NAME{ENDING} (--out)."
        )
    if out.exists():
        raise UsageError(f"{out} exists already.", hint="Choose another name, or take the old encoder away.")
    if workers < 1:
        raise UsageError(f"There must be at least 1 worker, not {workers}.", hint="The usual is 2 (--workers).")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EncoderError(
            f"The folder {out.parent} cannot be made.", hint="Choose another place (--out).", details=str(error)
        ) from error


def _check_sizes(source: Source, options: PretrainOptions) -> None:
    if (options.view_px or source.size_px) < SMALLEST_PX:
        raise UsageError(
            f"Tiles of {source.size_px} px are too small for a network.",
            hint=f"Let views be enlarged to {SMALLEST_PX} px or more (--view).",
        )


def _check_of(training: Pretraining, source: Source) -> Callable[[], float] | None:
    """Measures the k-NN accuracy, where there are enough labels for one."""
    labels = source.labels
    if labels is None or np.count_nonzero(labels >= 0) < FEWEST_LABELS:
        return None

    @torch.inference_mode()
    def features(rows: NDArray[np.int64]) -> torch.Tensor:
        return training.features(torch.from_numpy(source.tiles(rows)))

    return lambda: knn_accuracy(features, labels, training.options.seed)


def _spec_of(training: Pretraining, source: Source, progress: Progress, out: Path) -> EncoderSpec:
    """The network is read at all its blocks: the early ones know colours and textures, the last ones what they make.

    On EuroSAT that is worth 1 to 3 points more than the last block alone.
    """
    options = training.options
    stages = STAGES[options.network]
    seen = f"{len(source.tiles)} tiles of {source.name}, {len(progress.losses)} epochs, seed {options.seed}"
    return EncoderSpec(
        name=out.stem,
        architecture=options.network,
        input=InputSpec(
            bands=source.bands,
            unit="reflectance",
            mean=tuple(round(float(value), 6) for value in training.scaling.mean),
            std=tuple(round(float(value), 6) for value in training.scaling.std),
            size_px=training.views.whole_px(source.size_px),
        ),
        layers=tuple(stages),
        dimension=sum(stages.values()),
        source=f"quadrat pretrain --method {options.method}: {seen}",
        summary=f"Trained on {source.name} without labels. Needs {', '.join(source.bands)}.",
    )


def _whitening_of(training: Pretraining, spec: EncoderSpec) -> dict[str, torch.Tensor]:
    """That of the vectors of some thousands of the tiles, under the names that an encoder file has for it."""
    rows = np.random.default_rng(training.options.seed).permutation(len(training.tiles))[:_MEASURED]
    vectors = training.read(Readout(training.network, spec.layers), np.sort(rows))
    return dict(zip(WHITENING, measure_whitening(vectors), strict=True))


def _halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights in half precision, which is all that embeddings keep."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
