"""Scores of architectures before training, from the tangent kernel at initialization, over seeds."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_type, unknown_name
from thalweg.evaluation import Sample, as_sample
from thalweg.figures import Axis, Figure, interval_bars
from thalweg.ntk import scores
from thalweg.ntk.empirical_kernels import empirical_kernels
from thalweg.ntk.inputs import remarks_on_inputs
from thalweg.population import Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import listed
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, mean, rank_correlation

OUTPUTS = ("trace", "sum")
FEW = Sample("train", 32)
LOGITS = "The kernel is that of the sum of all outputs, as published code takes it, not of each output."


@dataclass(frozen=True, eq=False)
class ArchitectureScores(Result):
    """What `architecture_scores` found.

    Args:
        reading: (architecture, seed) each: "log10 condition number" (a lower bound where "singular"), "smallest
            eigenvalue", "mean Gram entry", "mean diagonal", "effective rank", "alignment", and where targets are
            classes "label-gradient alignment".
    """

    def interval(self, score: str, architecture: str) -> Interval:
        """The mean of a score over seeds.

        Raises:
            UsageError: no such score or architecture.
        """
        names = self.reading.coordinate("architecture").tolist()
        if architecture not in names:
            raise unknown_name("architecture", architecture, names)
        return mean(self[score][names.index(architecture)].astype(np.float64))

    def rank_correlation(self, score: str, outcomes: Mapping[str, float] | ArrayLike) -> Interval:
        """Kendall's tau of a score, the mean over seeds, with an outcome; see `statistics.rank_correlation`.

        Args:
            score: such as "log10 condition number".
            outcomes: of each architecture, by its name or in their order, such as steps to a loss or accuracy.

        Raises:
            UsageError: no such score, or not one outcome for each architecture.
        """
        names = self.reading.coordinate("architecture").tolist()
        if isinstance(outcomes, Mapping):
            missing = [name for name in names if name not in outcomes]
            if missing:
                msg = f"rank_correlation needs an outcome of every architecture; {missing[0]!r} has none."
                raise UsageError(msg)
            outcomes = [outcomes[name] for name in names]
        return rank_correlation(self[score].mean(1), outcomes)

    def figure(self, score: str = "log10 condition number") -> Figure:
        """A score of every architecture, the mean over seeds with its interval."""
        names = self.reading.coordinate("architecture").tolist()
        bars = interval_bars({name: self.interval(score, name) for name in names})
        axes = Axis("architecture"), Axis(score)
        return Figure.of(self.reading.name, (bars,), *axes, caption=" ".join(self.reading.notes))


def architecture_scores(
    problems: Mapping[str, Problem],
    *,
    seeds: int | Iterable[int] = 4,
    on: Sample | str | ExampleSet = FEW,
    outputs: Literal["trace", "sum"] = "trace",
    progress: Watcher | None = automatic,
) -> ArchitectureScores:
    """Scores of architectures that need no training, as the papers define them, from the kernel at initialization.

    - "log10 condition number" of Theta: small is said to train fast (TE-NAS: Chen, Gong & Wang, 2021,
      arXiv:2102.11535). A kernel that is singular to working precision is said to be so, and gets a lower bound.
    - "mean Gram entry", sum_ij Theta_ij / n^2 (KNAS: Xu et al., 2021, arXiv:2111.13293), large being good.
    - "label-gradient alignment" with the classes (Mok et al., 2022, arXiv:2203.14577), and "alignment" with the targets
      (Cristianini et al., 2001), large being good.
    - "smallest eigenvalue", "effective rank", "mean diagonal".

    Theta is the mean over outputs of Theta_cc, which estimates the kernel of infinite width; published code takes that
    of the sum of all outputs instead (outputs="sum"), which adds up correlations between outputs, some only its first
    parameters, and some normalization by batches, in which examples interact. Here the model is in evaluation mode.

    >>> import thalweg as tw
    >>> data = tw.data.digits()
    >>> nets = {f"{width}": tw.Problem(lambda width=width: tw.nets.mlp(64, width, 10), data) for width in (8, 64)}
    >>> found = tw.ntk.architecture_scores(nets, seeds=3, on=tw.Sample("train", 10))
    >>> found["log10 condition number"].shape
    (2, 3)

    Args:
        problems: by the architecture's name.
        seeds: one or several, or how many; the same for all.
        on: the examples: "train", "test", examples of your own, or a `Sample` of them, drawn at random.
        outputs: "trace", the mean over outputs, or "sum", the kernel of the sum of all outputs.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: a model that has no derivative which can be trusted.

    Cost: a kernel and its eigenvalues for each architecture and seed.
    """
    check_type("architecture_scores problems", problems, Mapping, "problems by name, such as {'wide': problem}")
    check_choice("architecture_scores outputs", outputs, OUTPUTS)
    if not problems:
        msg = "architecture_scores needs at least one problem by name; got none."
        raise UsageError(msg)
    chosen = listed("architecture_scores", seeds)
    began, sample = time.perf_counter(), as_sample("architecture_scores", on)
    rows, notes, count = [], [], 0
    with watched(progress) as told:
        for done, (name, problem) in enumerate(problems.items()):
            check_type(f"The problem {name!r}", problem, Problem, "a Problem")
            drawn = sample.draw(problem)
            inputs, targets = drawn.examples.slice(0, len(drawn))
            kernels = empirical_kernels(problem, problem.initialize(chosen), inputs, outputs=outputs)
            rows.append(_scores(kernels, targets))
            notes += [f"On {drawn.text}, in evaluation mode.", *remarks_on_inputs(drawn.examples)]
            count = max(count, len(drawn))
            told(Progress("architecture scores", done + 1, len(problems), time.perf_counter() - began))
    names = [name for name in rows[0] if all(name in row for row in rows)]
    arrays = {name: np.stack([row[name] for row in rows]) for name in names}
    singular = int(arrays["singular"].sum())
    if singular:
        notes.append(f"{singular} of {arrays['singular'].size} kernels are singular to working precision.")
    if outputs == "sum":
        notes.append(LOGITS)
    first = next(iter(problems.values()))
    reading = Reading(
        "architecture scores",
        arrays,
        dict.fromkeys(arrays, ("architecture", "seed")),
        {"architecture": list(problems), "seed": chosen},
        sample_size=count,
        cost=Cost(time.perf_counter() - began, forwards=len(problems) * len(chosen)),
        provenance=Provenance.here(chosen, str(first.device), str(first.dtype)),
        notes=tuple(dict.fromkeys(notes)),
    )
    return ArchitectureScores(reading)


def _scores(kernels: Tensor, targets: Any) -> dict[str, NDArray[Any]]:
    """Of the kernels (seeds, n, n) of one architecture."""
    condition = scores.condition_number(kernels)
    found: dict[str, NDArray[Any]] = {
        "log10 condition number": condition.log10,
        "singular": condition.singular,
        "smallest eigenvalue": condition.smallest,
        "mean Gram entry": scores.mean_entry(kernels),
        "mean diagonal": kernels.diagonal(dim1=1, dim2=2).double().mean(1).cpu().numpy(),
        "effective rank": scores.effective_rank(kernels),
    }
    if not isinstance(targets, Tensor):
        return found
    classes = targets.ndim == 1 and not targets.is_floating_point()
    wanted = torch.nn.functional.one_hot(targets - targets.min()).double() if classes else targets.double()
    if wanted.ndim <= 2:
        found["alignment"] = scores.alignment(kernels, wanted)
    if classes and len(torch.unique(targets)) > 1:
        found["label-gradient alignment"] = scores.label_gradient_alignment(kernels, targets)
    return found
