"""A small language model, the grids of rates it is trained at, and the schedules that are compared on it."""

import numpy as np
from numpy.typing import NDArray

from thalweg import schedules
from thalweg.data import text
from thalweg.nets import transformer
from thalweg.population import Problem
from thalweg.schedules import Schedule
from thalweg.studies.lab import Lab

WINDOW, WIDTH, HEADS = 16, 16, 2  # bytes read at once, and the size of the transformer
BETA2 = 0.95  # as for GPT-3 (Brown et al., 2020, arXiv:2005.14165, appendix B)
WARMED = 25  # one step in 25 is warmup: 4,000 of 100,000 in the first transformer (arXiv:1706.03762)
RESTARTS = "cosine with restarts"


def language_model(lab: Lab, depth: int, held_out: int, *, norm: str = "pre") -> Problem:
    """The next byte of Python's documentation, after each of the bytes before it, by a small transformer."""
    data = text(context=WINDOW).subset(test=held_out, seed=0)
    vocabulary = len(data.ground_truth["vocabulary"])
    model = lambda: transformer(vocabulary, WINDOW, WIDTH, HEADS, depth, norm=norm)  # noqa: E731
    return Problem(model, data, device=lab.device)


def factors_of_two(first: int, last: int) -> NDArray[np.float64]:
    """Learning rates from 2^first to 2^last."""
    return np.exp2(np.arange(first, last + 1, dtype=np.float64))


def shapes(steps: int) -> dict[str, Schedule]:
    """The schedules by name, all with the same warmup and made for `steps`."""
    warmup = max(1, steps // WARMED)
    return {
        "constant": schedules.Warmup(warmup),
        "cosine": schedules.Cosine(warmup=warmup),
        "linear": schedules.Linear().warmed_up(warmup),
        "WSD": schedules.WSD(decay=steps // 5, warmup=warmup),  # a fifth, as in arXiv:2405.18392
        "inverse square root": schedules.InverseSquareRoot(warmup=warmup),
        # SGDR: three cycles, each twice as long as the one before, the last ending the run.
        RESTARTS: schedules.Restarts((steps - warmup) / 7, growth=2).warmed_up(warmup),
    }
