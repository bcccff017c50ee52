"""Workers in this process, for tests: what they are sent is packed as for others, and they end in any order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np

from thalweg.progress import Progress
from thalweg.workers import Done, Heard, Place, Work


@dataclass
class Shuffled:
    """So many slices, trained here one after the other in an order drawn by a seed."""

    slices: int = 3
    seed: int = 0

    def map(self, work: Work, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
        for number in np.random.default_rng(self.seed).permutation(len(items)).tolist():
            there, item = cloudpickle.loads(cloudpickle.dumps((work, items[number])))

            def tell(progress: Progress, number: int = number) -> None:
                heard(number, progress)

            yield Done(number, cloudpickle.loads(cloudpickle.dumps(there(item, tell))), Place.here())
