"""Training labels changed at random, anew for every member; and how far predictions follow the changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import ArrayLike, NDArray
from scipy import special  # and not scipy.stats, which takes longer to load than all else here
from torch import Tensor

from thalweg.data import Data, Examples
from thalweg.errors import UsageError
from thalweg.generalization.double_descent.target_noise import target_noise
from thalweg.losses import Logistic, SquaredError
from thalweg.population import Problem
from thalweg.randomness import generator, stream_key
from thalweg.statistics import Interval, interval, student_t

Array = NDArray[np.float64]
TAILS = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class ChangedLabels:
    """The training set of each member with some labels changed.

    Args:
        sets: one for each member, the same inputs with labels of its own.
        changes: numbers added to the targets, or the labels there are now: (members, labels).
        where: which labels are changed, as many in every member; None: noise was added to all of them.
        answers: whether there is one output for each label, positive for a yes.
    """

    sets: Sequence[Examples]
    changes: Tensor
    where: Bool[Tensor, "members labels"] | None
    answers: bool = False

    @property
    def count(self) -> int | None:
        """How many labels of each member are changed to others; None where noise is added to numbers."""
        return None if self.where is None else int(self.where[0].sum())

    def followed(self, first: Tensor, second: Tensor) -> Array:
        """How far the second predictions follow the changes, beyond the first: (members,); see `where_am_i`."""
        if self.where is None:
            moved = (second - first).reshape(len(first), -1).double()
            added = self.changes.to(moved)
            return ((moved * added).sum(1) / (added * added).sum(1)).cpu().numpy()
        hits = []
        for out in (first, second):
            said = (out.reshape(len(out), -1) > 0).long() if self.answers else out.argmax(-1)
            right = said == self.changes.to(said)
            hits.append((right & self.where).double().sum(1) / self.where.sum(1))
        return (hits[1] - hits[0]).cpu().numpy()


def changed_labels(problem: Problem, noise: float, seeds: Sequence[int], seed: int) -> ChangedLabels:
    """Noise on the training labels, drawn anew for every member.

    >>> import thalweg as tw
    >>> from thalweg.generalization.double_descent.changed_labels import changed_labels
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = changed_labels(problem, 0.2, seeds=[0, 1], seed=0)
    >>> found.count == round(0.2 * len(problem.data.train)), bool((found.where[0] == found.where[1]).all())
    (True, False)

    Args:
        problem: whose loss says what a label is: yes or no of `Logistic`, else one of several classes, else a number.
        noise: the share of labels that are made wrong, or standard deviations of the target that are added.
        seeds: of the members.
        seed: of the noise.

    Raises:
        UsageError: labels that cannot be changed, or a share that changes none.
    """
    data, draws = problem.data, [stream_key(seed, "changed labels", one) for one in seeds]
    if not isinstance(data.train, Examples):
        msg = f"Labels are changed in memory, and {data.name!r} reads its examples; give from_user a larger "
        raise UsageError(msg + "memory_budget.")
    if isinstance(problem.loss, Logistic):
        return _answers(data, data.train, noise, draws, problem.loss.ignore_index)
    if data.classes is not None:
        return _classes(data, noise, draws)
    return _numbers(data, data.train, noise, draws, squared=isinstance(problem.loss, SquaredError))


def share_followed(values: ArrayLike, count: int | None) -> Interval:
    """The mean over members of the share of changed labels that are followed; members vary, and so do their labels.

    Of m members with k changed labels each it is the interval of Clopper and Pearson of as many independent labels as
    tell as much (Korn and Graubard):

        n = m k / max(1, s^2 k / (p (1 - p))) (t(m k - 1) / t(m - 1))^2,    p and s^2 the values' mean and variance

    so it is one also where every label of every member is followed. Of numbers, where noise is added to all labels, it
    is that of the mean; draws of such noise agree only where all noise is followed alike, and then it is that value.

    >>> from thalweg.generalization.double_descent.changed_labels import share_followed
    >>> print(share_followed([1.0, 1.0, 1.0], 60))
    1 [0.9072, 1]

    Args:
        values: of each member: (members,).
        count: labels of each member that are changed; None: noise was added to numbers.

    References:
        Korn and Graubard (1998), Survey Methodology 24, 193.
    """
    sample = np.asarray(values, dtype=np.float64)
    if count is None:
        found = interval.mean(sample)
        if found.known or len(sample) < 2:
            return found
        return replace(found, low=found.estimate, high=found.estimate, method="draws of noise that all agree")
    members, labels = len(sample), len(sample) * count
    share = float(np.clip(sample.mean(), 0, 1))
    binomial, between = share * (1 - share) / count, float(sample.var(ddof=1))
    doubt = (student_t.reach(members) / student_t.reach(labels)) ** 2
    n = labels / doubt / (max(1.0, between / binomial) if binomial > 0 else 1.0)
    hits = share * n
    low = float(special.betaincinv(hits, n - hits + 1, TAILS[0])) if share > 0 else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, TAILS[1])) if share < 1 else 1.0
    return Interval(
        float(sample.mean()), low, high, members, "Clopper and Pearson's by Korn and Graubard, over members"
    )


def _classes(data: Data, noise: float, draws: Sequence[int]) -> ChangedLabels:
    noisy = [data.with_label_noise(noise, draw) for draw in draws]
    sets = [one.train for one in noisy if isinstance(one.train, Examples)]
    where = torch.stack([one.flipped for one in noisy if one.flipped is not None])
    _check_some(data, noise, int(where[0].sum()))
    return ChangedLabels(sets, torch.stack([torch.as_tensor(one.targets) for one in sets]), where)


def _answers(data: Data, train: Examples, noise: float, draws: Sequence[int], ignored: int | None) -> ChangedLabels:
    clean = train.targets
    flat = clean.reshape(-1) if isinstance(clean, Tensor) else torch.tensor([0.5])
    counts = torch.ones_like(flat, dtype=torch.bool) if ignored is None else flat != ignored
    if noise > 1 or not bool(((flat == 0) | (flat == 1))[counts].all()):
        msg = f"where_am_i flips a share of labels, from 0 to 1, where each of them is 0 or 1; got noise={noise:g} of "
        raise UsageError(msg + f"{data.name!r}. Train on labels of 0 and 1, or take a noise such as 0.2.")
    places = counts.nonzero()[:, 0]
    chosen = round(noise * len(places))
    _check_some(data, noise, chosen)
    assert isinstance(clean, Tensor)
    sets, where = [], torch.zeros(len(draws), len(flat), dtype=torch.bool, device=flat.device)
    for row, draw in enumerate(draws):
        order = torch.randperm(len(places), generator=generator(draw, "label noise"))[:chosen]
        where[row, places[order.to(places.device)]] = True
        sets.append(Examples(train.inputs, torch.where(where[row], (flat == 0).to(flat), flat).reshape(clean.shape)))
    changes = torch.stack([torch.as_tensor(one.targets).reshape(-1) for one in sets])
    return ChangedLabels(sets, changes, where, answers=True)


def _numbers(data: Data, train: Examples, noise: float, draws: Sequence[int], *, squared: bool) -> ChangedLabels:
    clean = train.targets
    if not isinstance(clean, Tensor) or not clean.is_floating_point():
        msg = f"Noise is added to one tensor of numbers, or flips classes; targets of {data.name!r} are neither. Pass "
        raise UsageError(msg + "classes= to from_user() where they are classes.")
    if not squared and bool(((clean == 0) | (clean == 1)).all()):
        msg = f"All targets of {data.name!r} are 0 or 1, and where_am_i does not know what a loss of your own makes of "
        raise UsageError(msg + 'them; train with loss="logistic", so that labels can be flipped.')
    numbers = clean.detach().cpu().double().numpy()
    if not bool((numbers.std(0) > 0).any()):
        msg = f"All targets of {data.name!r} are the same, so noise in their standard deviations is none; give others."
        raise UsageError(msg)
    added = [torch.from_numpy(target_noise(numbers, noise, draw)).to(clean) for draw in draws]
    sets = [Examples(train.inputs, clean + one) for one in added]
    return ChangedLabels(sets, torch.stack(added).reshape(len(draws), -1), None)


def _check_some(data: Data, noise: float, changed: int) -> None:
    if not changed:
        msg = f"noise={noise:g} changes none of the {len(data.train):,} labels of {data.name!r}; take a larger share."
        raise UsageError(msg)
