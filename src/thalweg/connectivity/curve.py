"""What a curve between networks is, and how high the loss is on it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError, unknown_name
from thalweg.evaluation import Conditions
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.population import Population
from thalweg.results import Result
from thalweg.schedules import Constant, Linear, Schedule

Array = NDArray[np.float64]
Basis = Callable[[Tensor, int], Tensor]  # the weights (..., controls) of so many control points at t (...)


@in_words
def curve_schedule(steps: int) -> Schedule:
    """The schedule by which curves are trained: constant over half of the steps, then down to 1 % at 90 % of them.

    >>> import thalweg as tw
    >>> s = tw.connectivity.curve_schedule(100)
    >>> [round(float(s(step, 100)), 4) for step in (1, 50, 70, 90, 100)]
    [1.0, 1.0, 0.505, 0.01, 0.01]

    Args:
        steps: of the recipe that it is for.

    Source: Garipov et al., 2018, arXiv:1802.10026 (the authors' code).
    """
    return Constant().then(Linear(final=0.01, over=0.4 * steps), at=0.5 * steps)


@dataclass(frozen=True, eq=False)
class Curve(Result):
    """A trained curve between two networks, for every member: what `bezier` and `polygonal` return.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=2, batch_size=50)
    >>> first = problem.initialize([0])
    >>> curve = tw.connectivity.bezier(problem, first, problem.initialize([1]), recipe, points=5)
    >>> bool((curve.at(0.0).theta == first.theta).all()), curve.height("loss").shape
    (True, (1,))

    Args:
        reading: by sample, member and t: "loss", "error" (1 - accuracy, where there is one) and further metrics on the
            curve, (on, member, t), and on the straight line as "line loss" and so on; of loss and error "loss height"
            and "line loss height", by how much the highest point is above the higher end: (on, member).
        control: the control points, first and last the ends, as populations of all members.
        basis: the weights of so many control points at t.
        batch_loss: mean loss at the values of t of every step: (steps, members); NaN once diverged.
        diverged_at: the step, from 1, at which a member's loss or gradient was not finite: (members,); -1: none.
        conditions: on which examples it was evaluated, and by which running statistics, for each sample.
        steps: for which the bends were trained, those of `start` too.
    """

    control: list[Population] = field(repr=False)
    basis: Basis = field(repr=False)
    batch_loss: Tensor = field(repr=False)
    diverged_at: Int64[Tensor, " members"] = field(repr=False)
    conditions: list[Conditions] = field(repr=False)
    steps: int

    def weights(self, t: ArrayLike) -> Array:
        """The weights of the control points at values of t from 0 to 1: (points, controls)."""
        return self.basis(torch.as_tensor(np.atleast_1d(t), dtype=torch.float64), len(self.control)).numpy()

    def at(self, t: float) -> Population:
        """The networks at t, one of each member; at 0 and 1 the ends themselves.

        Their running statistics are those of the first end: `evaluation.recomputed` makes them anew.

        Raises:
            UsageError: t is not from 0 to 1.
        """
        if not 0 <= t <= 1:
            msg = f"A curve goes from t = 0 to t = 1; got {t}."
            raise UsageError(msg)
        if t in (0, 1):
            return self.control[-1 if t else 0]
        weights = self.weights(t)[0].tolist()
        theta = sum(weight * one.theta for weight, one in zip(weights, self.control, strict=True))
        assert isinstance(theta, Tensor)
        mask = self.control[1].mask if len(self.control) > 2 else None
        return replace(self.control[0], theta=theta, mask=mask).with_own_buffers()

    def height(self, name: str = "loss", on: str | None = None) -> Array:
        """By how much the highest point of the curve is above the higher end: (members,), at least 0.

        Args:
            name: "loss" or "error".
            on: which sample, such as "test"; None is the first.

        Raises:
            UsageError: no such sample.
        """
        return self[f"{name} height"][self._place(on)]

    def share_of_line(self, name: str = "loss", on: str | None = None) -> Array:
        """The height of the curve as a share of that of the straight line: (members,); NaN where the line has none.

        Raises:
            UsageError: no such sample.
        """
        line = self[f"line {name} height"][self._place(on)]
        return np.divide(self.height(name, on), line, out=np.full_like(line, np.nan), where=line > 0)

    def _place(self, on: str | None) -> int:
        known = self.reading.coordinate("on").tolist()
        if on is not None and on not in known:
            kind = "sample"
            raise unknown_name(kind, on, known)
        return 0 if on is None else known.index(on)

    def figure(self) -> Figure:
        """Loss and error against t on curve and straight line; and the control points of the first member in a plane.

        Thin: the curve of each member on the first sample; thick: means over members.
        """
        panels = [self._along(name) for name in ("loss", "error") if name in self.reading.arrays]
        return Figure.row([*panels, self.plane()], title=self.reading.name, caption=" ".join(self.reading.notes))

    def _along(self, name: str) -> Figure:
        """One metric against t."""
        t, samples = self.reading.coordinate("t"), self.reading.coordinate("on").tolist()
        marks = [Line(t, values, thin=True) for values in self[name][0]]
        for place, on in enumerate(samples):
            for array, label in ((f"line {name}", "straight line"), (name, "curve")):
                finite = np.isfinite(self[array][place]).all(1)
                if finite.any():
                    where = f", {on}" if len(samples) > 1 else ""
                    marks.append(Line(t, self[array][place][finite].mean(0), label=label + where))
        return Figure.of(f"{name} on the path", marks, Axis("t"), Axis(name, self.reading.units.get(name, "")))

    def plane(self, member: int = 0) -> Figure:
        """Control points, curve and line of a member in the plane of the ends and the bend farthest from their line.

        Distances are those of parameters; further bends are projected into the plane.
        """
        points = torch.stack([one.theta[member] for one in self.control]).double().cpu()
        chord = points[-1] - points[0]
        length = float(chord.norm())
        across = points[0] * 0
        if length > 0:
            along = (points - points[0]) @ chord / length**2
            rest = points - points[0] - along[:, None] * chord
            farthest = rest[rest.norm(dim=1).argmax()]
            across = farthest / farthest.norm() if farthest.norm() > 0 else across
        xy = torch.stack(
            [(points - points[0]) @ (chord / max(length, 1e-300)), (points - points[0]) @ across], 1
        ).numpy()
        path = self.weights(np.linspace(0, 1, 201)) @ xy
        marks = (
            Line(xy[[0, -1], 0], xy[[0, -1], 1], label="straight line"),
            Line(path[:, 0], path[:, 1], label="curve"),
            Scatter(xy[1:-1, 0], xy[1:-1, 1], label="bends"),
            Scatter(xy[[0, -1], 0], xy[[0, -1], 1], label="ends"),
        )
        return Figure.of(f"control points of member {member}", marks, Axis("along the line"), Axis("across"))
