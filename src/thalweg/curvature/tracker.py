"""The largest eigenvalue along training, each search begun where the last one ended."""

import copy
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.curvature.matrices import hessian
from thalweg.curvature.tracked import Tracked
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation.sample import Sample, as_sample
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.population import Population, Problem
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading
from thalweg.spectra import Operator
from thalweg.spectra.restarted import KEPT, Uppermost, largest_from, random_basis

Scaling = Callable[[int, Population, Mapping[str, Tensor]], Tensor]
_PERIOD = 2  # readings from one to the one that begins with its vectors
_RENEWED = 100  # readings of which the first ones, a period of them, begin at random


class Tracker:
    """lambda_max of a curvature matrix A of every member along training: an observer for `train(observe=...)`.

    It is the algebraically largest eigenvalue, also where the most negative one is larger in magnitude. Ritz pairs
    (theta_i, x_i) are sought in a space that begins with the three uppermost of an earlier reading and grows by a
    residual A x_i - theta_i x_i at a time, that which reaches highest, until the first two leave no room above:

        theta_i + |A x_i - theta_i x_i| <= theta_1 + tolerance |theta_1|    for i = 1, 2

    - It grows at least once, by the residual of the third where those are short: so that what will pass the largest is
      found on its way up.
    - The earlier reading is the last but one: a path at its limit of stability alternates, and A with it.
    - A search that begins at random, or whose result falls by more than the tolerance from one reading to the next, is
      held to all three pairs and to a tenth of the tolerance. The first two in every hundred readings begin at random.

    It is Lanczos' method restarted thickly (Wu & Simon, 2000, doi:10.1137/S0895479898334605), on a matrix that moves.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> tracker = tw.curvature.Tracker(problem, on=tw.Sample("train", 100))
    >>> run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=3, evaluate=0), observe=tracker)
    >>> tracker["largest eigenvalue"].shape  # (step, member)
    (4, 1)

    Args:
        problem: what is trained.
        every: steps from one reading to the next.
        matrix: `curvature.hessian`, `curvature.gauss_newton`, `curvature.fisher`, or another function of (problem,
            population, on=...) that returns an `Operator`.
        on: the examples of the mean: "train", "test", examples of your own, or a `Sample` of them, drawn at random
            once.
        diagonal_scaling: s of S A S (see `Operator.scaled`) as a function of (step, population, slots), where slots is
            what the rule remembers by name, for a matrix that is preconditioned anew at every step. None is A itself.
            Of members that began with fresh moments in mid-run, bias corrections count from there.
        tolerance: a share of lambda_max, or of a thousandth of the eigenvalue that is largest in magnitude. An
            eigenvalue is that near; that none is higher is likely, not certain.
        max_products: a reading, at most; residuals and `converged` say how far it came.
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
        matrix: Callable[..., Operator] = hessian,
        on: Sample | str | ExampleSet = "train",
        diagonal_scaling: Scaling | None = None,
        tolerance: float = 0.01,
        max_products: int = 100,
        seed: int = 0,
    ) -> None:
        check_type("Tracker problem", problem, Problem, "a Problem")
        check_count("Tracker every", every)
        check_type("Tracker matrix", matrix, Callable, "a function such as curvature.gauss_newton")
        write = "a function of (step, population, slots), or None"
        check_type("Tracker diagonal_scaling", diagonal_scaling, (Callable, type(None)), write)
        check_type("Tracker tolerance", tolerance, (int, float), "a share such as 0.01")
        if not tolerance > 0:
            msg = f"Tracker tolerance must be above 0; got {tolerance}."
            raise UsageError(msg)
        check_count("Tracker max_products", max_products, least=KEPT + 1)
        check_type("Tracker seed", seed, int, "a whole number")
        self.problem, self.every, self.matrix, self.drawn = (
            problem,
            every,
            matrix,
            as_sample("Tracker", on).draw(problem),
        )
        self.diagonal_scaling, self.tolerance = diagonal_scaling, tolerance
        self.max_products, self.seed = max_products, seed
        self._examples = self.drawn.examples
        self._slots: Mapping[str, Tensor] = {}
        self._kept = Tracked()

    def begin(self, slots: Mapping[str, Tensor]) -> None:
        """Take note of what the rule remembers, by name; `train` calls this."""
        self._slots = slots

    def forget(self, step: int) -> None:
        """Drop the readings of this step and later ones, which come again; `train` calls this."""
        self._kept.forget(step)

    def part(self, rows: slice) -> "Tracker":
        """One that goes on with neighboring members; `train` calls this where workers train slices."""
        part = copy.copy(self)
        part._kept, part._slots = self._kept.rows(rows), {}
        return part

    def heard(self) -> Tracked:
        """What it knows, to be sent back to the whole; `train` calls this."""
        return self._kept

    def merge(self, heard: Sequence[Tracked]) -> None:
        """Take what parts heard, in the order of their members; `train` calls this.

        Values are those of one Tracker to rounding: its decompositions go by where in memory vectors lie.
        """
        self._kept = self._kept.joined(heard)

    def __call__(self, step: int, population: Population) -> None:
        """Take a reading of the members as they are at a step; they are only read.

        Raises:
            UsageError: a step that does not come after the last one, or another number of members.
        """
        began, kept = time.perf_counter(), self._kept
        if self._kept.steps and step <= kept.steps[-1]:
            msg = (
                f"A Tracker follows one run: step {step} came after step {self._kept.steps[-1]}; make one for each run."
            )
            raise UsageError(msg)
        if self._kept.steps and len(self._kept.bases[0]) != len(population):
            msg = f"A Tracker follows one run: it had {len(self._kept.bases[0])} members, and now {len(population)}."
            raise UsageError(msg)
        A = self.matrix(self.problem, population, on=self._examples)
        kept.name = A.name
        if self.diagonal_scaling is not None:
            A = A.scaled(self.diagonal_scaling(step, population, self._slots), A.name)
        found = self._search(A, step)
        kept.bases = [*kept.bases, found.vectors][-_PERIOD:]
        kept.steps.append(step)
        kept.before = found.values
        arrays = found.values, found.residuals, found.products, found.converged  # and no vectors, which are large
        kept.found.append(tuple(one.numpy().copy() for one in arrays))
        kept.hvps += A.products * len(A)
        kept.seconds += time.perf_counter() - began

    def __getitem__(self, array: str) -> NDArray[Any]:
        """An array of the reading."""
        return self.reading[array]

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether a search ended by its own rule, not by `max_products`: (step, member)."""
        return self.reading["converged"]

    @property
    def reading(self) -> Reading:
        """All readings so far.

        "largest eigenvalue" and "residual" (step, member), NaN where a member is not finite: an eigenvalue lies within
        the residual; "converged", whether the search ended by its own rule; and "products" (step, member) that each
        took: the population took as many as the slowest.

        Raises:
            UsageError: there is none.
        """
        if not self._kept.steps:
            write = "pass it to train(observe=...), or call it with (step, population)"
            msg = f"The Tracker has been given no step yet; {write}."
            raise UsageError(msg)
        names = "largest eigenvalue", "residual", "products", "converged"
        arrays = {
            name: np.stack(values) for name, values in zip(names, zip(*self._kept.found, strict=True), strict=True)
        }
        members = len(self._kept.found[0][0])
        return Reading(
            f"largest eigenvalue of the {self._kept.name}",
            arrays,
            dict.fromkeys(arrays, ("step", "member")),
            {"step": np.array(self._kept.steps), "member": np.arange(members)},
            sample_size=len(self.drawn),
            cost=Cost(self._kept.seconds, hvps=self._kept.hvps),
            provenance=Provenance.here(self.seed, str(self.problem.device), str(self.problem.dtype)),
            notes=(
                f"On {self.drawn.text}, in evaluation mode, with {np.median(arrays['products']):g} products a reading "
                "and member in the median.",
                "An eigenvalue lies within the residual of each value, and the largest is not below it.",
            ),
        )

    def figure(self, limits: float | Sequence[float] | NDArray[np.float64] | None = None) -> Figure:
        """lambda_max against the step: the mean, and a band from the smallest to the largest of the members.

        Args:
            limits: of stability (see `optim.stability_limit`), one for all or one a member: members that share one are
                drawn together, and it with them.

        Raises:
            UsageError: there is no reading yet, or another number of limits than members.
        """
        reading = self.reading
        values = reading["largest eigenvalue"]
        given = np.full(values.shape[1], np.nan) if limits is None else np.asarray(limits, dtype=np.float64)
        if given.shape not in ((), (values.shape[1],)):
            msg = (
                f"Tracker limits must be one number, or one for each of the {values.shape[1]} members; got {limits}. "
                "Where members are swept numbers times seeds, write "
                "stability_limit(rule, training.MemberGrid(recipe, seeds).at(step))."
            )
            raise UsageError(msg)
        given = np.broadcast_to(given, values.shape[1])
        steps, marks, groups = np.array(self._kept.steps, dtype=float), [], np.unique(given)
        for limit in groups:
            curves = values[:, (given == limit) | (np.isnan(given) & np.isnan(limit))]
            with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # all members have diverged
                mean, low, high = np.nanmean(curves, 1), np.nanmin(curves, 1), np.nanmax(curves, 1)
            marks.append(Line(steps, mean, low=low, high=high, label=f"limit {limit:.3g}" if len(groups) > 1 else ""))
        marks += [ReferenceLine(limit, label="limit of stability") for limit in groups if np.isfinite(limit)]
        return Figure.of(
            reading.name[0].upper() + reading.name[1:],
            tuple(marks),
            Axis("step"),
            Axis("largest eigenvalue"),
            caption="Lines are means over members, diverged ones left out; bands run from the smallest to the largest. "
            f"Residuals are at most {self.tolerance:.1%} of the value, or of a thousandth of the largest in magnitude, "
            f"wherever {self.max_products} products sufficed.",
        )

    def _search(self, A: Operator, step: int) -> Uppermost:
        random = len(self._kept.steps) % _RENEWED < _PERIOD
        nan = torch.full((len(A),), torch.nan, dtype=torch.float64)
        return largest_from(
            A,
            random_basis(A, self.seed, step) if random else self._kept.bases[0],
            before=nan if self._kept.before is None else self._kept.before,
            random=random,
            spare=A.gaussian(generator(self.seed, "tracker, spare", step)),
            tolerance=self.tolerance,
            max_products=self.max_products,
        )
