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
from numpy.typing import NDArray

from thalweg.data import Data, pooled
from thalweg.errors import DataError, UsageError, check_type
from thalweg.evaluation import outputs
from thalweg.figures import Axis, Figure, interval_line
from thalweg.generalization.double_descent.changed_labels import changed_labels, share_followed
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.training import Recipe, Run, train
from thalweg.workers import Workers

Array = NDArray[np.float64]
MET = 0.9  # of the changed labels that are followed, from where a procedure is at its threshold or past it
COMPARED, ALIKE = 5, 1e-3  # first steps whose losses are compared with those of the run, and how near they are
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
        changed: how many labels of each member were changed to others; None where noise was added to numbers.
    """

    examples: int
    noise: float
    changed: int | None

    @property
    def followed(self) -> Interval:
        """How far predictions on training examples follow their own labels: 1 where every label is met.

        Members are the units, and each has noise of its own: see `double_descent.changed_labels.share_followed`.
        """
        return share_followed(self["followed"], self.changed)

    @property
    def effective_parameters(self) -> Interval:
        """n times that: the trace of what takes changes of labels to changes of predictions, for each output.

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
        gains = "; ".join(f"{name}: {_in_words(gain, unit)}" for name, gain in self.gains.items())
        return (
            f"Predictions follow {self.followed} of a change of their own label: {self.effective_parameters} effective "
            f"parameters for {self.examples:,} examples; {self._side()}. Noise of {self.noise:g} costs "
            f"{_in_words(self.cost_of_noise, unit)} of test error. Less error by {gains}."
        )

    def _side(self) -> str:
        """On which side of the threshold the run stands, as far as its members tell."""
        share, members = self.followed, len(self["followed"])
        if share.low > MET:
            return (
                f"more than {100 * MET:.0f} % is followed, so it is at or past the threshold of its procedure (how far "
                "past, labels that are met do not tell; noise costs most at the threshold)"
            )
        if share.high < MET:
            return f"less than {100 * MET:.0f} % is followed, so it is below the threshold"
        of = "" if self.changed is None else f" with {self.changed:,} changed labels each"
        more = "members" if self.changed is None else "members, or a larger share of noise"
        return f"whether more than {100 * MET:.0f} % is followed, {members} members{of} do not tell; take more {more}"

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


@guarded
def where_am_i(
    problem: Problem,
    run: Run,
    *,
    noise: float = 0.2,
    decays: Sequence[float] = (),
    members: int = 3,
    seed: int = 0,
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Standing:
    """How a run of any classifier or regressor stands to the threshold, what noise would do, and what removes it.

    The run's first members are trained again, from the same initializations and in the same data order, once as they
    were and once with noise on the labels, which each member has of its own. What predictions on training examples
    follow of the change of their labels,

        classes   share of changed labels that are predicted, less those the clean run predicts
        yes, no   the same of flipped labels, where the loss is `Logistic`
        numbers   sum (f'(x_i) - f(x_i)) e_i / sum e_i^2,    e the noise that was added

    times n is the number of effective parameters. It is n where every label is met. From nine tenths of that on, by the
    interval over members, the run is said to be at the threshold or past it; what noise costs on the test set tells
    more, which is most at the threshold.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 64, 10), tw.data.digits().subset(train=100))
    >>> run = tw.train(problem, tw.Recipe(tw.optim.Adam(1e-2), steps=100, batch_size=50), seeds=2)
    >>> standing = tw.generalization.double_descent.where_am_i(problem, run, members=2)
    >>> bool(standing["followed"].mean() > 0.5), sorted(standing.gains)
    (True, ['early stopping, clean labels', 'early stopping, noisy labels'])

    Args:
        problem: with test examples.
        run: of it, by a recipe without sweeps, begun by seed. Test examples of its members' own stay theirs.
        noise: the share of labels that are made wrong, or standard deviations of the target that are added.
        decays: weight decays to try with noisy labels, of a rule that has one.
        members: how many of the run's members, at least 2, so that there are intervals.
        seed: of the noise.
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Raises:
        UsageError: a run of another kind (a sweep, a fork, masked, unfinished, on examples of its members' own), or of
            another problem; a member that diverged, in the run or with noisy labels; decays of a rule without; labels
            that cannot be changed; or no noise.
        DataError: no test examples.

    Cost: training 2 + decays times as many members as asked for; memory for the training set once a member.

    References:
        Ye (1998), doi:10.1080/01621459.1998.10474094, of generalized degrees of freedom; Nakkiran et al. (2019),
        arXiv:1912.02292.
    """
    check_type("where_am_i problem", problem, Problem, "a Problem")
    check_type("where_am_i run", run, Run, "a Run, as train returns it")
    _check_run(run)
    seeds = [int(one) for one in run.axes["seed"]]
    if not 2 <= members <= len(seeds) or not 0 < noise < np.inf:
        msg = f"where_am_i takes 2 to {len(seeds)} members of this run, and noise above 0; got {members} and {noise}. "
        raise UsageError(msg + f"A run of more members is train(problem, recipe, seeds={max(members, 3)}).")
    if problem.data.test is None:
        msg = "where_am_i measures test error, and the problem has no test examples; give from_user(train, test)."
        raise DataError(msg)
    seeds = seeds[:members]
    _check_finite(run, members, "The run")
    recipes = [_with_decay(run.recipe, decay) for decay in (None, None, *decays)]
    labels = changed_labels(problem, noise, seeds, seed)
    held = None if run.test_examples is None else run.test_examples[:members]
    until = min(COMPARED, run.step)
    begun = train(
        problem, recipes[0], seeds, test_examples=held, until=until, plan=run.plans, progress=None, workers=workers
    )
    _check_same(run, begun)
    names = [*WHAT[:2], *(f"{WHAT[2]} {decay:g}" for decay in decays)]
    runs = [train(problem, recipes[0], seeds, resume=begun, progress=progress, workers=workers)]
    pool, rows = pooled(labels.sets)
    noisy = _with(problem, replace(problem.data, train=pool))
    runs += [
        train(noisy, one, seeds, examples=rows, test_examples=held, progress=progress, workers=workers)
        for one in recipes[1:]
    ]
    for one, name in zip(runs, names, strict=True):
        _check_finite(one, members, f"Training again with {name}")
    first, second = (outputs(problem, one.final, "train") for one in runs[:2])
    counted = "test_accuracy" in runs[0].history.metrics
    metric = "test_accuracy" if counted else "test_loss"
    errors = [100 * (1 - one.history[metric]) if counted else one.history[metric] for one in runs]
    reading = Reading(
        "Where the run stands",
        {"error": np.array(errors), "followed": labels.followed(first, second)},
        {"error": ("labels", "step", "seed"), "followed": ("seed",)},
        {"labels": np.array(names), "step": runs[0].history.steps, "seed": np.array(seeds)},
        {"error": "points" if counted else problem.loss.unit},
        sample_size=members,
        cost=Cost(sum(one.seconds for one in runs)),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(f"{members} members trained again with {len(runs)} sets of labels or decays.", *_apart(run, runs[0])),
    )
    return Standing(reading, len(problem.data.train), float(noise), labels.count)


def _in_words(found: Interval, unit: str) -> str:
    """An amount of error; what is the same of every member has no interval, and nothing is said as such."""
    if found.known:
        return f"{found} {unit}"
    return f"{found.estimate:.4g} {unit} of every member" if found.estimate else "nothing, of any member"


def _apart(run: Run, again: Run) -> tuple[str, ...]:
    """What to know where training again did not end as the run did, as on another machine."""
    name = next((one for one in ("test_accuracy", "test_loss") if one in run.history.metrics), None)
    if name is None or name not in again.history.metrics or run.history.steps[-1] != run.step:
        return ()
    now, then = again.history[name][-1], run.history[name][-1, : len(again.final)]
    if np.allclose(now, then, rtol=ALIKE, atol=1e-6):
        return ()
    most = np.abs(now - then).max()
    return (f"With the labels of the run, training again ends up to {most:.2g} from its {name.replace('_', ' ')}.",)


def _stopping(errors: Array) -> Interval:
    """What stopping early removes of the last error: (steps, seeds), each at the best step of the others."""
    total = errors.sum(1, keepdims=True)
    best = (total - errors).argmin(0)
    return interval.mean(errors[-1] - errors[best, np.arange(errors.shape[1])])


def _check_run(run: Run) -> None:
    """Raise UsageError where training by the recipe and the seeds alone would be another procedure."""
    seeds = run.axes["seed"].tolist()
    msg = None
    if len(run.axes) > 1 or len(set(seeds)) < len(seeds):
        msg = (
            f"where_am_i takes a run of one recipe, begun by seed; this one varies {sorted(run.axes)}. Train each "
            "setting by itself, without sweeps and arms."
        )
    elif run.examples is not None:
        msg = (
            "where_am_i takes a run whose members are all trained on the whole training set; these have their own. "
            "Train without examples=."
        )
    elif any(origin.rows is not None for origin in run.grid.origins):
        msg = (
            "where_am_i trains again from initializations by seed, and this run began at a start of its own. Train "
            "without start=."
        )
    elif run.final.mask is not None:
        msg = "where_am_i trains again all parameters, and this run has a mask. Train without mask=."
    elif run.step < run.recipe.steps:
        msg = (
            f"where_am_i takes a finished run, and this one stands at step {run.step:,} of {run.recipe.steps:,}. "
            f"Finish it by train(problem, recipe, seeds, resume=run), or train by a recipe of {run.step:,} steps."
        )
    if msg is not None:
        raise UsageError(msg)


def _check_finite(run: Run, members: int, what: str) -> None:
    at = run.diverged_at[:members]
    if (at >= 0).any():
        gone = np.flatnonzero(at >= 0)
        msg = (
            f"{what} diverged: members {gone.tolist()} at steps {at[gone].tolist()}. A diverged run stands nowhere; "
            "train with a lower learning rate."
        )
        raise UsageError(msg)


def _check_same(run: Run, again: Run) -> None:
    """Raise UsageError where training again does not begin as the run did."""
    members = len(again.final)
    pairs = [(again.history.batch_loss, run.history.batch_loss[: again.step, :members])]
    pairs += [
        (again.history[name][0], run.history[name][0, :members])
        for name in again.history.metrics
        if name in run.history.metrics and run.history.steps[0] == again.history.steps[0]
    ]
    if not all(np.allclose(now, then, rtol=ALIKE, atol=1e-6, equal_nan=True) for now, then in pairs):
        msg = (
            "where_am_i trains the run again, and with this problem its first losses are others than the run's. Give "
            "the problem, with its model, loss and data, that the run was trained on."
        )
        raise UsageError(msg)


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
