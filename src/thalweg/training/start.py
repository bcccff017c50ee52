"""Where a training run begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.population import Population
from thalweg.results import Summarized
from thalweg.sweep import Sweep, plain

UPDATES = "updates"  # the entry of a start's state that says how many updates its moments have seen


@dataclass(frozen=True)
class DataOrder:
    """The batches of which a start's step counts: of how many examples, and how many at a step."""

    examples: int
    batch_size: int

    @classmethod
    def of(cls, batch_size: int | Sweep | None, examples: int) -> "DataOrder | None":
        """That of a recipe's batch size, None being full batches; a sweep has none of its own."""
        return None if isinstance(batch_size, Sweep) else cls(examples, int(batch_size or examples))


@dataclass(frozen=True, eq=False)
class Start(Summarized):
    """Networks, what their optimizer remembers of them, and the step at which they are: where `train` can begin.

    `run.at(step)` has one of each snapshot. It is a plain value, so what is to differ is replaced (Frankle et al.,
    2020, arXiv:1912.05671, rewind weights; Renda et al., 2020, arXiv:2003.02389, the learning rate alone):

        start = run.at(200)                         weights, moments, schedule and data order of step 200
        replace(start, population=run.final)        the schedule is rewound, the weights are not
        replace(start, state=None)                  fresh moments, whose bias corrections begin anew too
        Start(start.population)                     these weights at step 0

    >>> from dataclasses import replace
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=6, batch_size=64, snapshot=(2,), snapshot_state=True)
    >>> start = tw.train(problem, recipe, seeds=3).at(2)
    >>> start.step, sorted(start.state), len(start[[0, 2]].population)
    (2, ['updates', 'velocity'], 2)
    >>> run = tw.train(problem, recipe, seeds=3, start=replace(start, state=None), paired=True)
    >>> run.history.steps.tolist()
    [2, 3, 4, 5, 6]

    Args:
        population: where the members begin.
        state: what the optimizer remembers, by name, one row a member (see `optim.updater.new_state`), and "updates":
            how many updates that comes from, (members, 1); without it as many as `step`. None: fresh moments.
        step: counted by the recipe's schedule, steps and data order; a run of 2,000 steps begun at 200 trains 1,800.
        order: the data order that `step` counts, which `train` compares with its own; None is not compared.
        examples: the training examples of each member, by index: (members, n), compared like `order`; None: all.
        test_examples: the test examples of each member, likewise, without which they would be evaluated on those that
            others hold out and they may be trained on; `train` is to be given the same, whatever the step. None: not
            compared.

    Raises:
        UsageError: arguments that cannot be meant, or a state of another number of members.
    """

    population: Population
    state: Mapping[str, Float[Tensor, "members _"]] | None = None
    step: int = 0
    order: DataOrder | None = field(default=None, repr=False)
    examples: Int64[Tensor, "members n"] | None = field(default=None, repr=False)
    test_examples: Int64[Tensor, "members n"] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_type("Start population", self.population, Population, "a Population such as run.final")
        object.__setattr__(self, "step", plain(self.step))
        if isinstance(self.step, bool) or not isinstance(self.step, int) or self.step < 0:
            msg = f"Start step must be a whole number of at least 0; got {self.step!r}."
            raise UsageError(msg)
        for name in ("examples", "test_examples"):
            table = getattr(self, name)
            if table is not None and len(table) != len(self.population):
                msg = f"The Start has {len(self.population)} members, but {name} of {len(table)}."
                raise UsageError(msg)
        if self.state is None:
            return
        check_type("Start state", self.state, Mapping, "the optimizer's matrices by name, or None for fresh moments")
        for name, matrix in self.state.items():
            if len(matrix) != len(self.population):
                msg = (
                    f"The Start has {len(self.population)} members, but its state {name!r} has {len(matrix)} rows; "
                    "write state=None for fresh moments."
                )
                raise UsageError(msg)

    def facts(self) -> dict[str, str]:
        """Members, step, and what the optimizer remembers."""
        return {
            "members": f"{len(self):,}",
            "step": f"{self.step:,}",
            "state": "fresh" if self.state is None else ", ".join(sorted(self.state)),
        }

    def __getitem__(self, members: int | slice | Sequence[int] | Tensor) -> "Start":
        """The chosen members, as `Population` chooses them."""
        rows = members if isinstance(members, slice) else torch.as_tensor(members).reshape(-1)
        state = None if self.state is None else {name: matrix[rows] for name, matrix in self.state.items()}
        tables = {
            name: None if (table := getattr(self, name)) is None else table[rows]
            for name in ("examples", "test_examples")
        }
        return replace(self, population=self.population[members], state=state, **tables)

    def __len__(self) -> int:
        return len(self.population)
