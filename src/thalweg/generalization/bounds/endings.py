"""What families of one kind end with: the certificate of networks in codes, and that of draws around networks."""

import time
from collections.abc import Mapping, Sequence

from thalweg.data import ExampleSet
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.certificate import Certificate, certificate
from thalweg.generalization.bounds.drawn import Candidate, Certified
from thalweg.generalization.bounds.finite_class import occam
from thalweg.generalization.bounds.gibbs import wrong
from thalweg.generalization.bounds.rows import GIBBS, QUANTIZED
from thalweg.generalization.bounds.trainings import BoundCost, Given, Table
from thalweg.population import Plan, Population, Problem
from thalweg.results import Provenance


def of_codes(
    family: str,
    of: Given,
    problem: Problem,
    final: Population,
    lengths: Array,
    *,
    candidates: Sequence[str],
    delta: float,
    cost: BoundCost,
    began: float,
    notes: tuple[str, ...],
    plan: Plan | str,
) -> Certificate:
    """Occam's bound of every candidate and seed, by the bits of its code.

    Args:
        family: its name.
        of: the examples of the bound, and seeds.
        problem: what the networks are of, which need not be the problem that was given.
        final: the networks, all seeds of a candidate and then all of the next.
        lengths: bits, the choice among candidates included: (candidates, seeds).
        candidates: what each is called.
        delta, plan: see `random_subspace`.
        cost, began: what was said beforehand, and when it began.
        notes: beside which examples are whose.
    """
    which = [seed for _ in candidates for seed in range(len(of.seeds))]

    def errors(examples: ExampleSet, rows: Table | None) -> Array:
        return wrong(problem, final, examples, None if rows is None else rows[which], plan=plan).reshape(lengths.shape)

    found, test = errors(of.examples, of.rows), problem.data.test
    return certificate(
        family,
        QUANTIZED,
        occam(found, of.m, lengths, delta),
        found,
        sizes=("bits", lengths),
        candidates=list(candidates),
        seeds=of.seeds,
        m=of.m,
        delta=delta,
        held_out=None if test is None else (errors(test, of.test_rows), of.tested),
        cost=cost,
        seconds=time.perf_counter() - began,
        provenance=_here(of),
        notes=(of.text, *notes),
    )


def of_draws(
    family: str,
    of: Given,
    found: Certified,
    candidates: Sequence[Candidate],
    *,
    delta: float,
    cost: BoundCost,
    began: float,
    notes: tuple[str, ...] = (),
    beside: Mapping[str, Array] | None = None,
) -> Certificate:
    """The bound of networks drawn around others, of every candidate and seed.

    Args:
        family: its name.
        of: the examples of the bound, and seeds.
        found: bounds, errors and divergences.
        candidates: posteriors.
        delta: see `half_prior`.
        cost, began: what was said beforehand, and when it began.
        notes: beside which examples are whose.
        beside: what else there is of every seed.
    """
    return certificate(
        family,
        GIBBS,
        found.bounds,
        found.errors,
        sizes=("KL", found.sizes),
        candidates=[one.name for one in candidates],
        seeds=of.seeds,
        m=of.m,
        delta=delta,
        held_out=found.held_out,
        cost=cost,
        seconds=time.perf_counter() - began,
        provenance=_here(of),
        notes=(of.text, f"Each bound holds by itself with probability {1 - delta:g}.", *notes),
        beside=beside,
    )


def _here(of: Given) -> Provenance:
    return Provenance.here(of.seeds, str(of.problem.device), str(of.problem.dtype))
