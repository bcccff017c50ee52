"""The plane in which a training run moved most, and what is lost by looking at it there."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import Conditions, RunningStatistics, Sample, evaluate
from thalweg.figures import Axis, Contour, Figure, HeatMap, Line, TrajectoryLine
from thalweg.guard import guarded
from thalweg.landscape.surface import Surface, surface_on
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.training import Run

ANCHORS = ("mean", "start", "end")
OWN, PROJECTED = "loss of the run", "loss of its projection"
_MARGIN = 0.15  # of the path's extent, beyond it on every side


@dataclass(frozen=True, eq=False)
class TrajectoryPlane(Result):
    """What `trajectory_plane` found: a run on the plane of its first two principal components.

    Args:
        reading: "path" (member, step, axis), where each member was; "share" (component), of the squared distance from
            the anchor; "random walk share" (component), the same of a random walk in many dimensions seen at the same
            steps, for a single member; and (member, step) each "loss of the run", "loss of its projection" on the
            plane, and their difference "gap".
        surface: the loss there; coordinates are distances from the anchor in the space of parameters.
    """

    surface: Surface = field(repr=False)

    def figure(self, metric: str = "loss") -> Figure:
        """The map with the paths on it, the shares in its axes' labels."""
        x, y = self.surface.coordinates
        values, paths = self.surface[metric][0], self["path"]
        marks = [HeatMap(x, y, values.T), Contour(x, y, values.T)]
        marks += [
            TrajectoryLine(path[:, 0], path[:, 1], label="" if len(paths) == 1 else f"member {member}")
            for member, path in zip(self.reading.coordinate("member"), paths, strict=True)
        ]
        axes = [Axis(f"component {number + 1} ({self['share'][number]:.0%}{self._null(number)})") for number in (0, 1)]
        unit = self.surface.reading.units.get(metric, "")
        worst = float(np.abs(self["gap"]).max())
        caption = (
            f"Shares are of the squared distance from the anchor. The loss of the run itself differs from that of its "
            f"projection, which is what the map shows, by up to {worst:.3g} {self.reading.units['gap']}. "
            f"{' '.join(self.surface.reading.notes)}"
        )
        return Figure.of(
            f"{metric} where the run went", tuple(marks), axes[0], axes[1], Axis(metric, unit), caption=caption
        )

    def gap_figure(self) -> Figure:
        """The loss along the run beside that of its projection on the plane."""
        lines, members, steps = [], self.reading.coordinate("member"), self.reading.coordinate("step")
        for place, member in enumerate(members):
            of = "" if len(members) == 1 else f", member {member}"
            lines += [
                Line(steps, self[name][place], label=f"{name.removeprefix('loss of ')}{of}")
                for name in (OWN, PROJECTED)
            ]
        loss = Axis("loss", self.reading.units["gap"])
        return Figure.of("What the plane does not show", tuple(lines), Axis("step"), loss)

    def _null(self, number: int) -> str:
        known = "random walk share" in self.reading.arrays
        return f"; random walk {self['random walk share'][number]:.0%}" if known else ""


@guarded
def trajectory_plane(
    problem: Problem,
    run: Run,
    *,
    members: int | Sequence[int] = 0,
    anchor: str = "mean",
    resolution: int = 31,
    tolerance: float | None = None,
    on: Sample | str | ExampleSet = "train",
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> TrajectoryPlane:
    """The loss on the plane of the first two principal components of a run's snapshots (Li et al., 2018, section 7).

    Two components of any path explain much: of a random walk in many dimensions they are 60.8 % and 15.2 % of the
    squared distance from its mean, 81.1 % and 9.0 % of that from an end (Antognini & Sohl-Dickstein, 2018,
    arXiv:1806.08805). So the shares stand beside those of a random walk that is seen at the same steps; and since the
    plane is not where the run was, the loss of the run stands beside that of its projection.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=8, batch_size=64, snapshot=4))
    >>> found = tw.landscape.trajectory_plane(problem, run, resolution=3)
    >>> found["path"].shape, found.surface["loss"].shape
    ((1, 5, 2), (1, 3, 3))

    Args:
        problem, run: what was trained, and how it went; the recipe must keep at least three snapshots.
        members: which, by number; several share one plane.
        anchor: through which point the plane goes, and from where distances count: the "mean" of all snapshots, the
            first ("start") or the last ("end"), the mean of them over members.
        resolution: points along each axis.
        on: the examples, also of the losses of the run and of its projection.
        statistics: of normalization layers, on the map and of the projections: "recompute", or "frozen" as they were at
            the end (of the first member chosen); the run itself has its own.
        tolerance, statistics_count, plan, seed, progress: see `plane`.

    Raises:
        UsageError: too few snapshots, no such member, or arguments that cannot be meant.

    Cost: resolution^2 evaluations and two for each snapshot and member. Memory: four matrices of all snapshots chosen.
    """
    check_type("trajectory_plane run", run, Run, "a Run such as train returns")
    check_choice("trajectory_plane anchor", anchor, ANCHORS)
    check_count("trajectory_plane resolution", resolution, 2)
    check_type("trajectory_plane members", members, (int, np.integer, Sequence), "a number, or a list of them")
    conditions = Conditions.of(
        "trajectory_plane",
        problem,
        on=on,
        statistics=statistics,
        statistics_count=statistics_count,
        plan=plan,
        seed=seed,
    )
    chosen, steps, points = _snapshots(run, members)
    center = {"mean": points.mean(1), "start": points[:, 0], "end": points[:, -1]}[anchor].mean(0)
    axes, paths, shares = principal_components(points - center)
    extents = [_extent(paths[..., number]) for number in range(2)]
    grids = [np.linspace(*extent, resolution) for extent in extents]
    here = replace(run.final[chosen[0]], theta=center[None], mask=None)
    surface = surface_on(
        "trajectory plane", here, list(axes), grids, conditions, seed=seed, tolerance=tolerance, progress=progress
    )
    began = time.perf_counter()
    inside = center + (points - center) @ axes.mT @ axes
    losses = _losses(conditions, run, chosen, steps, here.with_theta(inside.flatten(0, 1)).copy())
    arrays = {"path": paths, "share": shares} | losses | {"gap": losses[OWN] - losses[PROJECTED]}
    dims = dict.fromkeys(arrays, ("member", "step")) | {"path": ("member", "step", "axis"), "share": ("component",)}
    if len(chosen) == 1:
        arrays["random walk share"], dims["random walk share"] = random_walk_shares(steps, anchor), ("component",)
    reading = Reading(
        "a run on the plane of its first two principal components",
        arrays,
        dims,
        {"member": np.array(chosen), "step": steps},
        dict.fromkeys((*losses, "gap"), problem.loss.unit),
        sample_size=len(conditions.drawn),
        cost=Cost(time.perf_counter() - began, forwards=2 * arrays["gap"].size),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(conditions.text, f"Distances count from the anchor: {anchor}."),
    )
    return TrajectoryPlane(reading, surface)


def _snapshots(
    run: Run, members: int | Sequence[int]
) -> tuple[list[int], NDArray[np.int64], Float[Tensor, "members steps parameters"]]:
    """The members by number, the steps of the snapshots, and where the members were."""
    chosen = [int(members)] if isinstance(members, int | np.integer) else [int(member) for member in members]
    if not chosen:
        msg = "trajectory_plane needs at least one member; got an empty list."
        raise UsageError(msg)
    snapshots = run.snapshots
    for member in chosen:
        if not 0 <= member < len(run.final):
            msg = f"There is no member {member}; the run has {len(run.final)} (0 to {len(run.final) - 1})."
            raise UsageError(msg)
    begun = int(run.state.began[chosen].max())
    snapshots = {step: population for step, population in snapshots.items() if step >= begun}
    if len(snapshots) < 3:
        begins = f" from step {begun} on, where these members begin" if begun else ""
        msg = (
            f"trajectory_plane needs at least 3 snapshots{begins}, the run has {len(snapshots)}; write "
            "Recipe(snapshot=20)."
        )
        raise UsageError(msg)
    points = torch.stack([population.theta[chosen] for population in snapshots.values()], dim=1)
    if not points.isfinite().all():
        msg = "The run has snapshots that are not finite; choose members that did not diverge."
        raise UsageError(msg)
    return chosen, np.array(list(snapshots)), points


def _losses(
    conditions: Conditions, run: Run, chosen: list[int], steps: NDArray[np.int64], projected: Population
) -> dict[str, NDArray[np.float64]]:
    """Of the snapshots of a run, with its own statistics, and of their projections: (members, steps) each.

    Args:
        projected: (members x steps) rows, whose statistics may be changed.
    """
    problem, examples = conditions.problem, conditions.drawn.examples
    if conditions.recomputes:
        RunningStatistics(problem, projected, conditions.statistics_examples, plan=conditions.plan).recompute()
    seen = [population[chosen] for step, population in run.snapshots.items() if step in steps]
    own = replace(Population.concatenate(seen), mask=None)
    first, second = (evaluate(problem, there, examples, plan=conditions.plan)["loss"] for there in (own, projected))
    return {OWN: first.numpy().reshape(len(seen), -1).T, PROJECTED: second.numpy().reshape(len(chosen), -1)}


def principal_components(
    moves: Float[Tensor, "members snapshots parameters"],
) -> tuple[Float[Tensor, "2 parameters"], NDArray[np.float64], NDArray[np.float64]]:
    """Two orthonormal axes, the coordinates (members, snapshots, 2) along them, and all shares of the squared length.

    By the Gram matrix of the snapshots, (members x snapshots)^2, in float64: nothing of size parameters^2.
    """
    rows = moves.reshape(-1, moves.shape[-1])
    exact = rows.double()
    values, vectors = np.linalg.eigh((exact @ exact.mT).cpu().numpy())
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    rounding = len(rows) * (torch.finfo(rows.dtype).eps * float(rows.abs().max())) ** 2 * rows.shape[1]
    if values[1] <= max(1e-12 * values[0], rounding) or values[0] <= 0:
        msg = "The run moved along a line, or not at all, so two axes do not span a plane; use landscape.line."
        raise UsageError(msg)
    weights = torch.as_tensor(vectors[:, :2].T.copy()).to(rows)
    axes, _ = torch.linalg.qr((weights @ rows).mT)
    axes = axes.mT * torch.sign((axes.mT * (weights @ rows)).sum(1, keepdim=True))
    paths = (moves @ axes.mT).double().cpu().numpy()
    return axes, paths, values / values.sum()


@in_words
def random_walk_shares(steps: NDArray[np.int64], anchor: str = "mean") -> NDArray[np.float64]:
    """The shares of the principal components of a random walk in infinitely many dimensions, seen at these steps.

    Its Gram matrix about step 0 is min(s, t), which the anchor then moves (Antognini & Sohl-Dickstein, 2018,
    arXiv:1806.08805).

    >>> import numpy as np
    >>> import thalweg as tw
    >>> tw.landscape.random_walk_shares(np.arange(400))[:2].round(3).tolist()
    [0.608, 0.152]
    """
    times = np.asarray(steps, dtype=np.float64)
    gram = np.minimum(times[:, None], times[None])
    if anchor == "mean":
        centered = np.eye(len(times)) - 1 / len(times)
        gram = centered @ gram @ centered
    else:
        place = 0 if anchor == "start" else -1
        gram = gram - gram[place][None] - gram[:, place][:, None] + gram[place, place]
    values = np.clip(np.linalg.eigvalsh(gram)[::-1], 0, None)
    return values / values.sum()


def _extent(along: NDArray[np.float64]) -> tuple[float, float]:
    margin = _MARGIN * max(float(np.ptp(along)), 1e-12)
    return float(along.min()) - margin, float(along.max()) + margin
