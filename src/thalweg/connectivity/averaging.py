"""Does averaging these networks help: their weights, a choice of them, or their answers?"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.connectivity.ends import check_ends
from thalweg.connectivity.ensemble import ensemble_entries, ways_to_combine
from thalweg.connectivity.held_out import apart
from thalweg.connectivity.resamples import Resamples, ends
from thalweg.connectivity.soups import Scorer, average_of_weights, equal_shares, greedy_soup
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type, unknown_name
from thalweg.evaluation import Evaluator, Sample
from thalweg.evaluation.points import Entries
from thalweg.evaluation.running_statistics import tracked
from thalweg.figures import Axis, Figure, ReferenceLine, interval_bars
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.population.derivatives import check_steady
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval
from thalweg.statistics.means import ROUNDING

Array = NDArray[np.float64]
_KEEP = 'statistics="keep"'
BEST, AVERAGE, GREEDY = "best member", "average of weights", "greedy soup"


@dataclass(frozen=True, eq=False)
class Averaged(Result):
    """What `averaged` found.

    Args:
        reading: "loss" and, where the problem has an accuracy, "error" (way) of each way to make one answer of the
            networks, the first being the best member; "loss less the best's" and "error less the best's" (way), the
            mean difference by example, with its interval "..., 95 %" (way, end); "member loss" and "member error"
            (member); "best" (), the number of the best member, and "in the soup" (member), which networks the greedy
            soup took, both found on other examples.
    """

    def effect(self, way: str = AVERAGE, name: str | None = None) -> Interval:
        """By how much a way is better than the best member (below 0) or worse, with the interval over examples.

        Args:
            way: to make one answer of the networks.
            name: "loss" or "error"; None: "error" where there is an accuracy.

        Raises:
            UsageError: no such way, or neither "loss" nor "error".
        """
        ways = self.reading.coordinate("way").tolist()
        if way not in ways:
            kind = "way to average"
            raise unknown_name(kind, way, ways)
        name = self._named(name)
        place, array = ways.index(way), f"{name} less the best's"
        low, high = self[f"{array}, 95 %"][place].tolist()
        method = "paired difference by example, bootstrap over examples"
        return Interval(float(self[array][place]), low, high, self.reading.sample_size or 0, method)

    def outcomes(self, name: str | None = None) -> dict[str, str]:
        """Of every way but the best member itself: whether it is "better", "worse", or "no difference shown".

        It is one of the former where the whole interval of `effect` says so, by more than rounding; a way whose loss is
        not finite is worse.

        Args:
            name: see `effect`.

        Raises:
            UsageError: neither "loss" nor "error".
        """
        name = self._named(name)
        found = {way: self.effect(way, name) for way in self.reading.coordinate("way").tolist()[1:]}
        rounding = ROUNDING * abs(float(self[name][0]))
        words = {}
        for way, one in found.items():
            worse = one.low > rounding or not math.isfinite(one.estimate)
            words[way] = "better" if one.high < -rounding else "worse" if worse else "no difference shown"
        return words

    def figure(self) -> Figure:
        """How much better or worse than the best member every way is, with intervals over examples."""
        ways = self.reading.coordinate("way").tolist()[1:]
        panels = []
        for name in ("loss", "error"):
            if name in self.reading.arrays:
                bars = interval_bars({way: self.effect(way, name) for way in ways})
                best = ReferenceLine(0.0)
                y = Axis(f"{name} less the best's", self.reading.units.get(name, ""))
                panels.append(Figure.of(name, [bars, best], y=y))
        return Figure.row(panels, title="Averages against the best member", caption=" ".join(self.reading.notes))

    def _named(self, name: str | None) -> str:
        known = [one for one in ("error", "loss") if one in self.reading.arrays]
        name = known[0] if name is None else name
        check_choice("name", name, known)
        return name


@guarded
def averaged(
    problem: Problem,
    population: Population,
    *,
    shares: ArrayLike | None = None,
    also: Mapping[str, Population] | None = None,
    choose_on: Sample | str | ExampleSet | None = None,
    on: Sample | str | ExampleSet = "test",
    by: str | None = None,
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    resamples: int = 999,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Averaged:
    """Whether one answer made of all these networks is better than that of the best of them, on held-out examples.

        best member:        the network with the least error on `choose_on`
        average of weights: sum_k w_k theta_k, with w_k = 1/K where no shares are given (a uniform soup; the average
                            along a path, where the networks are its points)
        greedy soup:        from the best on, the average of those of which each did not raise the error on `choose_on`
        ensembles:          log sum_k w_k p_k(y | x), and sum_k w_k log p_k(y | x) scaled to probabilities; of losses
                            other than the cross-entropy and the logistic one the loss of sum_k w_k f_k(x)

    Everything is scored on `on`, of which nothing was chosen. What counts is the paired difference to the best member,
    example by example; its interval is over examples, so it is about these networks and other examples like these.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=100, batch_size=50, evaluate=1)
    >>> found = tw.connectivity.averaged(problem, tw.train(problem, recipe, 3).final)
    >>> found.outcomes("loss")["average of weights"]  # of networks that began apart
    'worse'

    Args:
        problem: what is evaluated.
        population: the networks, at least 2; they are only read.
        shares: of each in the average and the ensembles, (members,), at least 0 and scaled to sum 1; None: equal ones.
        also: further networks by name, one each, that are scored beside, such as an average after `align`.
        choose_on: the examples that the best member and the greedy soup are chosen on. None: one half of `on`, drawn at
            random; the other half is then scored.
        on: the examples to score on.
        by: what is chosen by, "error" or "loss"; None: "error" where the problem has an accuracy.
        statistics: of normalization layers: "recompute" those of `statistics_count` training examples, of the members
            and of averages alike; "keep": members have their own, and averages the averages of them.
        resamples: of the bootstrap over examples, at least 39.
        plan: see `train`.
        seed: of the halves, of the examples for "recompute" and of the resamples.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant, examples both to choose and to score on, networks of which one is
            not finite or that have no weighted sums (see `barrier`).
        ModelError: a model or loss that draws random numbers in evaluation mode.

    Cost: two evaluations of every member on `choose_on`, and one and a pass for outputs on `on`.

    Papers: Wortsman et al., 2022, arXiv:2203.05482 (soups); Izmailov et al., 2018, arXiv:1803.05407 (averages of points
    of one run, running statistics recomputed); Garipov et al., 2018, arXiv:1802.10026 (ensembles along a path).
    """
    began = time.perf_counter()
    check_choice("averaged statistics", statistics, ("recompute", "keep"))
    check_count("averaged statistics_count", statistics_count, 2)
    check_count("averaged resamples", resamples, 39)
    check_type("averaged seed", seed, int, "a whole number")
    check_steady(problem, "networks cannot be compared")
    _check_members(problem, population, statistics)
    judged = ["loss", *("error" for metric in problem.metrics if metric.name == "accuracy")]
    by = by or judged[-1]
    check_choice("averaged by", by, judged)
    parts = _shares(shares, len(population))
    chosen, scored, text = apart("averaged", problem, choose_on, on, seed=seed)
    renewed = Sample("train", statistics_count, seed) if statistics == "recompute" and tracked(problem) else None
    further = dict(also or {})
    for name, network in further.items():
        _check_further(problem, population, name, network, statistics)
    with watched(progress) as told:
        told(Progress("averaged, choosing", 0, 2, time.perf_counter() - began))
        scorer = Scorer(problem, chosen.examples, renewed, plan=plan, by=by)
        scores = scorer(population)
        taken = greedy_soup(population, scores, scorer)
        told(Progress("averaged, scoring", 1, 2, time.perf_counter() - began))
        soups = [average_of_weights(population, parts), average_of_weights(population[taken], equal_shares(len(taken)))]
        networks = scorer.settled(Population.concatenate([population, *soups, *further.values()]))
        examples = scored.examples
        singles = Evaluator(problem, networks, examples, plan=plan).entries()
        members = networks[: len(population)]
        together = ensemble_entries(problem, members, examples, parts, plan=plan)
        told(Progress("averaged, scoring", 2, 2, time.perf_counter() - began))
    ways, count = [BEST, AVERAGE, GREEDY, *further, *together], len(population)
    chosen_rows = [taken[0], count, taken[0] if len(taken) == 1 else count + 1]
    chosen_rows += [count + 2 + place for place in range(len(further))]
    again = Resamples(len(examples), resamples, seed)
    arrays: dict[str, Any] = {"best": taken[0], "in the soup": np.isin(np.arange(count), taken)}
    errors: dict[str, Array] = {}
    for name in judged:
        source = "accuracy" if name == "error" else name
        of_all = [_rows(singles[source], [*range(count), *chosen_rows]), *(of[source] for of in together.values())]
        means, draws = _means(name, of_all, again)
        less, less_draws = means[count:] - means[count], draws[:, count:] - draws[:, count, None]
        difference = f"{name} less the best's"
        arrays |= {name: means[count:], difference: less, f"member {name}": means[:count]}
        arrays[f"{difference}, 95 %"] = np.stack(ends(less_draws, axis=0), axis=1)
        spread = draws.std(0, ddof=1)
        errors |= {name: spread[count:], difference: less_draws.std(0, ddof=1), f"member {name}": spread[:count]}
    dims = {name: ("member" if "member" in name or "soup" in name else "way",) for name in arrays if name != "best"}
    dims |= {name: ("way", "end") for name in arrays if "95 %" in name}
    kinds = {"loss": problem.loss.unit, "error": "fraction"}
    reading = Reading(
        "averages of networks",
        arrays,
        dims,
        {"way": ways, "end": ["low", "high"], "member": np.arange(count)},
        {one: kinds[name] for name in judged for one in (name, f"{name} less the best's", f"member {name}")},
        errors,
        sample_size=len(examples),
        cost=Cost(time.perf_counter() - began, forwards=4 * count + 2),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(
            text,
            *(("Running statistics of normalization layers: " + statistics + ".",) if tracked(problem) else ()),
            f"The greedy soup took {len(taken)} of {count} networks, by the {by}.",
        ),
    )
    return Averaged(reading)


def _check_members(problem: Problem, population: Population, statistics: str) -> None:
    """Raise UsageError unless these are at least two networks between which there are others."""
    if len(population) < 2:
        msg = "averaged needs at least 2 networks; got 1. For several populations write Population.concatenate([...])."
        raise UsageError(msg)
    lost = (~population.theta.isfinite().all(1)).nonzero().flatten().tolist()
    if lost:
        kept = [member for member in range(len(population)) if member not in lost]
        msg = f"averaged needs finite networks, and {lost} are not; leave them out: population[{kept}]."
        raise UsageError(msg)
    check_ends("averaged", problem, list(population), statistics=_policy(statistics), otherwise=_KEEP)


def _check_further(problem: Problem, population: Population, name: str, network: Population, statistics: str) -> None:
    """Raise UsageError unless this is one more network to score."""
    check_type(f"averaged also[{name!r}]", network, Population, "a Population of one member")
    if name in (BEST, AVERAGE, GREEDY, *ways_to_combine(problem)):
        msg = f"averaged scores a {name!r} of its own; give the one in also another name."
        raise UsageError(msg)
    if len(network) != 1 or not bool(network.theta.isfinite().all()):
        msg = f"averaged also[{name!r}] must be one network, and finite; got {len(network)} members."
        raise UsageError(msg)
    check_ends("averaged", problem, [population[0], network], statistics=_policy(statistics), otherwise=_KEEP)


def _policy(statistics: str) -> str:
    """What becomes of running statistics between networks."""
    return "recompute" if statistics == "recompute" else "interpolate"


def _shares(given: ArrayLike | None, count: int) -> Tensor:
    """One for each network, of sum 1: (members,)."""
    if given is None:
        return equal_shares(count)
    shares = torch.as_tensor(np.asarray(given, dtype=np.float64))
    if tuple(shares.shape) != (count,) or not bool((shares >= 0).all()) or not 0 < float(shares.sum()) < np.inf:
        msg = f"averaged shares must be one for each of {count} networks, at least 0 and not all 0; got {given!r}."
        raise UsageError(msg)
    return shares / shares.sum()


def _rows(entries: Entries, rows: list[int]) -> Entries:
    values, weights = entries
    return values[rows], None if weights is None else weights[rows]


def _means(name: str, parts: list[Entries], again: Resamples) -> tuple[Array, Array]:
    """The mean of each row of these entries (rows,), and over every resample (resamples, rows)."""
    means, draws = [], []
    for values, weights in parts:
        means.append((values.mean(1) if weights is None else (values * weights).sum(1) / weights.sum(1)).cpu().numpy())
        draws.append(again.means(values, weights))
    found, drawn = np.concatenate(means), np.concatenate(draws, axis=1)
    return (1 - found, 1 - drawn) if name == "error" else (found, drawn)
