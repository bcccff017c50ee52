"""Workers that are planted: they carry out pieces in this process, in an order that a test gives."""

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from thalweg.workers import Done, Place


@dataclass(frozen=True)
class Shuffled:
    """Pieces in an order drawn from a seed, each of which tells its progress."""

    seed: int = 0
    slices: int = 1
    count = 1

    def map(self, work, items, heard) -> Iterator[Done]:
        for number in random.Random(self.seed).sample(range(len(items)), len(items)):
            yield Done(number, work(items[number], functools.partial(heard, number)), Place.here())
