"""The bounds that need trainings, of the same digits: what is trained, on true labels and on random ones."""

from dataclasses import dataclass
from functools import partial
from typing import TypedDict

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg import data, nets, optim, schedules
from thalweg.data import Data, Examples, pooled
from thalweg.generalization import bounds
from thalweg.generalization.bounds import Certificate
from thalweg.generalization.dealt import drawn_anew
from thalweg.population import Problem
from thalweg.progress import Watcher
from thalweg.schedules import Schedule
from thalweg.studies.lab import Lab
from thalweg.training import Recipe

Array = NDArray[np.float64]
TRAINED, DELTA, DRAWS = 1_437, 0.05, 1_000
MONTE_CARLO = 0.2  # of delta, for the draws
HOLD_OUT, HALF, FREE, SUBSPACE, LINEAR = (
    "hold-out, half",
    "PAC-Bayes, prior from half",
    "PAC-Bayes, data-free prior",
    "Occam, random subspace",
    "Occam, linear of few bits",
)
NOT_VACUOUS = (HALF, FREE, SUBSPACE, LINEAR)  # four kinds, of which at least two are to be below 0.5
FREE_LINEAR = "PAC-Bayes, data-free prior, linear"
NET, SMALL, MEMORIZER = (64, 50, 10), (64, 20, 10), (64, 512, 10)
SIGMAS, PRIOR_STDS = (0.01, 0.03, 0.1), (0.3, 0.6, 1.0)


def adam(rate: float, steps: int, schedule: Schedule | None = None) -> Recipe:
    """In batches of 100; at a constant rate, unless there is a schedule."""
    return Recipe(optim.Adam(rate), steps, 100, schedule or schedules.Constant(), evaluate=1)


PLAIN, MOVED, MEMORIZING = adam(1e-3, 1_500), adam(3e-5, 60), adam(3e-3, 2_500)
POSTERIOR, LINEAR_POSTERIOR = adam(3e-3, 1_200), adam(5e-3, 800)
CODES, SIGNS = adam(0.1, 800, schedules.Cosine()), adam(0.02, 600, schedules.Cosine())
# Chosen with the rates of both codes among a dozen settings, by training errors and with the bounds in sight, on seeds
# that are never scored: the distance of levels in the subspace, and the scale of one-bit weights in training.
LEVELS, SCALE = (1.0, 2.0), 1.0


@dataclass(frozen=True, eq=False)
class Digits:
    """1,437 digits of each seed to train on, and the 360 others.

    Args:
        data: the training sets of all seeds, one after the other, and all digits.
        examples, test_examples: which of them are whose: (seeds, n).
        seeds: as many.
    """

    data: Data
    examples: Int64[Tensor, "seeds n"]
    test_examples: Int64[Tensor, "seeds test"]
    seeds: list[int]

    def problem(self, lab: Lab, *widths: int) -> Problem:
        """A perceptron on them."""
        return Problem(partial(nets.mlp, *widths), self.data, device=lab.device)


class Common(TypedDict):
    """What every family is given."""

    seeds: list[int]
    examples: Int64[Tensor, "seeds n"]
    test_examples: Int64[Tensor, "seeds test"]
    delta: float
    progress: Watcher | None


def digits(seeds: list[int], share: float = 0.0) -> Digits:
    """Drawn anew for each seed, with so large a share of random training labels; test labels are true."""
    clean, whole, tested = drawn_anew(data.digits(), TRAINED, seeds, stream="not vacuous")
    sets = [
        Data(one, name="digits", classes=10).with_random_labels(share, seed).train if share else one
        for one, seed in zip(clean, seeds, strict=True)
    ]
    pool, table = pooled([one for one in sets if isinstance(one, Examples)])
    return Digits(Data(pool, whole, "digits", 10), table, tested, seeds)


def on_true_labels(lab: Lab, seeds: list[int]) -> dict[str, Certificate]:
    """Every family at full scale; at quick scale those that take seconds, with their first candidate alone."""
    of = digits(seeds)
    common, net = given(lab, of, "true labels"), of.problem(lab, *NET)
    if lab.scale == "quick":
        return {
            HOLD_OUT: bounds.half_hold_out(net, PLAIN, **common),
            HALF: bounds.half_prior(net, PLAIN, sigmas=SIGMAS[:1], draws=DRAWS, **common),
            LINEAR: bounds.quantized_linear(net, SIGNS, codes=["sign"], scale=SCALE, **common),
        }
    linear = of.problem(lab, 64, 10)
    return {
        HOLD_OUT: bounds.half_hold_out(net, PLAIN, **common),
        HALF: bounds.half_prior(net, PLAIN, sigmas=SIGMAS, posterior=MOVED, draws=DRAWS, **common),
        FREE: bounds.data_free(of.problem(lab, *SMALL), POSTERIOR, prior_stds=PRIOR_STDS, draws=DRAWS, **common),
        FREE_LINEAR: bounds.data_free(linear, LINEAR_POSTERIOR, prior_stds=[1.0], draws=DRAWS, **common),
        SUBSPACE: bounds.random_subspace(net, CODES, steps=LEVELS, **common),
        LINEAR: bounds.quantized_linear(net, SIGNS, scale=SCALE, **common),
    }


def on_random_labels(lab: Lab, seeds: list[int]) -> dict[str, Certificate]:
    """The same with one candidate each; at full scale the network of the prior is one that memorizes its half."""
    of = digits(seeds, 1.0)
    common, net = given(lab, of, "random labels"), of.problem(lab, *NET)
    linear = bounds.quantized_linear(net, SIGNS, codes=["sign"], scale=SCALE, **common)
    if lab.scale == "quick":
        return {HALF: bounds.half_prior(net, PLAIN, sigmas=SIGMAS[:1], draws=200, **common), LINEAR: linear}
    large = of.problem(lab, *MEMORIZER)
    return {
        HOLD_OUT: bounds.half_hold_out(large, MEMORIZING, **common),
        HALF: bounds.half_prior(large, MEMORIZING, sigmas=SIGMAS[:1], draws=200, **common),
        FREE: bounds.data_free(of.problem(lab, *SMALL), POSTERIOR, prior_stds=[0.6], draws=DRAWS, **common),
        SUBSPACE: bounds.random_subspace(net, CODES, 100, 3, steps=LEVELS[1:], **common),
        LINEAR: linear,
    }


def given(lab: Lab, of: Digits, label: str) -> Common:
    """To each family."""
    return {
        "seeds": of.seeds,
        "examples": of.examples,
        "test_examples": of.test_examples,
        "delta": DELTA,
        "progress": lab.labelled(label),
    }


def looser(found: Certificate, draws: int = DRAWS) -> float:
    """How large the bound would be in the form that textbooks print, with a square root: mean over seeds."""
    at = found["chosen"], np.arange(len(found["bound"]))
    error, m = found["error by candidate"][at], found.row.examples
    if "bits" in found.reading.arrays:
        return float(bounds.occam_hoeffding(error, m, found["bits"][at], DELTA).mean())
    candidates, drawn = len(found["bound by candidate"]), MONTE_CARLO * DELTA
    most = bounds.monte_carlo(error, draws, drawn / candidates)
    return float(bounds.mcallester(most, found["KL"][at], m, (DELTA - drawn) / candidates).mean())
