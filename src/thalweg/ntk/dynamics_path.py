"""What a kernel says that training does: outputs along the way."""

import math
import time as clock
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, Line
from thalweg.ntk.dynamics_coefficients import Coefficients
from thalweg.ntk.dynamics_problem import KernelProblem
from thalweg.ntk.dynamics_spectrum import Spectrum
from thalweg.results import Cost, Provenance, Reading, Result


@dataclass(frozen=True, eq=False)
class Path(Result):
    """Outputs that a constant kernel predicts, at the steps or times that were asked.

    >>> import torch
    >>> import thalweg as tw
    >>> path = tw.ntk.gradient_descent(torch.eye(2), None, torch.tensor([1.0, -1.0]), lr=0.5, steps=[0, 1, 2])
    >>> path["train"][0, :, :, 0].tolist(), path["loss"].tolist(), path.convention
    ([[0.0, 0.0], [0.5, -0.5], [0.75, -0.75]], [[1.0, 0.25, 0.0625]], '1/2 sum (f - y)^2')

    Args:
        reading: "loss", (member, step) by the convention; "train" and, where there are test examples, "test": outputs,
            (member, step, example, output). "time" takes the place of "step" where it runs on; of `flow` also
            "integration steps" and "gradients", (member,).
        convention: the formula of the loss.
        limit: the largest stable learning rate of every member; infinite for gradient flow: (members,).
        eigenvalues: of the kernel, ascending, where there is a closed form: (members or 1, rows).
    """

    convention: str
    limit: NDArray[np.float64]
    eigenvalues: NDArray[np.float64] | None = None

    def figure(self) -> Figure:
        """The loss along the way, a line for every member."""
        along, losses = self.reading.dims["loss"][1], self["loss"]
        x = self.reading.coordinate(along)
        drawn = np.isfinite(x)
        shown = np.where(np.isfinite(losses) & (losses > 0), losses, np.nan)[:, drawn]
        lines = [
            Line(x[drawn], one, label=f"member {number}" if len(losses) > 1 else "") for number, one in enumerate(shown)
        ]
        scale = "log" if np.isfinite(shown).any() else "linear"
        caption = " ".join(self.reading.notes)
        return Figure.of(self.reading.name, lines, Axis(along), Axis("loss", scale=scale), caption=caption)


@dataclass(frozen=True, eq=False)
class Decay:
    """Outputs of the linearized network where all its parameters are 0, to which decay pulls.

    Args:
        train, test: what that is away from the start, J theta_0 = f_0 - f(0): (members or 1, rows, columns).
    """

    train: Tensor
    test: Tensor | None


def decay_of(problem: KernelProblem, origin: Any, origin_test: Any, weight_decay: object) -> Decay | None:
    """Where decay pulls to, if not to the start.

    Raises:
        UsageError: that of training or test examples alone, or no decay.
    """
    if origin is None and origin_test is None:
        return None
    if origin is None or (origin_test is None) != (problem.cross is None) or not weight_decay:
        msg = "origin is where weight_decay above 0 pulls outputs to: give origin, and origin_test if there is cross."
        raise UsageError(msg)
    train = problem.start - problem.laid_out(origin, "origin", problem.kernel.shape[1])
    if problem.cross is None or problem.start_test is None:
        return Decay(train, None)
    test = problem.start_test - problem.laid_out(origin_test, "origin_test", problem.cross.shape[1])
    return Decay(train, test)


def closed_path(
    name: str,
    problem: KernelProblem,
    spectrum: Spectrum,
    found: Iterable[Coefficients],
    at: tuple[str, Sequence[float]],
    loss: str,
    formula: str,
    *,
    decay: Decay | None,
    limit: NDArray[np.float64],
    notes: tuple[str, ...],
    began: float,
) -> Path:
    """The path that coefficients along eigenvectors make."""
    first = spectrum.vectors.mT @ (problem.targets - problem.start)
    away = None if decay is None else spectrum.vectors.mT @ decay.train
    moves = (spectrum.values > 0).to(torch.float64)
    trained, tested = [], []
    for one in found:
        amounts = (one.fit * moves).unsqueeze(-1) * first
        if away is not None and one.pull is not None and one.shrunk is not None and decay is not None:
            amounts = amounts - (one.pull * moves).unsqueeze(-1) * away
            shrunk = one.shrunk.unsqueeze(-1)
        else:
            shrunk = None
        train = problem.start + spectrum.vectors @ (spectrum.values.unsqueeze(-1) * amounts)
        trained.append(train if shrunk is None or decay is None else train + shrunk * decay.train)
        if problem.cross is not None and problem.start_test is not None:
            test = problem.start_test + problem.cross @ (spectrum.vectors @ amounts)
            tested.append(test if shrunk is None or decay is None or decay.test is None else test + shrunk * decay.test)
    return path_of(
        name,
        problem,
        torch.stack([one.expand(problem.members, -1, -1) for one in trained], 1),
        torch.stack([one.expand(problem.members, -1, -1) for one in tested], 1) if tested else None,
        at,
        loss,
        formula,
        limit=limit,
        notes=notes,
        began=began,
        eigenvalues=spectrum.values.cpu().numpy(),
    )


def path_of(
    name: str,
    problem: KernelProblem,
    train: Tensor,
    test: Tensor | None,
    at: tuple[str, Sequence[float]],
    loss: str | Tensor,
    formula: str,
    *,
    limit: NDArray[np.float64],
    notes: tuple[str, ...],
    began: float,
    eigenvalues: NDArray[np.float64] | None = None,
    by_member: Mapping[str, Tensor] | None = None,
) -> Path:
    """Outputs (members, points, rows, columns) as a path, with the loss computed or given (members, points).

    `by_member` are further arrays of the reading, (members,) each.
    """
    along, points = at
    if isinstance(loss, str):
        squares = (train - problem.targets.unsqueeze(1)).square().sum((2, 3))
        losses = problem.factor(loss) / 2 * squares
    else:
        losses = loss
    arrays = {"loss": losses, "train": problem.by_example(train)}
    dims: dict[str, tuple[str, ...]] = {"loss": ("member", along), "train": ("member", along, "example", "output")}
    if test is not None:
        arrays["test"] = problem.by_example(test)
        dims["test"] = ("member", along, "test example", "output")
    for key, one in (by_member or {}).items():
        arrays[key], dims[key] = one, ("member",)
    diverged = int((~losses.isfinite()).any(1).sum())
    if diverged:
        said = f"{diverged} of {len(losses)} members diverge beyond the largest number; their outputs are infinite."
        notes = (*notes, said)
    reading = Reading(
        name,
        {key: torch.nan_to_num(one, math.inf, math.inf, -math.inf).cpu().numpy() for key, one in arrays.items()},
        dims,
        {along: np.asarray(points)},
        cost=Cost(clock.perf_counter() - began),
        provenance=Provenance.here(None, str(train.device), "float64"),
        notes=(f"Loss: {formula}.", *notes),
    )
    return Path(reading, formula, limit, eigenvalues)
