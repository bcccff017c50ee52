"""Simplexes of low loss: sets of networks of several dimensions with given networks at corners."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.connectivity.curve_training import default_recipe
from thalweg.connectivity.descent import check_recipe, descend
from thalweg.connectivity.ends import check_ends
from thalweg.connectivity.samples import degrees, labelled, samples_of, seeds_of
from thalweg.connectivity.simplex_volume import VolumeGradient, log_volume
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Conditions, Points, Sample
from thalweg.evaluation.points import AT_ONCE, everywhere
from thalweg.figures import Axis, Figure, Scatter
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic, check_watcher, watched
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.training import Recipe

Array = NDArray[np.float64]
_APART = 0.1  # how far from the mean of the corners a trained vertex begins, in norms of that mean
_BLOCK = 256  # steps whose weights are drawn together


@dataclass(frozen=True, eq=False)
class Simplex(Result):
    """What `simplex` found.

    Args:
        reading: "loss" and every metric at points drawn uniformly from each simplex, (on, member, simplex, point), and
            at all vertices as "vertex loss" and so on, (on, member, vertex), given corners first; "log volume" and
            "log volume at first" (member, simplex), of lengths of parameters.
        vertices: the given corners and then the trained ones, as populations of all members.
        corners: how many are given; the i-th simplex has the i-th corner and all trained vertices.
        weights: of the vertices at the points: (simplex, point, vertex).
        diverged_at: the step, from 1, at which a member's loss or gradient was not finite: (members,); -1: none.
    """

    vertices: list[Population] = field(repr=False)
    corners: int
    weights: Float[Tensor, "simplex point vertex"] = field(repr=False)
    diverged_at: Int64[Tensor, " members"] = field(repr=False)

    def at(self, weights: ArrayLike) -> Population:
        """The networks at weights of the vertices, (vertices,), one of each member.

        Their running statistics are those of the first corner: `evaluation.recomputed` makes them anew.

        Raises:
            UsageError: not one weight for each vertex, or weights that are negative or do not sum to 1.
        """
        given = np.asarray(weights, dtype=np.float64)
        if given.shape != (len(self.vertices),) or (given < 0).any() or not math.isclose(given.sum(), 1, abs_tol=1e-6):
            msg = f"A point of a simplex has {len(self.vertices)} weights from 0 on that sum to 1; got {weights!r}."
            raise UsageError(msg)
        theta = torch.stack([weight * one.theta for weight, one in zip(given.tolist(), self.vertices, strict=True)])
        return replace(self.vertices[0], theta=theta.sum(0), mask=self.vertices[-1].mask).with_own_buffers()

    def drawn(self, count: int, *, member: int = 0, seed: int = 0) -> Population:
        """Networks drawn uniformly from the simplexes of a member, in turn from one after the other: (count,)."""
        check_count("drawn count", count)
        weights = _dirichlet([seed], self.corners, -(-count // self.corners), len(self.vertices), 0, "simplex networks")
        rows = torch.stack([one.theta[member] for one in self.vertices])
        chosen = weights[0, 0].transpose(0, 1).flatten(0, 1)[:count]
        return self.vertices[-1][member].with_theta(chosen.to(rows) @ rows)

    def figure(self) -> Figure:
        """Loss at the points against the weight of the given corner, by simplex, for the first sample."""
        marks = []
        for number in range(self.corners):
            weight = self.weights[number, :, number].numpy()
            losses = self["loss"][0, :, number]
            label = f"simplex {number}" if self.corners > 1 else ""
            marks.append(Scatter(np.tile(weight, len(losses)), losses.flatten(), label=label, size=3.0))
        unit, caption = self.reading.units["loss"], " ".join(self.reading.notes)
        return Figure.of(
            "loss on the simplexes", marks, Axis("weight of the given corner"), Axis("loss", unit), caption=caption
        )


@guarded
def simplex(
    problem: Problem,
    corners: Sequence[Population],
    recipe: Recipe | None = None,
    *,
    trained: int = 1,
    volume: float = 1e-3,
    draws: int = 2,
    on: Sample | str | ExampleSet | Sequence[Sample | str | ExampleSet] | None = None,
    points: int = 64,
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int | Sequence[int] = 0,
    progress: Watcher | None = automatic,
) -> Simplex:
    """Train vertices that span simplexes of low loss, and of large volume, with given networks.

        simplex i = all sums a_0 corner_i + a_1 v_1 + ... + a_n v_n,  a >= 0, sum of a = 1
        min over v of  mean over i and a ~ Dirichlet(1) of L - volume log(sum over i of Vol_i)

    With one corner that is a simplex around a network; with several, the trained vertices join them all.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=5, batch_size=50)
    >>> corners = [problem.initialize([0]), problem.initialize([1])]
    >>> found = tw.connectivity.simplex(problem, corners, recipe, trained=2, points=4)
    >>> found["loss"].shape, found["log volume"].shape, len(found.drawn(6))
    ((2, 1, 2, 4), (1, 2), 6)

    Args:
        problem: whose loss on training examples is low on the simplexes.
        corners: given networks, a list of populations of as many members; only read, and never moved.
        recipe: how the vertices are trained; None: as in `bezier`.
        trained: vertices besides the corner of each simplex, which all simplexes share; they begin around the mean of
            the corners, a tenth of its norm away.
        volume: the weight of the logarithm of the volume: twice as long edges may cost volume trained log 2 of loss.
        draws: points a step and simplex, all on the same batch.
        points: drawn uniformly from each simplex and evaluated when they are trained, the same of all members.
        on, statistics, statistics_count, plan, seed, progress: see `bezier`.

    Raises:
        UsageError: arguments that cannot be meant.
        KeyboardInterrupt: Ctrl-C, after the step under way.

    Cost: `draws` gradients a step, simplex and member, then an evaluation a point.

    Source: Benton et al., 2021, arXiv:2102.13042.
    """
    began = time.perf_counter()
    check_ends("simplex", problem, corners, statistics=statistics)
    check_watcher("simplex", progress)
    for name, count in {"trained": trained, "draws": draws, "points": points}.items():
        check_count(f"simplex {name}", count)
    check_type("simplex volume", volume, (int, float), "a weight of at least 0")
    if not 0 <= volume < math.inf:
        msg = f"simplex volume is the weight of a logarithm, finite and at least 0; got {volume}."
        raise UsageError(msg)
    recipe = default_recipe(problem) if recipe is None else recipe
    check_recipe("simplex", recipe)
    fixed, members = len(corners), len(corners[0])
    seeds = seeds_of("simplex", seed, members)
    samples = samples_of(
        "simplex", problem, on, statistics=statistics, statistics_count=statistics_count, plan=plan, seed=seeds[0]
    )
    vertices = [*corners, *_first_vertices(corners, trained, seeds)]
    before = _volumes(vertices, fixed)
    with watched(progress) as told:
        found = descend(
            problem,
            vertices,
            slice(fixed, fixed + trained),
            _Draws(seeds, fixed, draws, fixed + trained),
            recipe,
            seeds=seeds,
            change=VolumeGradient(volume, fixed) if volume else None,
            label="simplex",
            plan=plan,
            progress=told,
        )
        weights = _dirichlet(seeds[:1], fixed, points, fixed + trained, 0, "simplex points")[0, 0]
        arrays, errors, dims, evaluations = _evaluated(samples, found.control, weights, told)
    arrays |= {"log volume": _volumes(found.control, fixed), "log volume at first": before}
    gradients = fixed * draws * int(found.losses.isfinite().sum())
    units = {"loss": problem.loss.unit} | {one.name: one.unit for one in problem.metrics}
    diverged = ", ".join(map(str, (found.diverged_at >= 0).nonzero().flatten().tolist()))
    reading = Reading(
        "simplexes",
        arrays,
        dims | {"log volume": ("member", "simplex"), "log volume at first": ("member", "simplex")},
        {"on": labelled(samples), "member": np.arange(members)},
        units | {f"vertex {name}": unit for name, unit in units.items()},
        errors,
        degrees_of_freedom={name: degrees(samples, each) for name, each in errors.items()},
        sample_size=len(samples[0].drawn),
        cost=Cost(time.perf_counter() - began, forwards=evaluations + gradients, backwards=gradients),
        provenance=Provenance.here(seeds, str(problem.device), str(problem.dtype), plan=str(found.plan)),
        notes=(
            *(one.text for one in samples),
            f"{fixed} given and {trained} trained vertices, {recipe.steps:,} steps, weight of the volume {volume:g}.",
            *((f"Diverged, and frozen there: member {diverged}.",) if diverged else ()),
        ),
    )
    return Simplex(reading, found.control, fixed, weights, found.diverged_at)


def _first_vertices(corners: Sequence[Population], trained: int, seeds: Sequence[int]) -> list[Population]:
    """Around the mean of the corners, each in a random direction of its own."""
    rows = torch.stack([one.theta for one in corners])
    mean = rows.mean(0)
    size = mean.norm(dim=1, keepdim=True)
    for otherwise in (
        rows.norm(dim=2, keepdim=True).mean(0),
        torch.ones_like(size),
    ):  # of corners that cancel, or are 0
        size = torch.where(size > 0, size, otherwise)
    given = [one.mask for one in corners if one.mask is not None]
    mask = torch.stack(given).any(0) if len(given) == len(corners) else None
    found = []
    for number in range(trained):
        streams = [generator(seed, "simplex vertex", number) for seed in seeds]
        normal = [torch.randn(mean.shape[1], generator=stream, dtype=torch.float32) for stream in streams]
        drawn = torch.stack(normal).to(mean)
        drawn = drawn if mask is None else drawn * mask
        away = _APART * size * drawn / drawn.norm(dim=1, keepdim=True)
        found.append(replace(corners[0], theta=mean + away, mask=mask))
    return found


class _Draws:
    """The weights of the vertices at the points of a step: (paths, simplexes draws, vertices)."""

    def __init__(self, seeds: Sequence[int], simplexes: int, draws: int, vertices: int) -> None:
        self._given = list(seeds), simplexes, draws, vertices
        self._block, self._weights = -1, torch.empty(0)

    def __call__(self, step: int) -> Float[Tensor, "paths points vertices"]:
        block, within = divmod(step, _BLOCK)
        if block != self._block:
            self._block = block
            self._weights = _dirichlet(*self._given, block, "simplex draws").flatten(2, 3)
        return self._weights[within]


def _dirichlet(
    seeds: Sequence[int], simplexes: int, draws: int, vertices: int, block: int, purpose: str
) -> Float[Tensor, "steps paths simplexes draws vertices"]:
    """Uniform weights of the vertices of each simplex, normalized exponentials; 0 of the corners of others."""
    shape = (_BLOCK if purpose == "simplex draws" else 1, simplexes, draws, 1 + vertices - simplexes)
    drawn = {
        seed: -torch.rand(shape, generator=generator(seed, purpose, block), dtype=torch.float64).clamp_min(1e-300).log()
        for seed in set(seeds)
    }
    shares = torch.stack([drawn[seed] / drawn[seed].sum(-1, keepdim=True) for seed in seeds], dim=1)
    own = torch.eye(simplexes, dtype=torch.float64)[:, None] * shares[..., :1]
    return torch.cat([own, shares[..., 1:]], dim=-1)


def _volumes(vertices: Sequence[Population], fixed: int) -> Array:
    """log Vol: (members, simplexes)."""
    rows = torch.stack([one.theta for one in vertices], dim=1)
    each = [log_volume(torch.cat([rows[:, i : i + 1], rows[:, fixed:]], dim=1)) for i in range(fixed)]
    return torch.stack(each, dim=1).cpu().numpy()


def _evaluated(
    samples: Sequence[Conditions], vertices: list[Population], weights: Tensor, told: Watcher
) -> tuple[dict[str, Array], dict[str, Array], dict[str, tuple[str, ...]], int]:
    """Arrays, standard errors and dims at the points and at the vertices, and how many points that took."""
    simplexes, points, count = weights.shape
    table = torch.cat([torch.eye(count, dtype=torch.float64), weights.flatten(0, 1)])
    rows, evaluations = min(AT_ONCE, len(table)), 0
    times = -(-len(table) // rows) * len(vertices[0])
    means: dict[str, list[Array]] = {}
    spreads: dict[str, list[Array]] = {}
    for one in samples:
        found = everywhere(Points(vertices, one, rows=rows, times=times), table, "simplex, evaluation", told)
        evaluations += found.evaluations
        for source, target in ((found.means, means), (found.standard_errors, spreads)):
            for metric, values in source.items():
                target.setdefault(metric, []).append(values[:, count:].reshape(-1, simplexes, points))
                target.setdefault(f"vertex {metric}", []).append(values[:, :count])
    arrays, errors = ({name: np.stack(each) for name, each in source.items()} for source in (means, spreads))
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("on", "member", "simplex", "point"))
    dims |= {name: ("on", "member", "vertex") for name in arrays if name.startswith("vertex ")}
    exact = all(one.drawn.is_whole for one in samples)
    return arrays, {} if exact else errors, dims, evaluations
