"""The experiments by name: which runs they are made of, and which studies go with them.

:mod:`.base` what an experiment and a setting are; :mod:`.studies` what a study is; :mod:`.paper1`, :mod:`.paper2` and
:mod:`.ours` the experiments; :mod:`.projection`, :mod:`.encoder_shares` and :mod:`.one_shot` the studies;
:mod:`.published` the papers' own figures.
"""

from .base import Experiment, Setting
from .published import PUBLISHED, Published
from .registry import EXPERIMENTS
from .studies import Findings, Study, read_findings

__all__ = [
    "EXPERIMENTS",
    "PUBLISHED",
    "Experiment",
    "Findings",
    "Published",
    "Setting",
    "Study",
    "read_findings",
]
