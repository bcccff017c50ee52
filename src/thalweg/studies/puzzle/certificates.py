"""The bounds that need trainings, of the same digits: what is trained, on true labels and on random ones.

The prior of softmax regression has the initial weights as its center, which are within 1/8 of 0, and deviation 1. On
random labels each family has one candidate: more would only make every bound larger, as each pays for all.
"""

import numpy as np
from numpy.typing import NDArray

from thalweg.generalization import bounds
from thalweg.generalization.bounds import Certificate
from thalweg.population import Problem
from thalweg.studies.lab import Lab
from thalweg.studies.puzzle import codes
from thalweg.studies.puzzle.codes import LINEAR_STEPS, SCALE, SUBSPACE_STEPS, UNCHOSEN, Setting
from thalweg.studies.puzzle.samples import DELTA, Common, adam, digits, given

Array = NDArray[np.float64]
DRAWS = 1_000
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


PLAIN, MOVED, MEMORIZING = adam(1e-3, 1_500), adam(1e-3, 60), adam(3e-3, 2_500)
POSTERIOR, LINEAR_POSTERIOR = adam(3e-3, 1_200), adam(5e-3, 800)


def on_true_labels(lab: Lab, seeds: list[int], how: dict[str, Setting] | None = None) -> dict[str, Certificate]:
    """Every family at full scale; at quick scale those that take seconds, with their first candidate alone.

    Args:
        how: codes are trained at full scale, by `chosen`.
    """
    of = digits(seeds)
    common, net = given(lab, of, "true labels"), of.problem(lab, *NET)
    if how is None:
        half = bounds.half_prior(net, PLAIN, sigmas=SIGMAS[:1], draws=DRAWS, workers=lab.workers, **common)
        return {**both(half), LINEAR: signs(net, UNCHOSEN, common)}
    linear = of.problem(lab, 64, 10)
    own, few = how[SUBSPACE], how[LINEAR]
    return {
        **both(
            bounds.half_prior(net, PLAIN, sigmas=SIGMAS, posterior=MOVED, draws=DRAWS, workers=lab.workers, **common)
        ),
        FREE: bounds.data_free(of.problem(lab, *SMALL), POSTERIOR, prior_stds=PRIOR_STDS, draws=DRAWS, **common),
        FREE_LINEAR: bounds.data_free(linear, LINEAR_POSTERIOR, prior_stds=[1.0], draws=DRAWS, **common),
        SUBSPACE: bounds.random_subspace(
            net, own.recipe(SUBSPACE_STEPS), steps=own.levels, settings=own.settings, **common
        ),
        LINEAR: bounds.quantized_linear(net, few.recipe(LINEAR_STEPS), scale=SCALE, settings=few.settings, **common),
    }


def on_random_labels(lab: Lab, seeds: list[int], how: dict[str, Setting] | None = None) -> dict[str, Certificate]:
    """The same with one candidate each; at full scale the network of the prior is one that memorizes its half."""
    of = digits(seeds, 1.0)
    common, net = given(lab, of, "random labels"), of.problem(lab, *NET)
    if how is None:
        half = bounds.half_prior(net, PLAIN, sigmas=SIGMAS[:1], draws=DRAWS, workers=lab.workers, **common)
        return {HALF: half, LINEAR: signs(net, UNCHOSEN, common)}
    large, own = of.problem(lab, *MEMORIZER), how[SUBSPACE]
    return {
        **both(bounds.half_prior(large, MEMORIZING, sigmas=SIGMAS[:1], draws=DRAWS, workers=lab.workers, **common)),
        FREE: bounds.data_free(of.problem(lab, *SMALL), POSTERIOR, prior_stds=[0.6], draws=DRAWS, **common),
        SUBSPACE: bounds.random_subspace(
            net, own.recipe(SUBSPACE_STEPS), 100, 3, steps=own.levels[1:], settings=own.settings, **common
        ),
        LINEAR: signs(net, how[LINEAR], common),
    }


def both(half: Certificate) -> dict[str, Certificate]:
    """The bound with a prior from half, and the hold-out bound of the same networks."""
    assert half.network is not None
    return {HOLD_OUT: half.network, HALF: half}


def signs(net: Problem, how: Setting, common: Common) -> Certificate:
    """The linear classifier of one bit a weight."""
    recipe = how.recipe(LINEAR_STEPS)
    return bounds.quantized_linear(net, recipe, codes=["sign"], scale=SCALE, settings=how.settings, **common)


def chosen(lab: Lab, seeds: list[int]) -> dict[str, Setting]:
    """How each code is trained, by the rule of `codes` on seeds that are not scored."""
    of = digits(seeds)
    common, net = given(lab, of, "choosing how codes are trained"), of.problem(lab, *NET)
    return {SUBSPACE: codes.of_subspace(net, common), LINEAR: codes.of_linear(net, common)}


def looser(found: Certificate, draws: int = DRAWS) -> float:
    """How large the bound would be in the form that textbooks print, with a square root: mean over seeds."""
    at = found["chosen"], np.arange(len(found["bound"]))
    error, m = found["error by candidate"][at], found.row.examples
    if "bits" in found.reading.arrays:
        return float(bounds.occam_hoeffding(error, m, found["bits"][at], DELTA).mean())
    candidates, drawn = len(found["bound by candidate"]), MONTE_CARLO * DELTA
    most = bounds.monte_carlo(error, draws, drawn / candidates)
    return float(bounds.mcallester(most, found["KL"][at], m, (DELTA - drawn) / candidates).mean())
