"""Where a run of one's own stands: measured by training it again with some labels changed.

Neither the last layer's features nor a linearization tells where a network stands: both are of the functions near this
one, and what matters is what the whole procedure, with its optimizer, steps and decay, does with other labels. So it is
run again: that takes twice as long as the run did for as many members, and as long again for each decay to try.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import Data, Examples
from thalweg.errors import DataError, UsageError, check_type
from thalweg.evaluation import outputs
from thalweg.figures import Axis, Figure, interval_line
from thalweg.population import Problem
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.training import Recipe, Run, train

Array = NDArray[np.float64]
MET = 0.99  # of the changed labels that are followed, from where a procedure meets its labels
WHAT = ("clean labels", "noisy labels", "noisy labels, decay")


@dataclass(frozen=True, eq=False)
class Standing(Result):
    """What `where_am_i` returns: where a run stands between too small and large enough.

    Args:
        reading: "error" of the run, (labels, step, seed): the share of wrong test classes, or test loss, over
            training with clean labels, with noisy ones, and with those at each weight decay tried; "followed", by
            seed: how far its predictions on training examples follow a change of their own labels, from 0 to 1.
        examples: trained on.
        noise: the share of labels that was changed, or the standard deviation added in those of the target.
    """

    examples: int
    noise: float

    @property
    def followed(self) -> Interval:
        """How far predictions on training examples follow their own labels: 1 where every label is met."""
        return interval.mean(self["followed"])

    @property
    def effective_parameters(self) -> Interval:
        """n times that: the trace of what takes changes of labels to changes of predictions.

        Of least squares it is the number of parameters, up to n.
        """
        share, n = self.followed, self.examples
        return Interval(n * share.estimate, n * share.low, n * share.high, share.n, share.method)

    @property
    def cost_of_noise(self) -> Interval:
        """How much higher the last test error is with noisy labels, paired by seed."""
        return interval.mean(self["error"][1, -1] - self["error"][0, -1])

    @property
    def gains(self) -> dict[str, Interval]:
        """How much of the last test error stopping early would remove, and each decay, by what is done.

        The step to stop at is for every seed the best one on average of the others, so that none is flattered.
        """
        names = self.reading.coordinate("labels").tolist()
        found = {f"early stopping, {name}": _stopping(of) for name, of in zip(names[:2], self["error"], strict=False)}
        for name, of in zip(names[2:], self["error"][2:], strict=True):
            found[name] = interval.mean(self["error"][1, -1] - of[-1])
        return found

    @property
    def text(self) -> str:
        """Where it stands, in a few sentences."""
        unit = self.reading.units["error"]
        share, cost = self.followed, self.cost_of_noise
        side = (
            "it meets noisy labels, so it is at or past the threshold of its procedure (how far past, labels that are "
            "met do not tell; noise costs most at the threshold)"
            if share.low > MET
            else "it does not meet all noisy labels, so it is below the threshold"
            if share.high < MET
            else "it is near the threshold, or too few seeds tell"
        )
        gains = "; ".join(f"{name}: {gain} {unit}" for name, gain in self.gains.items())
        return (
            f"Predictions follow {share} of a change of their own label: {self.effective_parameters} effective "
            f"parameters for {self.examples:,} examples; {side}. Noise of {self.noise:g} costs {cost} {unit} of test "
            f"error. Less error by {gains}."
        )

    def remarks(self) -> tuple[str, ...]:
        """Where it stands, and the notes of the reading."""
        return (self.text, *self.reading.notes)

    def figure(self) -> Figure:
        """Test error over training, with clean labels and with noisy ones: means with 95 % intervals."""
        steps = self.reading.coordinate("step")
        lines = [
            interval_line(steps[1:], [interval.mean(row) for row in of[1:]], label=str(name))
            for name, of in zip(self.reading.coordinate("labels"), self["error"], strict=True)
        ]
        axes = Axis("step", scale="log"), Axis("test error", self.reading.units["error"])
        return Figure.of("Where the run stands", lines, *axes, caption=self.text)


def where_am_i(
    problem: Problem,
    run: Run,
    *,
    noise: float = 0.2,
    decays: Sequence[float] = (),
    members: int = 3,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Standing:
    """How a run of any classifier or regressor stands to the threshold, what noise would do, and what removes it.

    The run's first members are trained again, from the same initializations and in the same data order, once as they
    were and once with noise on the labels. What predictions on training examples follow of the change of their labels,

        classes   share of changed labels that are predicted, less those the clean run predicts
        numbers   sum (f'(x_i) - f(x_i)) e_i / sum e_i^2,    e the noise that was added

    times n is the number of effective parameters. It is n where every label is met: then the threshold is reached or
    passed, and what noise costs on the test set tells more, which is most at the threshold.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 64, 10), tw.data.digits().subset(train=100))
    >>> run = tw.train(problem, tw.Recipe(tw.optim.Adam(1e-2), steps=100, batch_size=50), seeds=2)
    >>> standing = tw.generalization.double_descent.where_am_i(problem, run, members=2)
    >>> bool(standing["followed"].mean() > 0.5), sorted(standing.gains)
    (True, ['early stopping, clean labels', 'early stopping, noisy labels'])

    Args:
        problem: with test examples.
        run: of it, by a recipe without sweeps, begun by seed.
        noise: the share of labels that are made wrong, or standard deviations of the target that are added.
        decays: weight decays to try with noisy labels, of a rule that has one.
        members: how many of the run's members, at least 2, so that there are intervals.
        seed: of the noise.
        progress: told how far it is.

    Raises:
        UsageError: a run of another kind, decays of a rule without, labels that cannot be changed, or no noise.
        DataError: no test examples.

    Cost: training 2 + decays times as many members as asked for.

    References:
        Ye (1998), doi:10.1080/01621459.1998.10474094, of generalized degrees of freedom; Nakkiran et al. (2019),
        arXiv:1912.02292.
    """
    check_type("where_am_i problem", problem, Problem, "a Problem")
    check_type("where_am_i run", run, Run, "a Run, as train returns it")
    seeds = [int(one) for one in run.axes["seed"]]
    if len(run.axes) > 1 or len(set(seeds)) < len(seeds):
        msg = f"where_am_i takes a run of one recipe, begun by seed; this one varies {sorted(run.axes)}."
        raise UsageError(msg)
    if run.examples is not None:
        msg = "where_am_i takes a run whose members are all trained on the whole training set; these have their own."
        raise UsageError(msg)
    if not 2 <= members <= len(seeds) or not noise > 0:
        msg = f"where_am_i takes 2 to {len(seeds)} members of this run, and noise above 0; got {members} and {noise}."
        raise UsageError(msg)
    if problem.data.test is None:
        msg = "where_am_i measures test error, and the problem has no test examples; give from_user(train, test)."
        raise DataError(msg)
    noisy, changes = _changed(problem.data, noise, seed)
    arms = [(problem, None), (_with(problem, noisy), None), *((_with(problem, noisy), decay) for decay in decays)]
    recipes = [_with_decay(run.recipe, decay) for _, decay in arms]
    runs = [
        train(of, recipe, seeds[:members], progress=progress) for (of, _), recipe in zip(arms, recipes, strict=True)
    ]
    first, second = (outputs(problem, one.final, "train") for one in runs[:2])
    names = [*WHAT[:2], *(f"{WHAT[2]} {decay:g}" for decay in decays)]
    counted = "test_accuracy" in runs[0].history.metrics
    metric = "test_accuracy" if counted else "test_loss"
    errors = [100 * (1 - one.history[metric]) if counted else one.history[metric] for one in runs]
    reading = Reading(
        "Where the run stands",
        {"error": np.array(errors), "followed": _followed(first, second, changes)},
        {"error": ("labels", "step", "seed"), "followed": ("seed",)},
        {"labels": np.array(names), "step": runs[0].history.steps, "seed": np.array(seeds[:members])},
        {"error": "points" if counted else problem.loss.unit},
        sample_size=members,
        cost=Cost(sum(one.seconds for one in runs)),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(f"{members} members trained again with {len(runs)} sets of labels or decays.",),
    )
    return Standing(reading, len(problem.data.train), float(noise))


def _stopping(errors: Array) -> Interval:
    """What stopping early removes of the last error: (steps, seeds), each at the best step of the others."""
    total = errors.sum(1, keepdims=True)
    best = (total - errors).argmin(0)
    return interval.mean(errors[-1] - errors[best, np.arange(errors.shape[1])])


def _changed(data: Data, noise: float, seed: int) -> tuple[Data, Tensor]:
    """Data with noisy training labels; and the labels where they are changed, else -1, or what was added."""
    if data.classes is not None:
        noisy = data.with_label_noise(noise, seed)
        assert noisy.flipped is not None
        assert isinstance(noisy.train, Examples)
        labels = torch.as_tensor(noisy.train.targets)
        return noisy, torch.where(noisy.flipped, labels, torch.full_like(labels, -1))
    train = data.train
    targets = train.targets if isinstance(train, Examples) else None
    if not isinstance(train, Examples) or not isinstance(targets, Tensor) or not targets.is_floating_point():
        msg = f"Noise is added to one tensor of numbers, or flips classes; targets of {data.name!r} are neither."
        raise UsageError(msg)
    draw = torch.randn(targets.shape, generator=generator(seed, "target noise")).to(targets)
    added = noise * targets.std(0) * draw
    return replace(data, train=Examples(train.inputs, targets + added)), added


def _with(problem: Problem, data: Data) -> Problem:
    """The same problem with other labels."""
    other = copy.copy(problem)
    other.data, other.plans = data, {}
    return other


def _with_decay(recipe: Recipe, decay: float | None) -> Recipe:
    rule: Any = recipe.optimizer  # a rule's fields are its own
    recipe = replace(recipe, evaluate=20, spacing="log", snapshot=0)
    if decay is None:
        return recipe
    if "weight_decay" not in {one.name for one in fields(rule)}:
        msg = f"{type(rule).__name__} has no weight_decay to try; leave decays out, or train with AdamW."
        raise UsageError(msg)
    return replace(recipe, optimizer=replace(rule, weight_decay=decay))


def _followed(first: Tensor, second: Tensor, changes: Tensor) -> Array:
    """How far the second predictions follow the changes of labels, beyond the first: (members,)."""
    if changes.is_floating_point():
        moved = (second - first).reshape(len(first), -1).double()
        added = changes.reshape(-1).double()
        return (moved @ added / (added @ added)).cpu().numpy()
    which = changes >= 0
    hits = [(out.argmax(-1)[:, which] == changes[which]).double().mean(1) for out in (first, second)]
    return (hits[1] - hits[0]).cpu().numpy()
