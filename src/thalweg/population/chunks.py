"""Rows of a population cut into parts that are evaluated at once."""

import math

from thalweg.population.batch import Batch
from thalweg.population.looped import activations
from thalweg.population.population import Population
from thalweg.population.problem import Problem

_CACHE = 4 * 2**20  # bytes of activations that stay near the cores


def chunked(rows: slice, size: int, before: int = 0) -> list[slice]:
    """The rows in parts of `size` each, of which the last may be smaller, and the first: parts count from `before` on.

    Args:
        rows: neighbors.
        size: of a part.
        before: rows that come before these in the whole that they are cut out of.
    """
    starts = range(rows.start - before % size, rows.stop, size)
    return [slice(max(start, rows.start), min(start + size, rows.stop)) for start in starts]


def chunk_candidates(
    problem: Problem, population: Population, batch: Batch, *, training: bool, threads: int = 1
) -> list[int]:
    """As many rows as the memory budget allows, as fit the cache, and one size between; in about equal chunks."""
    row = population.layout.parameters * population.theta.element_size()  # of gradients before they are gathered
    of_one = activations(problem, population, batch, training=training)
    largest = max(1, min(len(population), problem.memory_budget // (threads * (row + of_one.peak))))
    cached = max(1, min(largest, _CACHE // (row + of_one.kept)))
    sizes = {largest, cached, round((largest * cached) ** 0.5)} - ({1} if largest > 1 else set())
    counts = {math.ceil(len(population) / size) for size in sizes}
    return sorted({math.ceil(len(population) / count) for count in counts}, reverse=True)
