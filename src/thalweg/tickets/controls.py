"""The arms of a ticket search: the ticket, and every control that its claim must be held against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.randomness import stream_key
from thalweg.tickets.allocation import Allocation, Counts, ErdosRenyi, Global
from thalweg.tickets.division import Division
from thalweg.tickets.layer_order import LayerOrder
from thalweg.tickets.policy import Policy
from thalweg.tickets.scores import random
from thalweg.tickets.selection import Mask, Scores, mask_of, select_parts
from thalweg.tickets.shuffling import SHUFFLED, shuffled_parts
from thalweg.tickets.units import Units
from thalweg.training import Recipe, Start, train
from thalweg.workers import Workers

ARMS = (
    "ticket",
    "one-shot",
    "reinit",
    "signs kept",
    "shuffled",
    "random",
    "random ERK",
    "magnitude at init",
    "small dense",
)
EQUAL_COST = "one-shot, equal cost"
MORE_ARMS = (EQUAL_COST, "first layer shuffled", "reinit, shuffled", "another reinit", "another shuffling")
FRESH = (
    {"reinit", "signs kept", "reinit, shuffled"},
    {"another reinit"},
)  # arms of one other initialization, and another
REINITIALIZED = "reinitialization"  # the stream of seeds from which they are drawn
NEEDED = ("reinit", "shuffled")  # without which nothing is said of a ticket
STEPS = 60  # of the bisection for the width of the small dense network


@dataclass(frozen=True, eq=False)
class Arms:
    """What the arms of a search are made of.

    Args:
        problem, policy, allocation, division: what is pruned, and how.
        seeds: one a member.
        start: the dense run where it is rewound to.
        first: the initialization.
        fresh: another initialization of every seed, trained to the same step.
        fresher: one more.
        one_shot: scores of the dense run's end.
    """

    problem: Problem
    policy: Policy
    allocation: Allocation
    division: Division
    seeds: Sequence[int]
    start: Start
    first: Population
    fresh: Start | None
    fresher: Start | None
    one_shot: Scores

    def of(self, name: str, mask: Mask, kept: Counts, longer: Scores | None = None) -> tuple[Start, Mask]:
        """Where an arm starts, and its mask, beside a ticket of this mask; `longer`: scores of a longer dense run."""
        seeds = list(self.seeds)
        if name in ("reinit", "another reinit"):
            return _given(self.fresh if name == "reinit" else self.fresher), mask
        if name == "signs kept":
            return with_signs(_given(self.fresh), self.start.population), mask
        if name == "reinit, shuffled":
            return _given(self.fresh), shuffled_parts(mask, self.division, seeds)
        if name == "shuffled":
            return self.start, shuffled_parts(mask, self.division, seeds)
        if name == "another shuffling":
            return self.start, shuffled_parts(mask, self.division, seeds, stream=f"another {SHUFFLED}")
        if name == "first layer shuffled":
            return self.start, shuffled_parts(mask, self.division, seeds, layers=[self.order.first])
        if name == EQUAL_COST:
            assert longer is not None
            return self.start, _collapsing(longer, self.division, kept)
        if name == "random":
            return self.start, self._random(Global(), mask)
        if name == "random ERK":
            return self.start, self._random(ErdosRenyi(), mask)
        if name == "one-shot":
            return self.start, _collapsing(self.one_shot, self.division, kept)
        if name == "magnitude at init":
            return self.start, _collapsing(self.first.theta.abs(), self.division, kept)
        if name == "small dense":
            small = first_units(self.problem, self.policy, round(sum(self._weights(mask)) / len(mask)))
            return Start(rescaled_to(self.first, small)), small.expand(len(seeds), -1)
        return self.start, mask

    @cached_property
    def order(self) -> LayerOrder:
        """Which of the layers that may be pruned is the first."""
        return LayerOrder.of(self.problem, self.division.entries)

    def _weights(self, mask: Mask) -> list[int]:
        """How many weights each member keeps of what may be pruned, whatever the parts are that it keeps."""
        return mask[:, self.policy.columns(self.problem.layout)].sum(1).tolist()

    def _random(self, allocation: Allocation, mask: Mask) -> Mask:
        """A random mask of as many single weights; one seed's nest over the levels."""
        division, rows = allocation.division(self.problem, self.policy), []
        scores = random(self.first, list(self.seeds))
        for row, weights in enumerate(self._weights(mask)):
            kept = allocation.kept(division, weights / int(division.sizes.sum()))
            rows.append(_collapsing(scores[row : row + 1], division, kept))
        return torch.cat(rows)


def _given(start: Start | None) -> Start:
    """An initialization that is there, since an arm was asked for that needs it."""
    assert start is not None
    return start


def _collapsing(scores: Scores, division: Division, kept: Counts) -> Mask:
    """As `select`, but a control may have an empty layer: that it is then at chance is what it shows."""
    return mask_of(division, select_parts(scores, division, kept))


@guarded
def reinitialized(problem: Problem, seeds: Sequence[int], *, stream: str = REINITIALIZED) -> Population:
    """Another initialization for every seed, by the stream (seed, "reinitialization") of seeds, or one of another name.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> fresh = tw.tickets.reinitialized(problem, [0, 1])
    >>> fresh.theta.shape, bool((fresh.theta == problem.initialize([0, 1]).theta).any())
    (torch.Size([2, 650]), False)

    Raises:
        UsageError: a model that starts from the same numbers at every call.
    """
    fresh = problem.initialize([stream_key(seed, stream) for seed in seeds])
    if torch.equal(fresh.theta, problem.initialize(list(seeds)).theta):
        msg = (
            "The model starts from the same weights at every call, so nothing can be initialized anew. Give Problem a "
            "function that builds a fresh module, or leave out the arms reinit and signs kept."
        )
        raise UsageError(msg)
    return fresh


def fresh_at(
    problem: Problem,
    recipe: Recipe,
    seeds: Sequence[int],
    k: int,
    *,
    stream: str = REINITIALIZED,
    plan: Plan | str | Mapping[str, Plan] = "auto",
    workers: Workers | None = None,
) -> Start:
    """Other initializations (see `reinitialized`), each as its own dense run has it at step k.

    The recipe keeps snapshots of step k and of what the optimizer remembers there.
    """
    population = reinitialized(problem, seeds, stream=stream)
    if k == 0:
        return Start(population)
    run = train(problem, recipe, list(seeds), start=population, paired=True, until=k, plan=plan, workers=workers)
    return run.at(k)


@in_words
def with_signs(fresh: Start, of: Population) -> Start:
    """The magnitudes of fresh networks with the signs of others; where those are zero, the fresh numbers.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> fresh = tw.Start(tw.tickets.reinitialized(problem, [0]))
    >>> signed = tw.tickets.with_signs(fresh, problem.initialize([0])).population
    >>> bool((signed.theta.sign() == problem.initialize([0]).theta.sign()).all())
    True
    """
    theta, signs = fresh.population.theta, of.theta.sign()
    signed = torch.where(signs == 0, theta, theta.abs() * signs)
    return replace(fresh, population=fresh.population.with_theta(signed), state=None)


@guarded
def first_units(problem: Problem, policy: Policy, weights: int) -> Mask:
    """The mask of a narrower dense network: the first units of every group, by one share, of about as many weights.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> small = tw.tickets.first_units(problem, tw.tickets.Policy(), 592)
    >>> int(small[0, problem.layout.where("hidden", "output")].sum())  # 8 units of 64 + 10 weights
    592

    Args:
        problem: whose units are counted.
        policy: which weights are.
        weights: how many of them there should be, as nearly as whole units allow.

    Raises:
        UsageError, ModelError: as `Units`; a model without units of which fewer could be kept has no narrower one.
    """
    division = Units().division(problem, policy)
    columns = policy.columns(problem.layout)
    firsts = division.sizes.cumsum(0) - division.sizes
    place = torch.arange(len(division.pool)) - firsts[division.pool]
    best: tuple[int, Tensor] | None = None
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        share = (low + high) / 2
        counts = (division.sizes * share).round().clamp_min(1)
        mask = mask_of(division, (place < counts[division.pool])[None])
        off = int(mask[0, columns].sum()) - weights
        if best is None or abs(off) < best[0]:
            best = abs(off), mask
        low, high = (share, high) if off < 0 else (low, share)
    assert best is not None
    return best[1]


@in_words
def rescaled_to(population: Population, small: Mask) -> Population:
    """Weights as their own layers would draw them with the fan-in that the mask leaves: times sqrt(fan-in / left).

    So narrow networks made by a mask start as networks of that width do, by initializations that scale with
    1 / sqrt(fan-in). Biases of the same layers go along.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> small = tw.tickets.first_units(problem, tw.tickets.Policy(), 592)
    >>> first = problem.initialize([0])
    >>> scaled = tw.tickets.rescaled_to(first, small)
    >>> views = problem.layout.views(scaled.theta / first.theta)
    >>> views["hidden1.weight"].unique().tolist(), views["output.weight"].unique().tolist()
    ([1.0], [2.0])
    """
    theta = population.theta.clone()
    for entry in population.layout:
        if entry.fan_in is None or len(entry.shape) < 2:
            continue
        left = small[0, entry.columns].view(entry.shape).movedim(entry.filter_dim, 0).flatten(1).sum(1)
        if not int(left.max()):
            continue
        factor = (entry.size / entry.shape[entry.filter_dim] / int(left.max())) ** 0.5
        for one in population.layout:
            if one.module == entry.module and one.fan_in is not None and (one is entry or len(one.shape) < 2):
                theta[:, one.columns] *= factor
    return population.with_theta(theta)
