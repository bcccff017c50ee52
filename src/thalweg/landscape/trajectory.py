"""The plane in which a training run moved most, and what is lost by looking at it there."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import evaluate
from thalweg.evaluation.running_statistics import Recomputed, tracked
from thalweg.figures import Axis, Contour, Figure, HeatMap, Line, TrajectoryLine
from thalweg.landscape.surface import Surface, surface_on
from thalweg.population import Plan, Problem
from thalweg.progress import Watcher, ignore
from thalweg.results import Cost, Provenance, Reading
from thalweg.training import Run

ANCHORS = ("mean", "start", "end")
_MARGIN = 0.15  # of the path's extent, beyond it on every side


@dataclass(frozen=True, eq=False)
class TrajectoryPlane:
    """A run of one member or several on the plane of their first two principal components.

    Args:
        surface: the loss there; coordinates are distances from the anchor in the space of parameters.
        steps: of the snapshots: (snapshots,).
        paths: where each member was: (members, snapshots, 2).
        shares: of the squared distance from the anchor that lies along each component: (components,).
        null: the same of a random walk in many dimensions seen at the same steps: (components,); None for several
            members.
        gap: "loss" of theta_t, "projected loss" of theta_t projected on the plane, and their difference "gap":
            (member, step).
    """

    surface: Surface
    steps: NDArray[np.int64]
    paths: NDArray[np.float64]
    shares: NDArray[np.float64]
    null: NDArray[np.float64] | None
    gap: Reading = field(repr=False)

    def figure(self, metric: str = "loss") -> Figure:
        """The map with the paths on it, the shares in its axes' labels."""
        x, y = self.surface.coordinates
        values = self.surface[metric][0]
        marks = [HeatMap(x, y, values.T), Contour(x, y, values.T)]
        members = len(self.paths)
        marks += [
            TrajectoryLine(path[:, 0], path[:, 1], label="" if members == 1 else f"member {member}")
            for member, path in enumerate(self.paths)
        ]
        axes = [Axis(f"component {number + 1} ({self.shares[number]:.0%}{self._null(number)})") for number in range(2)]
        unit = self.surface.reading.units.get(metric, "")
        worst = float(np.abs(self.gap["gap"]).max())
        of_gap = self.gap.units["gap"]
        caption = (
            f"Shares are of the squared distance from the anchor. The loss of the run itself differs from that of its "
            f"projection, which is what the map shows, by up to {worst:.3g} {of_gap}. "
            f"{' '.join(self.surface.reading.notes)}"
        )
        return Figure.of(
            f"{metric} where the run went", tuple(marks), axes[0], axes[1], Axis(metric, unit), caption=caption
        )

    def gap_figure(self) -> Figure:
        """The loss along the run beside that of its projection on the plane."""
        lines = []
        for member in range(len(self.paths)):
            of = "" if len(self.paths) == 1 else f", member {member}"
            lines += [
                Line(self.steps, self.gap[name][member], label=f"{words}{of}")
                for name, words in (("loss", "the run"), ("projected loss", "its projection"))
            ]
        loss = Axis("loss", self.surface.reading.units["loss"])
        return Figure.of("What the plane does not show", tuple(lines), Axis("step"), loss)

    def _null(self, number: int) -> str:
        return "" if self.null is None else f"; random walk {self.null[number]:.0%}"


def trajectory_plane(
    problem: Problem,
    run: Run,
    *,
    members: int | Sequence[int] = 0,
    anchor: str = "mean",
    resolution: int = 31,
    tolerance: float | None = None,
    limit: int | None = None,
    statistics: str = "recompute",
    statistics_limit: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher = ignore,
) -> TrajectoryPlane:
    """The loss on the plane of the first two principal components of a run's snapshots (Li et al., 2018, section 7).

    Two components of any path explain much: of a random walk in many dimensions they are 60.8 % and 15.2 % of the
    squared distance from its mean, 81.1 % and 9.0 % of that from an end (Antognini & Sohl-Dickstein, 2018,
    arXiv:1806.08805). So the shares stand beside those of a random walk that is seen at the same steps; and since the
    plane is not where the run was, the loss of the run stands beside that of its projection.

    Args:
        problem, run: what was trained, and how it went; the recipe must keep at least three snapshots.
        members: which, by number; several share one plane.
        anchor: through which point the plane goes, and from where distances count: the "mean" of all snapshots, the
            first ("start") or the last ("end"), the mean of them over members.
        resolution: points along each axis.
        statistics: of normalization layers, on the map and of the projections: "recompute", or "frozen" as they were at
            the end (of the first member chosen); the run itself has its own.
        tolerance, limit, statistics_limit, plan, seed, progress: see `plane`.

    Raises:
        UsageError: too few snapshots, no such member, or arguments that cannot be meant.

    Cost: resolution^2 evaluations and two for each snapshot and member. Memory: four matrices of all snapshots chosen.
    """
    check_type("trajectory_plane problem", problem, Problem, "a Problem")
    check_type("trajectory_plane run", run, Run, "a Run such as train returns")
    check_choice("trajectory_plane anchor", anchor, ANCHORS)
    check_count("trajectory_plane resolution", resolution, 2)
    check_type("trajectory_plane members", members, (int, np.integer, Sequence), "a number, or a list of them")
    chosen = [int(members)] if isinstance(members, int | np.integer) else [int(member) for member in members]
    if not chosen:
        msg = "trajectory_plane needs at least one member; got an empty list."
        raise UsageError(msg)
    snapshots = run.snapshots
    if len(snapshots) < 3:
        msg = f"trajectory_plane needs at least 3 snapshots, the run has {len(snapshots)}; write Recipe(snapshot=20)."
        raise UsageError(msg)
    for member in chosen:
        if not 0 <= member < len(run.final):
            msg = f"There is no member {member}; the run has {len(run.final)} (0 to {len(run.final) - 1})."
            raise UsageError(msg)
    steps = np.array(list(snapshots))
    points = torch.stack([population.theta[chosen] for population in snapshots.values()], dim=1)
    if not points.isfinite().all():
        msg = "The run has snapshots that are not finite; choose members that did not diverge."
        raise UsageError(msg)
    center = {"mean": points.mean(1), "start": points[:, 0], "end": points[:, -1]}[anchor].mean(0)
    axes, paths, shares = principal_components(points - center)
    extents = [_extent(paths[..., number]) for number in range(2)]
    grids = [np.linspace(*extent, resolution) for extent in extents]
    here = replace(run.final[chosen[0]], theta=center[None], mask=None)
    surface = surface_on(
        "trajectory plane",
        problem,
        here,
        list(axes),
        grids,
        tolerance=tolerance,
        limit=limit,
        statistics=statistics,
        statistics_limit=statistics_limit,
        plan=plan,
        seed=seed,
        progress=progress,
    )
    began = time.perf_counter()
    inside = center + (points - center) @ axes.mT @ axes
    projected = here.with_theta(inside.flatten(0, 1)).copy()
    if statistics == "recompute" and tracked(problem):
        Recomputed(problem, projected, statistics_limit, plan, seed).renew()
    seen = [population[chosen] for population in snapshots.values()]
    own = replace(
        seen[0],
        theta=torch.cat([one.theta for one in seen]),
        buffers={name: torch.cat([one.buffers[name] for one in seen]) for name in seen[0].buffers},
        mask=None,
    )
    losses = [evaluate(problem, there, problem.data.train, plan=plan)["loss"].numpy() for there in (own, projected)]
    own_loss, flat = losses[0].reshape(len(steps), -1).T, losses[1].reshape(len(chosen), -1)
    arrays = {"loss": own_loss, "projected loss": flat, "gap": own_loss - flat}
    gap = Reading(
        "loss of a run and of its projection on a plane",
        arrays,
        dict.fromkeys(arrays, ("member", "step")),
        {"member": np.array(chosen), "step": steps},
        dict.fromkeys(arrays, problem.loss.unit),
        sample_size=len(problem.data.train),
        cost=Cost(time.perf_counter() - began, forwards=2 * flat.size),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
    )
    null = None if len(chosen) > 1 else random_walk_shares(steps, anchor)
    return TrajectoryPlane(surface, steps, paths, shares, null, gap)


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


def random_walk_shares(steps: NDArray[np.int64], anchor: str = "mean") -> NDArray[np.float64]:
    """The shares of the principal components of a random walk in infinitely many dimensions, seen at these steps.

    Its Gram matrix about step 0 is min(s, t), which the anchor then moves.
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
