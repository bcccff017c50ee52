"""All bounds of trained networks side by side: what each is about, how sure it is, and whether it says anything."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.evaluation.batch_size import EXAMPLES_AT_ONCE
from thalweg.generalization.bounds import arguments
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.by_norms import Trained, counted, with_margins
from thalweg.generalization.bounds.gibbs import check_accuracy
from thalweg.generalization.bounds.layer_norms import layer_norms
from thalweg.generalization.bounds.margins import margins_and_outputs
from thalweg.generalization.bounds.of_checkpoint import around, measured_bits, unseen, written
from thalweg.generalization.bounds.overlap import check_apart
from thalweg.generalization.bounds.posted import Board, posted
from thalweg.generalization.bounds.rows import BoundRow
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance

_SHARE = 0.2  # of delta that the draws of a Gibbs predictor take


@guarded
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
        UsageError: arguments that cannot be meant, held-out examples that are among those trained on, or `initial`
            that is the trained networks themselves: that prior has seen the examples.
        ModelError: answers that are not right or wrong.

    Cost: a pass for the margins, one for each of five numbers of bits, and with `initial` one for each draw and 20 more
        to choose the size of the noise. The bounds themselves cost next to nothing.
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
        else:
            notes.append("The cover takes inputs to be no longer than the longest of these.")
        told(Progress("bounds", 1, 3, time.perf_counter() - began))
        of = Trained(
            margins=found,
            lengths=_lengths(examples) if norms is not None else np.zeros(1),
            outputs=decide,
            norm=np.nan_to_num(population.theta.double().norm(dim=1).cpu().numpy(), nan=np.inf, posinf=np.inf),
            parameters=population.layout.parameters,
            bits=population.layout.parameters * torch.finfo(problem.dtype).bits + measured_bits(population),
            delta=delta,
            norms=norms,
        )
        rows = [*counted(of), *with_margins(of), written(problem, population, examples, delta, plan=plan)]
        told(Progress("bounds", 2, 3, time.perf_counter() - began))
        if initial is not None and measured_bits(population):
            notes.append("PAC-Bayes is left out: layers measured running statistics, of which there is no prior.")
        elif initial is not None:
            _check_began(population, initial)
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
                    advance=lambda done, total: told(
                        Progress("bounds, draws", done, total, time.perf_counter() - began)
                    ),
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
    return posted((*rows, *more), classes, of.error, unseen_error, cost, here, tuple(notes))


def _check_began(population: Population, initial: Population) -> None:
    """Raise UsageError where networks are given as their own beginning: a prior that saw all that the bound counts."""
    if torch.equal(population.theta, initial.theta.to(population.theta).expand_as(population.theta)):
        msg = (
            "board initial is where each network began, before it saw the examples, and here it is the networks "
            "themselves, whose bound would not hold; write initial=problem.initialize(seeds), or leave it out."
        )
        raise UsageError(msg)


def _lengths(examples: ExampleSet) -> Array:
    """The Euclidean length of every input: (examples,)."""
    found = []
    for start in range(0, len(examples), EXAMPLES_AT_ONCE):
        inputs = tree_leaves(examples.slice(start, min(start + EXAMPLES_AT_ONCE, len(examples)))[0])[0]
        found.append(inputs.double().reshape(len(inputs), -1).norm(dim=1).cpu())
    return torch.cat(found).numpy()
