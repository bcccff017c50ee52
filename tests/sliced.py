"""Workers in this process, for tests: what they are sent is packed as for others, and they end in any order.

Besides, models that are killed or fail: a worker imports them from here.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
from torch import nn

from thalweg.progress import Progress
from thalweg.workers import Done, Heard, Place, Work


@dataclass
class Shuffled:
    """So many slices, trained here one after the other in an order drawn by a seed."""

    slices: int = 3
    seed: int = 0
    count = 1

    def map(self, work: Work, items: Sequence[Any], heard: Heard) -> Iterator[Done]:
        for number in np.random.default_rng(self.seed).permutation(len(items)).tolist():
            there, item = cloudpickle.loads(cloudpickle.dumps((work, items[number])))

            def tell(progress: Progress, number: int = number) -> None:
                heard(number, progress)

            yield Done(number, cloudpickle.loads(cloudpickle.dumps(there(item, tell))), Place.here())


class Killing(nn.Module):
    """A model in whose forward the process is killed once, which a file tells of."""

    def __init__(self, flag):
        super().__init__()
        self.layer, self.flag, self.calls = nn.Linear(6, 3), flag, 0

    def forward(self, x):
        if os.getpid() != int(os.environ["DRIVER"]) and self.training:
            self.calls += 1
            if self.calls > 60 and not Path(self.flag).exists():
                Path(self.flag).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(x)


class Failing(nn.Module):
    """Fails in one member late in the run."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(6, 3), 0

    def forward(self, x):
        self.calls += self.training
        if self.calls > 90:
            raise RuntimeError("no more of this")
        return self.layer(x)
