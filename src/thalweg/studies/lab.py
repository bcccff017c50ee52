"""What an experiment is given: seeds, training, labels of the progress, readings, findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.claims import Claim, Finding
from thalweg.errors import UsageError, unknown_name
from thalweg.figures import Figure
from thalweg.population import Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Provenance, Reading
from thalweg.statistics import Interval
from thalweg.training import Masks, Recipe, Run, Starts, train
from thalweg.workers import Workers

Scale = Literal["quick", "full"]
SCALES: tuple[Scale, ...] = ("quick", "full")
T = TypeVar("T")


@dataclass(frozen=True)
class Seeds:
    """Which seeds an experiment scores on, and which it tunes on; no seed is both. Made by `Lab.seeds`.

    >>> import thalweg as tw
    >>> seeds = tw.studies.Lab().seeds(quick=2, full=20, tuning=3)
    >>> seeds.own_tuning, seeds.scored
    ([[0, 1, 2], [3, 4, 5]], [6, 7])

    Args:
        scored: what verdicts rest on.
        shared_tuning: seeds on which one choice is made for all that are scored.
        own_tuning: for every scored seed, those on which its own choice is made.
    """

    scored: list[int]
    shared_tuning: list[int]
    own_tuning: list[list[int]]

    def __len__(self) -> int:
        return len(self.scored)

    @property
    def own(self) -> list[int]:
        """Those to train where every scored seed has tuning seeds of its own: these, seed by seed, then the scored.

        >>> import thalweg as tw
        >>> tw.studies.Lab().seeds(quick=2, full=20, tuning=3).own
        [0, 1, 2, 3, 4, 5, 6, 7]
        """
        return [*(one for own in self.own_tuning for one in own), *self.scored]

    def apart(self, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What `own` gave, apart: (..., all seeds) to that of tuning (..., seeds, tuning) and of scored (..., seeds).

        So that `statistics.own_choices(tuned)` gives the choice of each scored seed, and `statistics.taken(scored,
        choices)` what it scored there.

        >>> import numpy as np
        >>> import thalweg as tw
        >>> tuned, scored = tw.studies.Lab().seeds(quick=2, full=20, tuning=3).apart(np.arange(8))
        >>> tuned.tolist(), scored.tolist()
        ([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [6.0, 7.0])

        Raises:
            UsageError: not as many values as seeds.
        """
        table = np.asarray(values, dtype=np.float64)
        if table.ndim < 1 or table.shape[-1] != len(self.own):
            msg = f"apart needs a value for each of {len(self.own)} seeds along the last axis; got {table.shape}."
            raise UsageError(msg)
        count = len(self)
        return table[..., :-count].reshape(*table.shape[:-1], count, -1), table[..., -count:]


@dataclass(frozen=True)
class Lab:
    """What an experiment is given.

    >>> import thalweg as tw
    >>> tw.studies.Lab(seed=2).seeds(quick=3, full=20, shared_tuning=2)
    Seeds(scored=[2002, 2003, 2004], shared_tuning=[2000, 2001], own_tuning=[[], [], []])

    Args:
        scale: "quick" may leave claims undecided; "full" aims to decide every one.
        seed: from which every random draw of the study derives.
        progress: told how far it is.
        device: where tensors live.
        claims: what the experiment at hand decides.
        workers: who trains slices of the members, see `train`; None: this process. They need the device "cpu", and
            where they ask for a number of slices as many members of every training. `studies.run(workers=)` and the
            tour leave it out: there each experiment is one worker's; it is for an experiment that is called by itself.
    """

    scale: Scale = "quick"
    seed: int = 0
    progress: Watcher | None = automatic
    device: str = "cpu"
    claims: tuple[Claim, ...] = ()
    workers: Workers | None = None

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise unknown_name("scale", self.scale, SCALES)

    def on(self, claims: tuple[Claim, ...]) -> "Lab":
        """The same lab for the experiment that decides these claims."""
        return replace(self, claims=claims)

    def pick(self, *, quick: T, full: T) -> T:
        """The value for this scale.

        >>> import thalweg as tw
        >>> tw.studies.Lab("full").pick(quick=100, full=1_000)
        1000
        """
        return quick if self.scale == "quick" else full

    def seeds(self, *, quick: int, full: int, tuning: int = 0, shared_tuning: int = 0) -> Seeds:
        """Seeds to score on, as many as the scale says, and apart from them seeds to tune on.

        All are functions of the lab's seed alone: of seed s they are 1000 s, 1000 s + 1, ..., those for tuning first.

        Args:
            quick, full: how many are scored.
            tuning: how many each scored seed has of its own to tune on, so that the doubt about the choice is part of
                the interval.
            shared_tuning: how many all scored seeds share to tune on.
        """
        count = self.pick(quick=quick, full=full)
        stream = iter(range(1_000 * self.seed, 1_000 * (self.seed + 1)))
        if count + shared_tuning + count * tuning > 1_000:
            msg = f"A lab has 1,000 seeds; got {count} to score and {shared_tuning + count * tuning} to tune on."
            raise UsageError(msg)
        shared = [next(stream) for _ in range(shared_tuning)]
        own = [[next(stream) for _ in range(tuning)] for _ in range(count)]
        return Seeds([next(stream) for _ in range(count)], shared, own)

    def labelled(self, label: str) -> Watcher | None:
        """Who is told the progress, with what is being done: the claims, and the label.

        >>> import thalweg as tw
        >>> from thalweg.progress import Progress
        >>> lab = tw.studies.Lab(progress=lambda report: print(report.label))
        >>> lab.labelled("with warmup")(Progress("training", 1, 10, 0.5))
        with warmup
        """
        name, told = ", ".join([*(claim.id for claim in self.claims), label]), self.progress
        if told is None or told is automatic:
            return told
        return lambda report: told(replace(report, label=name))

    @overload
    def train(
        self,
        problem: Problem,
        recipe: Recipe,
        seeds: Sequence[int],
        label: str = "training",
        *,
        start: Starts = None,
        mask: Masks = None,
        paired: bool = False,
        examples: Tensor | ArrayLike | None = None,
        test_examples: Tensor | ArrayLike | None = None,
    ) -> Run: ...

    @overload
    def train(
        self,
        problem: Problem,
        recipe: Mapping[str, Recipe],
        seeds: Sequence[int],
        label: str = "",
        *,
        start: Starts = None,
        mask: Masks = None,
        paired: bool = False,
        examples: Tensor | ArrayLike | None = None,
        test_examples: Tensor | ArrayLike | None = None,
    ) -> dict[str, Run]: ...

    def train(
        self,
        problem: Problem,
        recipe: Recipe | Mapping[str, Recipe],
        seeds: Sequence[int],
        label: str = "",
        *,
        start: Starts = None,
        mask: Masks = None,
        paired: bool = False,
        examples: Tensor | ArrayLike | None = None,
        test_examples: Tensor | ArrayLike | None = None,
    ) -> Run | dict[str, Run]:
        """One run, or one for each arm, all with the same seeds and so the same starts and batches, by the workers.

        >>> import thalweg as tw
        >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), "cross_entropy")
        >>> arms = {name: tw.Recipe(tw.optim.SGD(lr), steps=2) for name, lr in (("slow", 0.01), ("fast", 0.1))}
        >>> runs = tw.studies.Lab().train(problem, arms, [0, 1])
        >>> {name: len(run.final) for name, run in runs.items()}
        {'slow': 2, 'fast': 2}

        Args:
            recipe: of the run, or of every arm by its name.
            label: what the progress calls it; of arms, what stands before their names.
            start, mask, paired, examples, test_examples: see `training.train`.

        Raises:
            UsageError: `Seeds` in place of a list of them; see `training.train` for all others.
        """
        if isinstance(seeds, Seeds):
            msg = "lab.train takes a list of seeds: write seeds.scored, or seeds.shared_tuning + seeds.scored."
            raise UsageError(msg)
        begin = partial(
            train,
            problem,
            seeds=seeds,
            start=start,
            mask=mask,
            paired=paired,
            examples=examples,
            test_examples=test_examples,
            workers=self.workers,
        )
        if isinstance(recipe, Recipe):
            return begin(recipe, progress=self.labelled(label or "training"))
        names = {arm: f"{label}, {arm}" if label else arm for arm in recipe}
        return {arm: begin(one, progress=self.labelled(names[arm])) for arm, one in recipe.items()}

    def reading(
        self,
        name: str,
        values: ArrayLike,
        coordinates: Mapping[str, Sequence[Any] | NDArray[Any]],
        *,
        unit: str = "",
        notes: tuple[str, ...] = (),
    ) -> Reading:
        """One array by the coordinates of its dimensions, in their order; the sample size is the number of seeds.

        >>> import thalweg as tw
        >>> reading = tw.studies.Lab().reading("loss", [[2.0, 1.0]], {"seed": [0], "step": [0, 100]}, unit="nats")
        >>> reading.dims["loss"], reading.sample_size
        (('seed', 'step'), 1)

        Args:
            name: of the reading and its array.
            values: as many dimensions as coordinates.
            coordinates: what each entry along a dimension is, by the dimension's name.
            unit: of the values.
            notes: what else a reader must know.
        """
        return Reading(
            name,
            {name: np.asarray(values)},
            {name: tuple(coordinates)},
            {dim: np.asarray(points) for dim, points in coordinates.items()},
            {name: unit} if unit else {},
            sample_size=len(coordinates["seed"]) if "seed" in coordinates else None,
            provenance=Provenance.here(self.seed, self.device),
            notes=notes,
        )

    def finding(
        self,
        interval: Interval | None = None,
        *,
        claim: Claim | None = None,
        figures: Figure | Sequence[Figure] = (),
        readings: Reading | Sequence[Reading] = (),
        sentences: Sequence[str] = (),
        numbers: Mapping[str, Any] | None = None,
        parts: Mapping[str, Interval] | None = None,
        lecture: Interval | None = None,
        ran: Mapping[str, float] | None = None,
    ) -> Finding:
        """What was found: the interval that the claim's rule judges, and what goes with it.

        Of a verdict that is undecided the last sentences say how many seeds would decide it, see `Verdict.lacking`.

        Args:
            interval: of the claim's quantity; none where its rule is `every_part()`, which judges `parts` alone.
            claim: which one, where the experiment decides several.
            numbers, parts, lecture, ran: see `Claim.judge`.
            figures, readings, sentences: see `Finding`.

        Raises:
            UsageError: see `Claim.judge`; or several claims and none named.
        """
        if claim is None:
            if len(self.claims) != 1:
                msg = f"The experiment decides {[one.id for one in self.claims]}; say which: finding(..., claim=CLAIM)."
                raise UsageError(msg)
            claim = self.claims[0]
        verdict = claim.judge(interval, numbers=numbers, parts=parts, lecture=lecture, ran=ran)
        return Finding(
            verdict,
            figures=(figures,) if isinstance(figures, Figure) else tuple(figures),
            readings=(readings,) if isinstance(readings, Reading) else tuple(readings),
            sentences=(*sentences, *verdict.lacking),
        )
