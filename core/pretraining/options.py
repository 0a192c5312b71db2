"""How an encoder is trained: one plain record, of which a checkpoint keeps a copy."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError

METHODS = ("moco", "simclr")


@dataclass(frozen=True)
class PretrainOptions:
    """Everything that decides what is learnt, besides the tiles.

    Args:
        method: ``moco`` (MoCo v2) or ``simclr`` (NT-Xent, for small batches).
        network: one of ``architectures.STAGES``.
        epochs: how often every tile is looked at.
        batch: tiles a step; a smaller source makes it smaller.
        lr, weight_decay: of AdamW; the rate warms up over two epochs and falls to 0 along a cosine.
        temperature: of the loss.
        queue, momentum: MoCo's, He et al. 2020.
        neighbours: how many nearest neighbours of a tile give its second view, any of them by chance; 0 for a view of
            the tile itself. See :mod:`.positives`.
        mine_every: epochs after which neighbours are looked for anew. A training that begins with nothing looks for
            the first ones after as many epochs.
        view_px: side of a view; 0 for that of the tiles.
        least_area, most_area, brightness, contrast, tint: see :class:`.views.Views`.
        patience: stop after so many epochs without a better k-NN accuracy, or, without labels, without a lower loss;
            0 for never.
        seed: decides all chance.
    """

    method: str = "moco"
    network: str = "resnet18_half"
    epochs: int = 100
    batch: int = 256
    lr: float = 2e-3
    weight_decay: float = 1e-4
    temperature: float = 0.1
    queue: int = 4096
    momentum: float = 0.99
    neighbours: int = 0
    mine_every: int = 20
    view_px: int = 0
    least_area: float = 0.2
    most_area: float = 1.0
    brightness: float = 0.3
    contrast: float = 0.3
    tint: float = 0.05
    patience: int = 0
    seed: int = 0

    def check(self, networks: tuple[str, ...], smallest_px: int) -> None:
        """Refuse what makes no sense; all problems are listed.

        Raises:
            UsageError: something does not.
        """
        rules = (
            (self.method in METHODS, f"the method is one of {', '.join(METHODS)}, not {self.method!r}"),
            (self.network in networks, f"the network is one of {', '.join(networks)}, not {self.network!r}"),
            (self.epochs >= 1, f"there is at least 1 epoch, not {self.epochs}"),
            (self.batch >= 2, f"a batch has at least 2 tiles, not {self.batch}"),
            (self.lr > 0, f"the learning rate is above 0, not {self.lr:g}"),
            (self.weight_decay >= 0, f"the weight decay is 0 or more, not {self.weight_decay:g}"),
            (self.temperature > 0, f"the temperature is above 0, not {self.temperature:g}"),
            (self.queue >= 2, f"the queue holds at least 2 keys, not {self.queue}"),
            (0 <= self.momentum < 1, f"the momentum lies between 0 and 1, not {self.momentum:g}"),
            (self.neighbours >= 0, f"there are 0 or more neighbours, not {self.neighbours}"),
            (self.mine_every >= 1, f"neighbours are looked for every 1 or more epochs, not {self.mine_every}"),
            (self.view_px == 0 or self.view_px >= smallest_px, f"a view has at least {smallest_px} px"),
            (0 < self.least_area <= self.most_area <= 1, "the crop's area lies above 0 and up to 1, the least first"),
            (0 <= self.brightness < 1, f"the change of brightness lies from 0 to below 1, not {self.brightness:g}"),
            (0 <= self.contrast < 1, f"the change of contrast lies from 0 to below 1, not {self.contrast:g}"),
            (0 <= self.tint < 1, f"the change of tint lies from 0 to below 1, not {self.tint:g}"),
            (self.patience >= 0, f"the patience is 0 or more epochs, not {self.patience}"),
            (self.seed >= 0, f"the seed is 0 or more, not {self.seed}"),
        )
        problems = [problem for holds, problem in rules if not holds]
        if problems:
            raise UsageError("Some options make no sense.", hint="Correct them.", details="\n".join(problems))
