"""A small language model, the grids of rates it is trained at, and the schedules that are compared on it."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import schedules
from thalweg.data import Data, Examples, text
from thalweg.nets import transformer
from thalweg.population import Problem
from thalweg.schedules import Schedule
from thalweg.studies.lab import Lab

WINDOW, WIDTH, HEADS = 16, 16, 2  # bytes read at once, and the size of the transformer
BETA2 = 0.95  # as for GPT-3 (Brown et al., 2020, arXiv:2005.14165, appendix B)
WARMED = 25  # one step in 25 is warmup: 4,000 of 100,000 in the first transformer (arXiv:1706.03762)
RESTARTS = "cosine with restarts"


def language_model(
    lab: Lab, depth: int, held_out: int, *, norm: str = "pre", width: int = WIDTH, heads: int = HEADS
) -> Problem:
    """The next byte of Python's documentation, after each of the bytes before it, by a small transformer."""
    return _problem(lab, text(context=WINDOW).subset(test=held_out, seed=0), depth, norm, width, heads)


def to_tune_and_to_score(lab: Lab, depth: int, held_out: int) -> tuple[Problem, Problem]:
    """The problem of `language_model` twice, with as many held-out windows each, and no predicted byte in both."""
    data = text(context=WINDOW).subset(test=2 * held_out, seed=0)
    assert isinstance(data.test, Examples)
    halves = torch.arange(2 * held_out).tensor_split(2)
    tune, score = (_problem(lab, replace(data, test=data.test.select(half)), depth, "pre") for half in halves)
    return tune, score


def _problem(lab: Lab, data: Data, depth: int, norm: str, width: int = WIDTH, heads: int = HEADS) -> Problem:
    vocabulary = len(data.ground_truth["vocabulary"])
    return Problem(lambda: transformer(vocabulary, WINDOW, width, heads, depth, norm=norm), data, device=lab.device)


def factors_of_two(first: int, last: int, *, in_each: int = 1) -> NDArray[np.float64]:
    """Learning rates from 2^first to 2^last, with as many steps of one ratio in each factor of two."""
    return np.exp2(np.arange(first * in_each, last * in_each + 1) / in_each)


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
