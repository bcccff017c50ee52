"""All bounds of trained networks side by side: what each is about, how sure it is, and whether it says anything."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.evaluation.evaluate import EXAMPLES_AT_ONCE
from thalweg.figures import Axis, Figure, ReferenceLine, Scatter
from thalweg.generalization.bounds import arguments
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.by_norms import Trained, counted, with_margins
from thalweg.generalization.bounds.gibbs import check_accuracy
from thalweg.generalization.bounds.layer_norms import layer_norms
from thalweg.generalization.bounds.margins import margins_and_outputs
from thalweg.generalization.bounds.of_checkpoint import around, unseen, written
from thalweg.generalization.bounds.overlap import check_apart
from thalweg.generalization.bounds.rows import NETWORK, BoundRow
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result, Table

_SHARE = 0.2  # of delta that the draws of a Gibbs predictor take
_LARGEST, _SMALLEST = 1e9, 1e-4  # of the axis


@dataclass(frozen=True, eq=False)
class Board(Result):
    """What `board` found.

    Args:
        reading: "bound", "error" (of the predictor that the bound is about, on its examples) and "vacuous"
            (family, member), and "training error" (member); with held-out examples also "held-out error" (member).
        rows: the families, with what each is about.
        classes: of which a guess is right in one.
    """

    rows: tuple[BoundRow, ...] = field(repr=False)
    classes: int = 2

    def row(self, family: str) -> BoundRow:
        """One family.

        Raises:
            UsageError: there is none of that name.
        """
        return self.rows[self._places(family)]

    def with_rows(self, more: Sequence[BoundRow]) -> "Board":
        """The same with further families below, such as `certificate.row` of a family that was trained for.

        Raises:
            UsageError: they are of another number of networks.
        """
        arrays = dict(self.reading.arrays)
        return _board(
            (*self.rows, *more),
            self.classes,
            arrays["training error"],
            arrays.get("held-out error"),
            self.reading.cost,
            self.reading.provenance,
            self.reading.notes,
        )

    def table(self, member: int | None = None) -> Table:
        """One row a family: what it is about, on how many examples, how sure, and what it says.

        Args:
            member: of one network; None: the median over all of them.

        Raises:
            UsageError: no such member.
        """
        bound, error = self._of("bound", member), self._of("error", member)
        vacuous = self["vacuous"] if member is None else self["vacuous"][:, [member]]
        several = vacuous.shape[1] > 1
        said = [f"{one.sum()} of {len(one)}" if several else ("yes" if one[0] else "no") for one in vacuous]
        return Table(
            {
                "family": [row.family for row in self.rows],
                "about": [row.about for row in self.rows],
                "examples": [row.examples for row in self.rows],
                "confidence": [row.confidence if not row.generous else np.nan for row in self.rows],
                "error": error,
                "bound": bound,
                "vacuous": said,
                "constants": ["dropped" if row.generous else "" for row in self.rows],
            }
        )

    def figure(self, member: int | None = None) -> Figure:
        """One row a family on a logarithmic axis, all networks as points, hollow where constants were dropped.

        Args:
            member: one network; None: all of them.

        Raises:
            UsageError: no such member.
        """
        table = self["bound"] if member is None else self["bound"][:, [self._checked(member)]]
        errors = self["training error" if "held-out error" not in self.reading.arrays else "held-out error"]
        measured = float(np.median(errors) if member is None else errors[member])
        which = "training" if "held-out error" not in self.reading.arrays else "held-out"
        every = [1.0, max(measured, _SMALLEST)]
        kinds: dict[tuple[str, bool], tuple[list[float], list[int]]] = {}
        for place, (row, values) in enumerate(zip(self.rows, table, strict=True)):
            label = "constants dropped: no bound" if row.generous else f"bound of {row.about}"
            x, y = kinds.setdefault((label, row.generous), ([], []))
            shown = np.where(values > _LARGEST, np.nan, np.maximum(values, _SMALLEST))
            every += shown.tolist()
            x += shown.tolist()
            y += [len(self.rows) - 1 - place] * len(values)
        marks = [
            Scatter(np.array(x), np.array(y), label=label, hollow=hollow) for (label, hollow), (x, y) in kinds.items()
        ]
        lines = [ReferenceLine(1.0, "vertical", label="1")]
        if measured > 0:
            lines.append(ReferenceLine(measured, "vertical", label=f"{which} error"))
        names = tuple(row.family for row in reversed(self.rows))
        count = table.shape[1]
        about = f"{count} networks, a point each. " if count > 1 else ""
        beyond = "Bounds beyond the axis are not shown. " if (table > _LARGEST).any() else ""
        return Figure.of(
            "What bounds say",
            [*marks, *lines],
            Axis("bound of the risk", scale="log", limits=(float(np.nanmin(every)) / 2, float(np.nanmax(every)) * 2)),
            Axis(names=names),
            caption=about + beyond + " ".join(self.reading.notes),
        )

    def _of(self, array: str, member: int | None) -> Array:
        return np.median(self[array], axis=1) if member is None else self[array][:, self._checked(member)]

    def _checked(self, member: int) -> int:
        count = self["bound"].shape[1]
        if not 0 <= member < count:
            msg = f"There is no member {member}; the board has {count} (0 to {count - 1})."
            raise UsageError(msg)
        return member

    def _places(self, family: str) -> int:
        names = [row.family for row in self.rows]
        if family not in names:
            msg = f"There is no family {family!r} on this board; it has {', '.join(names)}."
            raise UsageError(msg)
        return names.index(family)


def board(
    problem: Problem,
    population: Population,
    *,
    on: Sample | str | ExampleSet = "train",
    held_out: Sample | str | ExampleSet | None = None,
    initial: Population | None = None,
    more: Sequence[BoundRow] = (),
    delta: float = 0.05,
    draws: int = 300,
    seed: int = 0,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> Board:
    """Every bound that needs no further training, of each trained network, with what it is about.

    Finite class, VC (parameters as dimension, ReLU networks), cover of the parameters, Rademacher (linear models),
    Golowich, Bartlett, each also with its constants dropped; Occam with quantized weights; PAC-Bayes from where the
    networks began; hold-out. Each holds by itself with probability 1 - delta. A bound is vacuous where it is not below
    the error of a guess, 1 - 1/classes. Norms and margins, which bounds want fixed beforehand, are rounded to a grid,
    and a union over the whole grid is paid.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.Adam(0.01), steps=50, batch_size=100), seeds=1)
    >>> board = tw.generalization.bounds.board(problem, run.final, held_out="test")
    >>> bool(board.row("hold-out").bound[0] < 0.2), bool(board.row("VC, ReLU networks").vacuous(10)[0])
    (True, True)

    Args:
        problem: of classes, or yes and no, each example counting alike.
        population: trained networks; only read.
        on: the examples that they were trained on, all of them: what chose the networks is what the bounds count.
        held_out: examples that nothing was chosen by, for the hold-out bound; None: there is none.
        initial: where each member began, or one for all: then distances are from there, and PAC-Bayes has a prior.
        more: rows of families that trainings were needed for, such as `half_prior(...).row`.
        delta: the probability with which each bound may fail.
        draws: of the Gibbs predictor.
        seed: of these draws.
        plan: see `train`.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant, or held-out examples that are among those trained on.
        ModelError: answers that are not right or wrong.

    Cost: a pass for the margins, one for each of five numbers of bits, and with `initial` one for each draw. The bounds
        themselves cost next to nothing.
    """
    began = time.perf_counter()
    check_type("board problem", problem, Problem, "a Problem")
    check_type("board population", population, Population, "a Population such as run.final")
    check_type("board delta", delta, (int, float), "a number such as 0.05")
    arguments.failure("board", delta)
    check_count("board draws", draws)
    check_type("board seed", seed, int, "a whole number")
    problem.check(population)
    check_accuracy("board", problem)
    drawn = as_sample("board", on).draw(problem)
    examples = drawn.examples
    own_delta = _SHARE * delta
    notes = [f"On {drawn.text}; each bound holds by itself with probability {1 - delta:g}."]
    with watched(progress) as told:
        told(Progress("bounds", 0, 3, 0.0))
        found, decide = margins_and_outputs(problem, population, examples, plan=plan)
        classes = max(decide, 2)
        try:
            norms = layer_norms(problem, population, initial=initial)
        except ModelError as refusal:
            norms = None
            notes.append(f"{refusal} Families by norms of layers are left out.")
        told(Progress("bounds", 1, 3, time.perf_counter() - began))
        of = Trained(
            margins=found,
            lengths=_lengths(examples) if norms is not None else np.zeros(1),
            outputs=decide,
            norm=np.nan_to_num(population.theta.double().norm(dim=1).cpu().numpy(), nan=np.inf, posinf=np.inf),
            parameters=population.layout.parameters,
            bits=torch.finfo(problem.dtype).bits,
            delta=delta,
            norms=norms,
        )
        rows = [*counted(of), *with_margins(of), written(problem, population, examples, delta, plan=plan)]
        told(Progress("bounds", 2, 3, time.perf_counter() - began))
        if initial is not None:
            rows.append(
                around(
                    problem,
                    population,
                    initial,
                    examples,
                    delta - own_delta,
                    draws=draws,
                    monte_carlo_delta=own_delta,
                    seed=seed,
                    plan=plan,
                    advance=lambda done: told(Progress("bounds, draws", done, draws, time.perf_counter() - began)),
                )
            )
        unseen_error = None
        if held_out is not None:
            apart = as_sample("board held_out", held_out).draw(problem)
            check_apart("board", drawn, apart, "what is held out was trained on, and is no test")
            rows.append(unseen(problem, population, apart.examples, delta, plan=plan))
            unseen_error = rows[-1].error
    notes.append(f"Vacuous: not below {1 - 1 / classes:.2g}, the error of a guess.")
    here = Provenance.here(seed, str(problem.device), str(problem.dtype))
    cost = Cost(time.perf_counter() - began)
    return _board((*rows, *more), classes, of.error, unseen_error, cost, here, tuple(notes))


def _board(
    rows: tuple[BoundRow, ...],
    classes: int,
    error: Array,
    unseen_error: Array | None,
    cost: Cost,
    provenance: Provenance,
    notes: tuple[str, ...],
) -> Board:
    members = len(error)
    others = [row.family for row in rows if row.bound.shape != (members,)]
    if others:
        msg = f"The board is of {members} networks, and {', '.join(others)} of another number of them."
        raise UsageError(msg)
    names = [row.family for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"The board has {', '.join(twice)} already; leave it out, or give the row another name."
        raise UsageError(msg)
    table = {
        "bound": np.stack([row.bound for row in rows]),
        "error": np.stack([row.error for row in rows]),
        "vacuous": np.stack([row.vacuous(classes) for row in rows]),
    }
    single = {"training error": error} | ({} if unseen_error is None else {"held-out error": unseen_error})
    reading = Reading(
        "bounds of the risk",
        table | single,
        dict.fromkeys(table, ("family", "member")) | dict.fromkeys(single, ("member",)),
        {"family": names},
        sample_size=next((row.examples for row in rows if row.about == NETWORK), None),
        cost=cost,
        provenance=provenance,
        notes=notes,
    )
    return Board(reading, rows, classes)


def _lengths(examples: ExampleSet) -> Array:
    """The Euclidean length of every input: (examples,)."""
    found = []
    for start in range(0, len(examples), EXAMPLES_AT_ONCE):
        inputs = tree_leaves(examples.slice(start, min(start + EXAMPLES_AT_ONCE, len(examples)))[0])[0]
        found.append(inputs.double().reshape(len(inputs), -1).norm(dim=1).cpu())
    return torch.cat(found).numpy()
