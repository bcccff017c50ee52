"""Whether a network first learns what Gaussian clones of the data have: distributional simplicity."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.data import Examples, ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.figures import Axis, Figure, Line
from thalweg.generalization.simplicity.checkpoints import Checkpoints, answers, as_checkpoints, predicted
from thalweg.generalization.simplicity.linear_first import classes_of
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
KINDS = ("means", "covariances")


@dataclass(frozen=True, eq=False)
class Distributional(Result):
    """What `distributional` found.

    Args:
        reading: "accuracy" (member, set, step) on the sets "data", "means" and "covariances", the last two being
            Gaussian clones; "gap" (member, set, step), the accuracy on the data minus that on the set; "parting"
            (member, set), the first step from which on the gap, of either sign, stays above twice its standard error;
            infinite where it does not part.
    """

    def figure(self, member: int = 0) -> Figure:
        """Accuracy on the data and on its clones over time."""
        steps = self.reading.coordinate("step") + 1
        sets = self.reading.coordinate("set")
        lines = [Line(steps, one, label=str(name)) for name, one in zip(sets, self["accuracy"][member], strict=True)]
        axes = Axis("step + 1", scale="log"), Axis("accuracy")
        return Figure.of("On the data and on its clones", lines, *axes, caption=" ".join(self.reading.notes))


@guarded
def distributional(
    problem: Problem,
    checkpoints: Checkpoints,
    *,
    on: Sample | str | ExampleSet = "test",
    clones: int = 2_000,
    seed: int = 0,
) -> Distributional:
    """The accuracy of networks trained on the data on the data and on Gaussian clones of it, along training.

        "means":       x ~ N(mean of class y, variance I), the variance that of all classes about their means
        "covariances": x ~ N(mean of class y, covariance of class y)

    Means and covariances are those of the training examples. While a network uses no more of the data than a clone has,
    it does as well on the clone; it parts from the simpler clone first. Later it may do worse on the clone, where the
    data have more that tells classes apart, or better, where the clone's classes overlap less than those of the data.

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(lr=3e-3), steps=60, batch_size=64, snapshot=(0, 20, 60))
    >>> found = simplicity.distributional(problem, tw.train(problem, recipe), clones=500)
    >>> found["accuracy"].shape, bool((found["accuracy"][0, :, -1] > 0.8).all())
    ((1, 3, 3), True)

    Args:
        problem: of classes, with inputs of numbers.
        checkpoints: a run with snapshots, or {step: population}.
        on: the examples that the clones are compared with; better not those of training.
        clones: examples of each.
        seed: of the clones.

    Raises:
        UsageError: targets that are no classes, inputs that are not one tensor of numbers, or a class of one example.

    Cost: an evaluation of every checkpoint on each set.

    Paper: Refinetti, Ingrosso & Goldt (2022), arXiv:2211.11567.
    """
    check_type("distributional problem", problem, Problem, "a Problem")
    along, drawn = as_checkpoints("distributional", checkpoints), as_sample("distributional", on).draw(problem)
    sets: dict[str, ExampleSet] = {"data": drawn.examples}
    sets |= {kind: gaussian_clone(problem.data.train, clones, kind=kind, seed=seed) for kind in KINDS}
    labels = {name: classes_of("distributional", examples) for name, examples in sets.items()}
    shares = np.stack(
        [
            np.stack(
                [
                    (predicted(answers("distributional", problem, population, examples)).numpy() == labels[name]).mean(
                        1
                    )
                    for population in along.values()
                ],
                1,
            )
            for name, examples in sets.items()
        ],
        1,
    )  # (member, set, step)
    sizes = np.array([len(examples) for examples in sets.values()])[:, None]
    errors = np.sqrt(shares * (1 - shares) / sizes)
    gap = shares[:, :1] - shares
    beyond = np.abs(gap) > 2 * np.sqrt(errors[:, :1] ** 2 + errors**2)
    stays = np.logical_and.accumulate(beyond[..., ::-1], axis=2)[..., ::-1]
    steps = np.array(list(along))
    parting = np.where(stays.any(2), steps[stays.argmax(2)], np.inf)
    three = ("member", "set", "step")
    reading = Reading(
        "distributional simplicity",
        {"accuracy": shares, "gap": gap, "parting": parting},
        {"accuracy": three, "gap": three, "parting": ("member", "set")},
        {"member": np.arange(len(shares)), "set": list(sets), "step": steps},
        {"parting": "steps"},
        {"accuracy": errors},
        sample_size=len(drawn),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(f"On {drawn.text} and {clones:,} examples of each clone; standard errors are over examples.",),
    )
    return Distributional(reading)


@in_words
def gaussian_clone(examples: ExampleSet, count: int, *, kind: str = "covariances", seed: int = 0) -> Examples:
    """New examples that share class frequencies, class means and, of kind "covariances", class covariances.

        x = mean_y + L_y g,    L_y L_y^T = covariance of class y,    or sigma I of kind "means";    g ~ N(0, I)

    sigma^2 is the mean over features and examples of the squared distance to the mean of the class.

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> clone = simplicity.gaussian_clone(tw.data.digits().train, 100)
    >>> len(clone), clone.inputs.shape[1:] == tw.data.digits().train.inputs.shape[1:]
    (100, True)

    Args:
        examples: of classes, with inputs of numbers, at least two of every class.
        count: how many to draw.
        kind: "means" or "covariances".
        seed: of the stream (seed, "gaussian clone").

    Raises:
        UsageError: targets that are no classes, inputs that are not one tensor of numbers, or a class of one example.

    Cost: an eigendecomposition a class.

    Paper: Refinetti, Ingrosso & Goldt (2022), arXiv:2211.11567.
    """
    check_count("gaussian_clone count", count)
    check_choice("gaussian_clone kind", kind, KINDS)
    inputs, targets = examples.slice(0, len(examples))
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or not isinstance(targets, Tensor):
        msg = "gaussian_clone needs inputs that are one tensor of numbers, (examples, ...), and classes."
        raise UsageError(msg)
    labels = torch.from_numpy(classes_of("gaussian_clone", examples))
    x, draw = inputs.double().cpu().flatten(1), generator(seed, "gaussian clone")
    order = torch.randint(len(labels), (count,), generator=draw)
    new, noise = labels[order], torch.randn(count, x.shape[1], generator=draw, dtype=torch.float64)
    made = torch.empty_like(noise)
    known = labels.unique()
    means = {int(label): x[labels == label].mean(0) for label in known}
    variance = sum(float((x[labels == label] - means[int(label)]).square().sum()) for label in known) / x.numel()
    for label in known:
        mean, of_new = means[int(label)], new == label
        if kind == "means":
            made[of_new] = mean + variance**0.5 * noise[of_new]
            continue
        own = x[labels == label] - mean
        if len(own) < 2:
            msg = f"Class {int(label)} has one example, of which there is no covariance; leave it out."
            raise UsageError(msg)
        values, vectors = torch.linalg.eigh(own.T @ own / (len(own) - 1))
        made[of_new] = mean + (noise[of_new] * values.clamp_min(0).sqrt()) @ vectors.T
    return Examples(made.reshape(count, *inputs.shape[1:]).to(inputs), new.to(targets))
