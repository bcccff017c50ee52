"""The plane through three networks, and what lies in it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.connectivity.ends import check_ends
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import Conditions, Points, Sample
from thalweg.evaluation.points import AT_ONCE, advancing
from thalweg.figures import Axis, Contour, Figure, HeatMap, Line, Scatter
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result

Array = NDArray[np.float64]
_FLAT = 1e-5  # of the distance of the first two: a third that is closer to their line spans no plane
_FAR = 10  # times its smallest: a loss that varies by more is drawn on a logarithmic scale


@dataclass(frozen=True, eq=False)
class Plane(Result):
    """What `plane` found.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = tw.connectivity.plane(problem, *problem.initialize(3), resolution=3)
    >>> found["loss"].shape, found["corners"][0, :2].tolist()
    ((1, 3, 3), [[0.0, 0.0], [1.0, 0.0]])

    Args:
        reading: "loss" and, where the problem has an accuracy, "error" (member, column, row); "x" (member, column) and
            "y" (member, row), the coordinates of the grid; "corners" (member, corner, axis), those of the three
            networks; and "distance" (member) between the first two, which is the unit of all coordinates.
        networks: the three, with as many members.
    """

    networks: tuple[Population, Population, Population] = field(repr=False)

    def place(self, path: Population | ArrayLike, member: int = 0) -> Array:
        """Coordinates of networks, and how far they are from the plane: (points, 3), in units of the distance.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> a, b, c = problem.initialize(3)
        >>> found = tw.connectivity.plane(problem, a, b, c, resolution=2)
        >>> found.place([[0.5, 0.5, 0.0]]).tolist(), bool((abs(found.place(b) - [1, 0, 0]) < 1e-3).all())
        ([[0.5, 0.0, 0.0]], True)

        Args:
            path: networks, which are projected, such as the points of a curve; or weights of the three (points, 3) that
                sum to 1, such as Bernstein's polynomials.
            member: in whose plane.

        Raises:
            UsageError: networks of another architecture, weights that cannot be meant, or no such member.
        """
        corners = self["corners"][self._checked(member)]
        if not isinstance(path, Population):
            weights = np.asarray(path, dtype=np.float64)
            if weights.ndim != 2 or weights.shape[1] != 3 or not np.allclose(weights.sum(1), 1):
                msg = "A path is a Population, or weights (points, 3) of the three networks that sum to 1; "
                raise UsageError(msg + f"got shape {weights.shape}.")
            return np.concatenate([weights @ corners, np.zeros((len(weights), 1))], axis=1)
        if path.layout.parameters != self.networks[0].layout.parameters:
            msg = f"The path has {path.layout.parameters:,} parameters, and the plane's networks "
            raise UsageError(msg + f"{self.networks[0].layout.parameters:,}; give networks of one architecture.")
        origin, second, third = (one.theta[member].double() for one in self.networks)
        along = second - origin
        unit = torch.linalg.vector_norm(along)
        across = (third - origin) - corners[2, 0] * along
        axes = torch.stack([along / unit, across / torch.linalg.vector_norm(across)])
        off = path.theta.double() - origin
        flat = off @ axes.T
        away = torch.linalg.vector_norm(off - flat @ axes, dim=1, keepdim=True)
        return (torch.cat([flat, away], 1) / unit).cpu().numpy()

    def figure(
        self,
        metric: str = "loss",
        member: int = 0,
        *,
        paths: Mapping[str, Population | ArrayLike] | None = None,
        names: Sequence[str] = ("first", "second", "third"),
    ) -> Figure:
        """A map with contours, the three networks, and paths in the plane or projected onto it.

        >>> import numpy as np
        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
        >>> found = tw.connectivity.plane(problem, *problem.initialize(3), resolution=3)  # two ends and a bend
        >>> t = np.linspace(0, 1, 21)
        >>> curve = np.stack([(1 - t) ** 2, t**2, 2 * t * (1 - t)], axis=1)
        >>> len(found.figure(paths={"curve": curve}).panels[0].marks)
        6

        Args:
            metric: "loss" or "error".
            member: whose plane.
            paths: by label, what `place` takes: weights of the three networks, or networks.
            names: of the three networks.

        Raises:
            UsageError: no such metric or member, not three names, or a path that cannot be meant.
        """
        check_choice("metric", metric, [name for name in ("loss", "error") if name in self.reading.arrays])
        values, corners = self[metric][self._checked(member)], self["corners"][member]
        if len(names) != 3:
            msg = f"A plane goes through three networks, and names must be as many; got {list(names)}."
            raise UsageError(msg)
        x, y = self["x"][member], self["y"][member]
        marks: list[HeatMap | Contour | Line | Scatter] = [HeatMap(x, y, values.T), Contour(x, y, values.T)]
        off: list[str] = []
        for label, path in (paths or {}).items():
            placed = self.place(path, member)
            marks.append(Line(placed[:, 0], placed[:, 1], label=label))
            if placed[:, 2].max() > _FLAT:
                off.append(f"{label}: up to {placed[:, 2].max():.2g} from the plane, onto which it is projected.")
        marks += [Scatter(*at[:, None], label=name, size=9) for name, at in zip(names, corners, strict=True)]
        least, most = np.nanmin(values), np.nanmax(values)
        scale = "log" if metric == "loss" and least > 0 and most > _FAR * least else "linear"
        unit = f"distance from {names[0]} to {names[1]}"
        caption = " ".join([f"Distance: {self['distance'][member]:.3g}.", *off, *self.reading.notes])
        z = Axis(metric, self.reading.units.get(metric, ""), scale)
        title = f"{metric} in the plane of three networks"
        return Figure.of(title, marks, Axis("along", unit), Axis("across", unit), z, caption=caption)

    def _checked(self, member: int) -> int:
        count = len(self["corners"])
        if not 0 <= member < count:
            msg = f"There is no member {member}; the plane has {count} (0 to {count - 1})."
            raise UsageError(msg)
        return member


@guarded
def plane(
    problem: Problem,
    first: Population,
    second: Population,
    third: Population,
    *,
    resolution: int = 25,
    margin: float = 0.25,
    on: Sample | str | ExampleSet = "train",
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Plane:
    """Loss and error in the plane through three networks, member by member.

        theta(x, y) = theta_1 + x u + y v,    u = theta_2 - theta_1,
        v = the part of theta_3 - theta_1 at right angles to u, scaled to the length of u (Gram-Schmidt)

    Coordinates are distances in units of that from the first to the second: the first is at (0, 0), the second at
    (1, 0), the third above them. Every point is a weighted sum of the three, by weights that sum to 1.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> a, b, c = problem.initialize(3)
    >>> found = tw.connectivity.plane(problem, a, b, c, resolution=4, margin=0.5)
    >>> found["error"].shape, found["x"].round(3).tolist()
    ((1, 4, 4), [[-0.5, 0.167, 0.833, 1.5]])

    Args:
        problem: what is evaluated.
        first, second, third: with as many members each; they are only read. For a curve: its ends and its bend.
        resolution: points along each axis.
        margin: around the three networks, as a share of how far they reach along each axis.
        on: the examples; on some of a set, values are estimates with standard errors (see `evaluation.Points`).
        statistics: of normalization layers: "recompute" those of `statistics_count` training examples at every point,
            or "interpolate" those of the three by the same weights.
        plan: see `train`.
        seed: of the examples for "recompute".
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant, networks without weighted sums (see `barrier`), or three on a line.
        ModelError: a model or loss that draws random numbers in evaluation mode.

    Cost: resolution^2 evaluations of every member, and with "recompute" as many passes over those examples.

    Paper: Garipov et al., 2018, arXiv:1802.10026, figure 1.
    """
    began = time.perf_counter()
    check_count("plane resolution", resolution, 2)
    check_type("plane margin", margin, (int, float), "a share such as 0.25")
    if not 0 <= margin < np.inf:
        msg = f"plane margin must be a share of at least 0, such as 0.25; got {margin}."
        raise UsageError(msg)
    check_choice("plane statistics", statistics, ("recompute", "interpolate"))
    networks = (first, second, third)
    check_ends("plane", problem, networks, statistics=statistics)
    conditions = Conditions.of(
        "plane", problem, on=on, statistics=statistics, statistics_count=statistics_count, plan=plan, seed=seed
    )
    distance, corners = _corners(networks)
    axes = np.stack([_axis(corners[..., axis], resolution, margin) for axis in (0, 1)], axis=2)
    size = resolution**2
    points = Points(networks, conditions, rows=min(AT_ONCE, size), times=-(-size // min(AT_ONCE, size)))
    found = []
    with watched(progress) as told:
        advance = advancing("plane through three networks", len(first) * size, told)
        for member, (along, across) in enumerate(axes.transpose(0, 2, 1)):
            grid = np.stack([one.ravel() for one in np.meshgrid(along, across, indexing="ij")], 1)
            found.append(points.at(member, _weights(grid, corners[member, 2]), advance))
    names = [name for name in points.exact if name in ("loss", "accuracy")]
    shape = len(first), resolution, resolution
    means, errors = (
        {name: np.stack([one[part][name] for one in found]).reshape(shape) for name in names} for part in (0, 1)
    )
    if "accuracy" in means:
        means["error"], errors["error"] = 1 - means.pop("accuracy"), errors.pop("accuracy")
    arrays = {"x": axes[..., 0], "y": axes[..., 1], "corners": corners, "distance": distance}
    dims = {"x": ("member", "column"), "y": ("member", "row"), "corners": ("member", "corner", "axis")}
    reading = Reading(
        "plane through three networks",
        means | arrays,
        dict.fromkeys(means, ("member", "column", "row")) | dims | {"distance": ("member",)},
        {"member": np.arange(len(first)), "corner": ["first", "second", "third"], "axis": ["x", "y"]},
        {name: problem.loss.unit if name == "loss" else "fraction" for name in means},
        errors,
        sample_size=len(conditions.drawn),
        cost=Cost(time.perf_counter() - began, forwards=points.evaluations),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype), plan=str(points.plan)),
        notes=(conditions.text, *points.warnings),
    )
    return Plane(reading, networks)


def _corners(networks: Sequence[Population]) -> tuple[Array, Array]:
    """The distance from the first to the second (members,), and coordinates in units of it: (members, corner, axis).

    Raises:
        UsageError: of some member the three lie on a line, or are not finite.
    """
    origin, second, third = (one.theta.double() for one in networks)
    along, aside = second - origin, third - origin
    square = along.square().sum(1)
    x = (along * aside).sum(1) / square
    across = aside - x[:, None] * along
    y = torch.linalg.vector_norm(across, dim=1) / square.sqrt()
    flat = ~(y > _FLAT)  # also where there is no number
    if flat.any():
        member = int(flat.nonzero()[0])
        msg = f"The three networks of member {member} span no plane: two of them are the same, all lie on one line, or "
        msg += "one is not finite. Give three that do, such as two ends and the bend of a curve between them."
        raise UsageError(msg)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    corners = torch.stack([torch.stack(pair, 1) for pair in ((zero, zero), (one, zero), (x, y))], 1)
    return square.sqrt().cpu().numpy(), corners.cpu().numpy()


def _axis(places: Array, resolution: int, margin: float) -> Array:
    """Points at equal distances over what the corners (members, 3) take up, and a margin: (members, resolution)."""
    low, high = places.min(1), places.max(1)
    around = margin * (high - low)
    return np.linspace(low - around, high + around, resolution, axis=1)


def _weights(grid: Array, third: Array) -> Tensor:
    """Of the three networks at points (x, y): (points, 3); the third is at (x_3, y_3), the others at (0, 0), (1, 0)."""
    last = grid[:, 1] / third[1]
    middle = grid[:, 0] - third[0] * last
    return torch.from_numpy(np.stack([1 - middle - last, middle, last], axis=1))
