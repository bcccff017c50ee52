"""`thalweg train`: a population on one of the data sets that come with Thalweg."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from thalweg.cli import crew, output, tables
from thalweg.cli.options import NO_DEFAULT, Device, choice, number, numbers, whole, wholes
from thalweg.cli.output import JsonTarget, StoreFolder
from thalweg.cli.progress import display
from thalweg.errors import UsageError
from thalweg.progress import duration

if TYPE_CHECKING:
    from thalweg.optim import Rule
    from thalweg.population import Problem
    from thalweg.schedules import Schedule
    from thalweg.training import Run

Data = Literal["digits", "mnist1d", "modular", "text"]
Net = Literal["mlp", "convnet", "resnet", "transformer"]
Optimizer = Literal[
    "sgd",
    "momentum",
    "nesterov",
    "rmsprop",
    "adam",
    "adamw",
    "amsgrad",
    "nadam",
    "adagrad",
    "lion",
    "muon",
    "soap",
    "adafactor",
    "schedule-free-sgd",
    "schedule-free-adamw",
]
Shape = Literal["constant", "warmup", "cosine", "linear", "wsd", "restarts", "one-cycle", "inverse-sqrt"]

_HIDDEN = (128, 128)
_BOUNDS = {"fraction": (0.0, 1.0), "nats": (0.0, math.inf)}  # of what these networks are measured by, by its unit
NETS = {
    "digits": ("mlp", "convnet", "resnet"),
    "mnist1d": ("mlp", "convnet"),
    "modular": ("mlp", "transformer"),
    "text": ("transformer",),
}


@dataclass(frozen=True)
class Train:
    """Train a population: every learning rate with every seed, as one program."""

    data: Annotated[Data, choice("--data", get_args(Data))] = "digits"
    """What to learn."""
    net: Annotated[Net, choice("--net", get_args(Net))] = "mlp"
    """Which network."""
    hidden: Annotated[
        tuple[int, ...] | None, wholes("--hidden", "128 128", "widths of hidden layers", least=1), NO_DEFAULT
    ] = None
    """Widths of the hidden layers of an mlp; 128 128 when not given."""
    optimizer: Annotated[Optimizer, choice("--optimizer", get_args(Optimizer))] = "adamw"
    """The update rule."""
    lr: Annotated[tuple[float, ...], numbers("--lr", "0.001 0.01", "one or more learning rates")] = (1e-3,)
    """One or more learning rates."""
    decay: Annotated[float | None, number("--decay", 0.01), NO_DEFAULT] = None
    """Weight decay; the rule's own when not given."""
    schedule: Annotated[Shape, choice("--schedule", get_args(Shape))] = "constant"
    """How the rate changes over the steps: wsd falls over the last fifth, restarts are four cosines."""
    warmup: Annotated[int, whole("--warmup", 100, least=0)] = 0
    """Steps over which the rate rises at first."""
    batch_size: Annotated[int, whole("--batch-size", 128, least=1)] = 128
    """Examples a step."""
    clip_norm: Annotated[float | None, number("--clip-norm", 1.0), NO_DEFAULT] = None
    """Largest norm of the gradient; a longer one is scaled down to it."""
    steps: Annotated[int, whole("--steps", 1000, least=1)] = 1000
    """Updates."""
    seeds: Annotated[int, whole("--seeds", 5, least=1)] = 5
    """Members for each learning rate."""
    store: StoreFolder = None
    """A folder for checkpoints and the run; the same command goes on where it stopped."""
    name: Annotated[str | None, tyro.conf.arg(metavar="KEY", help_behavior_hint="")] = None
    """The run's key in the store."""
    json: JsonTarget = None
    """Write the history as JSON to a file, or to stdout for -."""
    device: Device = "cpu"
    workers: crew.OfTraining = None

    def __call__(self) -> int:
        """Run the verb and return its exit code."""
        if self.net not in NETS[self.data]:
            known = ", ".join(NETS[self.data])
            msg = f"The data set {self.data!r} goes with --net {known}; got {self.net!r}."
            raise UsageError(msg)
        if self.hidden is not None and self.net != "mlp":
            msg = f"--hidden is for --net mlp; the {self.net} has its own widths."
            raise UsageError(msg)
        if self.name is not None and self.store is None:
            msg = f"--name is the run's key in a store; write --store DIR with --name {self.name}."
            raise UsageError(msg)
        if len(set(self.lr)) < len(self.lr):
            again = " ".join(f"{rate:g}" for rate in dict.fromkeys(self.lr))
            msg = f"--lr names a rate twice, which would count its seeds twice; write --lr {again}, and more --seeds."
            raise UsageError(msg)
        output.check_json(self.json)
        workers = crew.of_training(self.workers, self.device)
        from thalweg.training import Recipe, train

        recipe = Recipe(
            self._rule(),
            steps=self.steps,
            batch_size=self.batch_size,
            schedule=self._schedule(),
            clip_norm=self.clip_norm,
        )
        problem = self._problem()
        there = len(problem.data.train)
        if self.batch_size > there:
            msg = f"--batch-size {self.batch_size} is more than the {there:,} examples that {self.data} trains on; "
            msg += f"for full batches write --batch-size {there}."
            raise UsageError(msg)
        try:
            with display() as screen:
                run = train(
                    problem,
                    recipe,
                    self.seeds,
                    progress=screen.watch,
                    store=self.store,
                    name=self.name,
                    workers=workers,
                )
        except KeyboardInterrupt:
            if self.store is not None:
                output.note(f"A checkpoint is in {self.store}; the same command goes on from there.")
            else:
                output.note("Nothing was kept; with --store DIR the same command would go on from where it stopped.")
            raise
        if self.json != "-":
            _summary(run, self.lr)
        if self.json is not None:
            table = run.history.table()
            rows = [dict(zip(table.columns, map(_cell, row), strict=True)) for row in table.rows]
            output.write_json(self.json, output.as_json({"recipe": recipe.describe(), "history": rows}))
        return 0

    def _rule(self) -> "Rule":
        from thalweg import sweep
        from thalweg.optim import RULES

        rate: Any = self.lr[0] if len(self.lr) == 1 else sweep.values(self.lr)
        rule = RULES[self.optimizer](lr=rate)
        return rule if self.decay is None else replace(rule, weight_decay=self.decay)

    def _schedule(self) -> "Schedule":
        from thalweg import schedules

        made: dict[str, Callable[[], Schedule]] = {
            "constant": schedules.Constant,
            "warmup": lambda: schedules.Warmup(self.warmup),
            "cosine": lambda: schedules.Cosine(self.warmup),
            "linear": lambda: schedules.Linear().warmed_up(self.warmup),
            "wsd": lambda: schedules.WSD(max(self.steps // 5, 1), self.warmup),
            "restarts": lambda: schedules.Restarts(max((self.steps - self.warmup) // 4, 1)).warmed_up(self.warmup),
            "one-cycle": schedules.OneCycle,
            "inverse-sqrt": lambda: schedules.InverseSquareRoot(max(self.warmup, 1)),
        }
        if self.warmup and self.schedule in ("constant", "one-cycle"):
            has = "has no warmup" if self.schedule == "constant" else "rises by itself"
            msg = f"The schedule {self.schedule} {has}; write --schedule warmup, cosine, linear, wsd, restarts or "
            msg += "inverse-sqrt."
            raise UsageError(msg)
        if self.schedule == "warmup" and self.warmup < 1:
            msg = f"--schedule warmup needs --warmup of at least 1 step; got {self.warmup}."
            raise UsageError(msg)
        if self.warmup > self.steps:
            msg = f"--warmup {self.warmup} is longer than --steps {self.steps}: the rate would never reach its peak."
            raise UsageError(msg)
        return made[self.schedule]()

    def _problem(self) -> "Problem":
        from thalweg import data, nets
        from thalweg.population import Problem

        def mlp(inputs: int, outputs: int) -> Callable[[], Any]:
            return lambda: nets.mlp(inputs, *(_HIDDEN if self.hidden is None else self.hidden), outputs)

        if self.data == "digits":
            models = {"mlp": mlp(64, 10), "convnet": nets.convnet, "resnet": nets.resnet}
            examples = data.digits(image=self.net != "mlp")
        elif self.data == "mnist1d":
            models = {"mlp": mlp(40, 10), "convnet": nets.convnet1d}
            examples = data.mnist1d()
        elif self.data == "modular":
            p = 59
            models = {"mlp": mlp(2 * p, p), "transformer": lambda: nets.modular_transformer(p)}
            examples = data.modular(p, encoding="one_hot" if self.net == "mlp" else "tokens")
        else:
            examples = data.text()
            models = {"transformer": lambda: nets.transformer(examples.classes or 256, 64)}
        return Problem(models[self.net], examples, device=self.device)


def _summary(run: "Run", given: tuple[float, ...]) -> None:
    """One row a learning rate: final metrics over seeds, and how many diverged."""
    import numpy as np

    from thalweg.statistics import ANYTHING, interval

    metrics = list(run.history.metrics)
    bounds = {name: _BOUNDS.get(run.history.units[name], ANYTHING) for name in metrics}
    rates = run.axes.get("lr", np.full(len(run.axes["seed"]), given[0]))
    rows = []
    for rate in np.unique(rates):
        chosen = rates == rate
        finished = chosen & (run.diverged_at < 0)
        last = {name: run.history.final(name)[finished].clip(*bounds[name]) for name in metrics}  # but for rounding
        values = [interval.mean(last[name], bounds=bounds[name]) if finished.any() else "-" for name in metrics]
        diverged = int(chosen.sum() - finished.sum())
        rows.append([f"{rate:g}", str(int(finished.sum())), str(diverged), *map(str, values)])
    names = [f"{name.replace('_', ' ')} [95 %]" for name in metrics]
    tables.table(("lr", "seeds", "diverged", *names), rows)
    output.note(f"{len(run.final)} members, {run.step:,} steps, {duration(run.seconds)}.")


def _cell(value: Any) -> Any:
    """A cell as strict JSON; a number that is not finite is one of the words NaN, Infinity, -Infinity."""
    from thalweg.storage.encoding import encode_number

    return encode_number(value) if isinstance(value, float) else value
