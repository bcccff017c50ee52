"""The largest eigenvalue along training, each search begun where the last one ended."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.curvature.operator import MATRICES, SPOKEN, Operator
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.population import Population, Problem
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading

Basis = Float[Tensor, "members vectors parameters"]
Scale = Callable[[int, Population, Mapping[str, Tensor]], Tensor]
_KEPT = 3  # vectors that a later search begins with: those next to the largest may pass it
_CERTAIN = 2  # of them that may leave no room above the largest
_PERIOD = 2  # readings from one to the one that begins with its vectors
_RENEWED = 100  # readings of which the first ones, a period of them, begin at random


class Tracker:
    """lambda_max of a curvature matrix A of every member along training: an observer for `train(observe=...)`.

        tracker = curvature.Tracker(problem)
        run = train(problem, recipe, observe=tracker)
        tracker.figure(optim.stability_limit(recipe.optimizer)).show()

    It is the algebraically largest, never the longest. Ritz pairs (theta_i, x_i) are sought in a space that begins with
    the three uppermost of an earlier reading and grows by a residual A x_i - theta_i x_i at a time, that which reaches
    highest, until the first two leave no room above:

        theta_i + |A x_i - theta_i x_i| <= theta_1 + tolerance |theta_1|    for i = 1, 2

    - It grows at least once, by the residual of the third where those are short: so that what will pass the largest is
      seen on its way up.
    - The earlier reading is the last but one: a path at its limit of stability alternates, and A with it.
    - A search that begins at random, or whose result falls by more than the tolerance from one reading to the next, is
      held to all three pairs and to a tenth of the tolerance. The first two in every hundred readings begin at random.

    It is Lanczos' method restarted thickly (Wu & Simon, 2000, doi:10.1137/S0895479898334605), on a matrix that moves.

    Args:
        problem, matrix, examples, limit: see `Operator`.
        every: steps from one reading to the next.
        scale: s (see `Operator`) as a function of (step, population, slots), where slots is what the rule remembers by
            name, for a matrix that is preconditioned anew at every step. None is A itself.
        tolerance: a share of lambda_max, or of a thousandth of the longest eigenvalue seen. An eigenvalue is that near;
            that none is higher is likely, not certain.
        most: products at most a reading; the residuals say how far it came.
        seed: of the vectors that a search begins with at random.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: a gradient and 4 or 5 products a reading, more where members are many, since the slowest of them counts, and
    10 to 30 at random. Memory: two matrices of theta's shape a product, and six of them from one reading to the next.
    Measured from the start to the edge of stability, with three members at every step: 4 products in the median, and 2
    of 2,706 values more than 2 % short of converged Lanczos.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        every: int = 1,
        matrix: str = "hessian",
        examples: ExampleSet | None = None,
        limit: int | None = None,
        scale: Scale | None = None,
        tolerance: float = 0.01,
        most: int = 100,
        seed: int = 0,
    ) -> None:
        check_type("Tracker problem", problem, Problem, "a Problem")
        check_count("Tracker every", every)
        check_choice("Tracker matrix", matrix, MATRICES)
        check_type("Tracker scale", scale, (Callable, type(None)), "a function of (step, population, slots), or None")
        check_type("Tracker tolerance", tolerance, (int, float), "a share such as 0.01")
        if not tolerance > 0:
            msg = f"Tracker tolerance must be above 0; got {tolerance}."
            raise UsageError(msg)
        check_count("Tracker most", most, least=_KEPT + 1)
        check_type("Tracker seed", seed, int, "a whole number")
        if limit is not None:
            check_count("Tracker limit", limit)
        self.problem, self.every, self.matrix, self.examples, self.limit = problem, every, matrix, examples, limit
        self.scale, self.tolerance, self.most, self.seed = scale, tolerance, most, seed
        self._slots: Mapping[str, Tensor] = {}
        self._bases: list[Basis] = []
        self._steps: list[int] = []
        self._found: list[tuple[NDArray[Any], ...]] = []
        self._count, self._passes, self._seconds = 0, 0, 0.0

    def begin(self, slots: Mapping[str, Tensor]) -> None:
        """Take note of what the rule remembers, by name; `train` calls this."""
        self._slots = slots

    def __call__(self, step: int, population: Population) -> None:
        """Take a reading of the members as they are at a step; they are only read.

        Raises:
            UsageError: a step that does not come after the last one, or another number of members.
        """
        began = time.perf_counter()
        if self._steps and step <= self._steps[-1]:
            msg = f"A Tracker follows one run: step {step} came after step {self._steps[-1]}; make one for each run."
            raise UsageError(msg)
        if self._steps and len(self._bases[0]) != len(population):
            msg = f"A Tracker follows one run: it had {len(self._bases[0])} members, and now {len(population)}."
            raise UsageError(msg)
        scale = None if self.scale is None else self.scale(step, population, self._slots)
        operator = Operator(self.problem, population, self.matrix, self.examples, self.limit, scale)
        values, residuals, products = self._search(operator, step)
        self._steps.append(step)
        self._found.append((values.numpy(), residuals.numpy(), products.numpy()))
        self._passes += operator.products
        self._count, self._seconds = operator.count, self._seconds + time.perf_counter() - began

    def reading(self) -> Reading:
        """All readings so far.

        Returns:
            "largest eigenvalue" and "residual" (step, member), NaN where a member is not finite: an eigenvalue lies
            within the residual; and "products" (step, member) that each took: the population took as many as the
            slowest.

        Raises:
            UsageError: there is none.
        """
        if not self._steps:
            msg = "The Tracker has seen no step yet; pass it to train(observe=...), or call it with (step, population)."
            raise UsageError(msg)
        values, residuals, products = (np.array(found) for found in zip(*self._found, strict=True))
        return Reading(
            f"largest eigenvalue of the {SPOKEN[self.matrix]}",
            {"largest eigenvalue": values, "residual": residuals, "products": products},
            dict.fromkeys(("largest eigenvalue", "residual", "products"), ("step", "member")),
            {"step": np.array(self._steps), "member": np.arange(values.shape[1])},
            sample_size=self._count,
            cost=Cost(self._seconds, hvps=self._passes * values.shape[1]),
            provenance=Provenance.here(self.seed, str(self.problem.device), str(self.problem.dtype)),
            notes=(
                f"On {self._count} examples, in evaluation mode, with {np.median(products):g} products a reading and "
                "member in the median.",
                "An eigenvalue lies within the residual of each value, and the largest is not below it.",
            ),
        )

    def figure(self, limits: float | Sequence[float] | NDArray[np.float64] | None = None) -> Figure:
        """lambda_max against the step: the mean, and a band from the smallest to the largest of the members.

        Args:
            limits: of stability, one for all or one a member: members that share one are drawn together, and it with
                them.

        Raises:
            UsageError: there is no reading yet, or another number of limits than members.
        """
        values = self.reading()["largest eigenvalue"]
        given = np.full(values.shape[1], np.nan) if limits is None else np.asarray(limits, dtype=np.float64)
        if given.shape not in ((), (values.shape[1],)):
            msg = f"Tracker limits must be one number, or one for each of the {values.shape[1]} members; got {limits}."
            raise UsageError(msg)
        given = np.broadcast_to(given, values.shape[1])
        steps, marks, groups = np.array(self._steps, dtype=float), [], np.unique(given)
        for limit in groups:
            curves = values[:, (given == limit) | (np.isnan(given) & np.isnan(limit))]
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # all members have diverged
                mean, low, high = np.nanmean(curves, 1), np.nanmin(curves, 1), np.nanmax(curves, 1)
            marks.append(Line(steps, mean, low=low, high=high, label=f"limit {limit:.3g}" if len(groups) > 1 else ""))
        marks += [ReferenceLine(limit, label="limit of stability") for limit in groups if np.isfinite(limit)]
        return Figure.of(
            f"Largest eigenvalue of the {SPOKEN[self.matrix]}",
            tuple(marks),
            Axis("step"),
            Axis("largest eigenvalue"),
            caption="Lines are means over members, diverged ones left out; bands run from the smallest to the largest. "
            f"Residuals are at most {self.tolerance:.1%} of the value, or of a thousandth of the longest, wherever "
            f"{self.most} products sufficed.",
        )

    def _search(self, operator: Operator, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """lambda_max, its residual and the products they took: (members,), NaN where a member is not finite.

        A member that is done stays as it is while others go on, so that it does not depend on them.
        """
        anew = len(self._steps) % _RENEWED < _PERIOD
        basis = _random(operator, self.seed, step) if anew else self._bases[0]
        members, size = basis.shape[:2]
        before = torch.as_tensor(self._found[-1][0] if self._found else np.full(members, np.nan))
        spare = operator.gaussian(generator(self.seed, "tracker, spare", step))
        basis = kept = torch.linalg.qr(basis.mT)[0].mT
        images = torch.stack([operator(basis[:, place]) for place in range(size)], dim=1)
        values, residuals = torch.full((2, members), torch.nan, dtype=torch.float64)
        products = torch.full((members,), size)
        searching = torch.ones(members, dtype=torch.bool)
        while True:
            matrix = (basis @ images.mT).double().cpu()
            searching = searching & torch.isfinite(matrix).all(2).all(1)
            theta, shares = torch.linalg.eigh((matrix + matrix.mT).masked_fill(~searching[:, None, None], 0) / 2)
            theta, shares = theta.flip(1), shares.flip(2).mT[:, :size].to(basis)  # the uppermost first
            vectors = shares @ basis
            rests = (shares @ images).addcmul_(vectors, theta[:, :size, None].to(basis), value=-1)
            lengths = torch.linalg.vector_norm(rests, dim=2).double().cpu()
            strictly = (theta[:, 0] < before - self.tolerance * before.abs()) | anew
            room = torch.where(strictly, self.tolerance / 10, self.tolerance)
            room *= torch.maximum(theta[:, 0].abs(), 1e-3 * theta.abs().amax(1))
            above = theta[:, :size] + lengths - theta[:, :1]
            above[~strictly, _CERTAIN:] = -torch.inf
            near = (above <= room[:, None]).all(1)
            chosen = torch.where(near, size - 1, above.argmax(1))
            direction = _beside(basis, rests[torch.arange(members), chosen], spare)
            full = (direction == 0).all(1).cpu()
            enough = near & (basis.shape[1] > size)
            done = searching & (enough | full | (operator.products >= self.most))
            values[done], residuals[done], products[done] = theta[done, 0], lengths[done, 0], operator.products
            kept = torch.where(done[:, None, None].to(kept.device), vectors, kept)
            searching = searching & ~done
            if not searching.any():
                self._bases = [*self._bases, kept][-_PERIOD:]
                return values, residuals, products
            direction = direction.masked_fill(~searching[:, None].to(direction.device), 0)
            basis = torch.cat([basis, direction[:, None]], dim=1)
            images = torch.cat([images, operator(direction)[:, None]], dim=1)


def _random(operator: Operator, seed: int, step: int) -> Basis:
    """Vectors to begin with, the same for every member, as many as its parameters allow."""
    draws = [operator.gaussian(generator(seed, f"tracker, {place}", step)) for place in range(_KEPT)]
    living = max(1, int((draws[0] != 0).sum(1).min()))
    return torch.stack(draws[:living], dim=1)


def _beside(basis: Basis, rest: Tensor, spare: Tensor) -> Float[Tensor, "members parameters"]:
    """The direction of `rest` outside of the basis, that of `spare` where it has none, and 0 where nothing is left."""
    found = _outside(basis, rest)
    none = (found == 0).all(1, keepdim=True)
    return torch.where(none, _outside(basis, spare), found) if none.any() else found


def _outside(basis: Basis, vectors: Tensor) -> Float[Tensor, "members parameters"]:
    """Vectors of length 1 made orthogonal to the basis, twice; 0 where less than a thousandth is left."""
    lost = torch.zeros(len(vectors), 1, dtype=torch.bool, device=vectors.device)
    vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    for _ in range(2):
        vectors = vectors - (basis.mT @ (basis @ vectors.unsqueeze(2))).squeeze(2)
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        lost |= ~(length > 1e-3)
        vectors = vectors / length
    return vectors.masked_fill(lost, 0)
