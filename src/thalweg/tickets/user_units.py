"""What cutting out whole units would give in time, for the user's own model."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, ThalwegError
from thalweg.population import Population, Problem
from thalweg.population.binding import call
from thalweg.tickets.policy import Policy
from thalweg.tickets.receipt_timing import latencies
from thalweg.tickets.selection import Scores, select_parts
from thalweg.tickets.slicing import sliced
from thalweg.tickets.units import Units

BATCHES = (1, 32)
_ROUNDS, _CALLS = 20, 120  # of all calls, with both networks and what is not timed
_LONGEST = 20.0  # seconds that all calls of a batch size may take
FORMS = ("dense", "sliced")


def cuttable(problem: Problem, population: Population, policy: Policy) -> tuple[list[str], list[str]]:
    """Groups of units that can be cut out, each tried by itself on one network, and why others cannot."""
    try:
        names = Units().division(problem, policy).names
    except ThalwegError as error:
        return [], [f"Units cannot be cut out: {error}"]
    can, reasons = [], []
    for name in names:
        units = problem.structure.group(name).units
        try:
            sliced(problem, population[0], {name: range(max(1, units // 2))})
        except ModelError as error:
            reasons.append(str(error))
        else:
            can.append(name)
    return can, reasons


def in_milliseconds(
    problem: Problem,
    population: Population,
    scores: Scores,
    share: Mapping[str, float],
    policy: Policy,
    examples: ExampleSet,
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Seconds of a call of the first network and of what is left of it, (forms, batches), and sentences.

    A batch size of which the calls would take too long is NaN, and the sentences say so.
    """
    allocation = Units()
    division = allocation.division(problem, policy)
    parts = select_parts(scores[:1], division, allocation.kept(division, dict(share)))[0]
    keep = {
        name: parts[division.pool == number].nonzero().flatten()
        for number, name in enumerate(division.names)
        if name in share
    }
    try:
        small = sliced(problem, population[0], keep)
    except ModelError as error:
        return {}, [f"Together they cannot be cut out: {error}"]
    seconds, words = np.full((len(FORMS), len(BATCHES)), np.nan), []
    before, after = (int(one) for one in small["parameters"])
    words.append(f"Without them {after:,} of {before:,} parameters are left.")
    modules = population.module(0).eval(), small.module(0).eval()
    with torch.no_grad():
        for column, batch in enumerate(BATCHES):
            inputs = examples.take(torch.arange(batch) % len(examples))[0]
            dense, cut = (_calling(module, inputs) for module in modules)
            one = _seconds(dense)
            if one * _CALLS > _LONGEST:
                words.append(f"A call with {batch} takes {one:.2g} s, too long to be compared; see tickets.receipt.")
                continue
            found = latencies({"dense": dense, "sliced": cut}, rounds=_ROUNDS, device=problem.device)
            seconds[:, column] = found["latency"]
            first, second = 1_000 * found["latency"]
            words.append(
                f"A call with {batch} takes {second:.3g} ms instead of {first:.3g} ms, {found['speedup'][1]:.1f}x "
                f"(at least {found.least()[1]:.1f}x)."
            )
    return {"latency": seconds}, words


def _calling(module: nn.Module, inputs: object) -> Callable[[], object]:
    return lambda: call(module, inputs)


def _seconds(work: Callable[[], object]) -> float:
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
