"""Whether inequalities hold, where the risk is known: two Gaussians and linear rules, 1,000 samples at once.

Tried are the inequalities that the families rest on, with what these pay for draws and for choices, and not families,
whose networks have no known risk. Those of PAC-Bayes have room to spare: a choice that is not paid would not show.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.generalization import bounds
from thalweg.generalization.bounds import KnownRisk
from thalweg.statistics import Interval

Array = NDArray[np.float64]
SAMPLES, DELTA, SLACK = 1_000, 0.05, 0.02
SIGMA, PRIORS = 0.1, (0.3, 0.6, 1.0)
DRAWS, DRAWN = 100, 0.2 * DELTA  # of the Gibbs predictor, and what may fail by them
BITS = 10  # of a rule with 10 weights -1 or 1
BROKEN = ("training error alone", "Occam without the length of the code", "a prior that saw the data, KL taken as 0")


@dataclass(frozen=True, eq=False)
class Validity:
    """In which share of samples each bound is below the risk.

    Args:
        valid: of bounds.
        broken: of what looks like a bound and is none.
    """

    valid: dict[str, Interval]
    broken: dict[str, Interval]

    @property
    def worst(self) -> Interval:
        """Of the bound that may fail most often."""
        return max(self.valid.values(), key=lambda one: one.high)

    @property
    def caught(self) -> bool:
        """Whether all that is broken would not pass as a bound."""
        return all(one.high >= DELTA + SLACK for one in self.broken.values())


def validity(seed: int, samples: int = SAMPLES) -> Validity:
    """Every inequality on a population of 60 dimensions and 100 examples, and rules of few bits on one of 10 and 40.

    With far more examples than dimensions the slack of PAC-Bayes bounds, ln(2 sqrt(m)), hides a prior that saw the
    data, so it is looked for where there are few.
    """
    wide, narrow = (KnownRisk(m, d, mu, samples, seed) for m, d, mu in ((100, 60, 1.0), (40, 10, 0.3)))
    first, second = slice(0, 50), slice(50, 100)
    w, half = wide.mean_rule(), wide.mean_rule(first)
    rules = np.random.default_rng([seed, 2]).choice([-1.0, 1.0], size=(2**BITS, 10))
    error, risk = narrow.best_of(rules)
    wrong = np.round(wide.error(half, second) * 50)
    saw = wide.gibbs_error(w, SIGMA), wide.gibbs_risk(w, SIGMA)
    return Validity(
        {
            "hold-out": bounds.violations(bounds.hold_out(wrong, 50, DELTA), wide.risk(half)),
            "PAC-Bayes, prior from half": bounds.violations(*_from_half(wide, half, second)),
            "PAC-Bayes, data-free prior": bounds.violations(*_data_free(wide, w)),
            "Occam, rules of few bits": bounds.violations(bounds.occam(error, 40, BITS, DELTA), risk),
        },
        dict(
            zip(
                BROKEN,
                (
                    bounds.violations(wide.error(w), wide.risk(w)),
                    bounds.violations(bounds.occam(error, 40, 0, DELTA), risk),
                    bounds.violations(bounds.pac_bayes_kl(saw[0], 0.0, 100, DELTA), saw[1]),
                ),
                strict=True,
            )
        ),
    )


def _from_half(of: KnownRisk, prior: Array, rows: slice) -> tuple[Array, Array]:
    """The better of two posteriors, the prior itself and one moved by the other half; a union over both is paid."""
    moved = prior + 0.3 * (of.mean_rule(rows) - prior)
    candidates = [(prior, np.zeros(of.samples)), (moved, ((moved - prior) ** 2).sum(1) / (2 * SIGMA**2))]
    each = [(_gibbs(of, w, SIGMA, kl, 2, rows), of.gibbs_risk(w, SIGMA)) for w, kl in candidates]
    return _best(of, each)


def _data_free(of: KnownRisk, w: Array) -> tuple[Array, Array]:
    """The best of three priors around 0, a union over which is paid."""
    each = []
    for s in PRIORS:
        kl = (w**2).sum(1) / (2 * s**2)
        each.append((_gibbs(of, w, s, kl, len(PRIORS)), of.gibbs_risk(w, s)))
    return _best(of, each)


def _gibbs(of: KnownRisk, w: Array, sigma: float, kl: Array, candidates: int, rows: slice = slice(None)) -> Array:
    """PAC-Bayes of one of some candidates, by draws of its error that have a share of delta of their own."""
    error = of.drawn_gibbs_error(w, sigma, DRAWS, rows)
    most = bounds.monte_carlo(error, DRAWS, DRAWN / candidates)
    m = len(range(of.m)[rows])
    return bounds.pac_bayes_kl(most, kl, m, (DELTA - DRAWN) / candidates)


def _best(of: KnownRisk, each: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The smallest bound of each sample, and the risk of what it is about."""
    table, risks = (np.stack(part) for part in zip(*each, strict=True))
    at = table.argmin(0), np.arange(of.samples)
    return table[at], risks[at]
