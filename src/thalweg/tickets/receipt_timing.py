"""How long calls take, fairly: interleaved, each after a warm-up of its own, medians."""

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError, check_count, check_type
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import student_t

_CALLS = 2  # timed ones, after one that is not
_TICK = 1e-9  # seconds, no call takes less


@dataclass(frozen=True, eq=False)
class Latencies(Result):
    """What `latencies` returns: how long each arm takes, beside the first.

    Args:
        reading: "latency", "fastest" (arm): median and minimum over rounds of the seconds a call takes; "log speedup"
            (block, arm): median over the rounds of a block of the logarithm of how many times faster it is than the
            first arm; "speedup" (arm): how many times over all rounds.
    """

    @classmethod
    def of(
        cls, arms: Sequence[str], seconds: ArrayLike, *, blocks: int = 10, device: str | torch.device = "cpu"
    ) -> "Latencies":
        """What times that were taken say, of whatever clock.

        >>> import thalweg as tw
        >>> found = tw.tickets.Latencies.of(["dense", "small"], [[2.0, 1.0]] * 10 + [[8.0, 4.0]] * 10)
        >>> found["latency"].tolist(), found["fastest"].tolist(), found["speedup"].round(6).tolist()
        ([5.0, 2.5], [2.0, 1.0], [1.0, 2.0])

        Args:
            arms: their names, the reference first.
            seconds: of a call, (rounds, arms), above 0.
            blocks: into which the rounds are split.
            device: where they were taken.

        Raises:
            UsageError: another shape, fewer than two rounds a block, or times that are not above 0.
        """
        names, table = list(arms), np.asarray(seconds, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != len(names) or len(table) < 2 * blocks or not (table > 0).all():
            msg = f"Latencies are times above 0 of {len(names)} arms in at least {2 * blocks} rounds, as (rounds, arms)"
            msg += f"; got {table.shape}."
            raise UsageError(msg)
        logs = np.log(table[:, :1]) - np.log(table)
        reading = Reading(
            "latency",
            {
                "latency": np.median(table, 0),
                "fastest": table.min(0),
                "speedup": np.exp(np.median(logs, 0)),
                "log speedup": np.array([np.median(part, 0) for part in np.array_split(logs, blocks)]),
            },
            dict.fromkeys(("latency", "fastest", "speedup"), ("arm",)) | {"log speedup": ("block", "arm")},
            {"arm": names},
            {"latency": "s", "fastest": "s"},
            sample_size=len(table),
            cost=Cost(float(table.sum()) * (1 + _CALLS)),
            provenance=Provenance.here(None, str(device)),
            notes=(f"Medians of {len(table)} interleaved rounds on {torch.get_num_threads()} threads.",),
        )
        return cls(reading)

    @property
    def arms(self) -> list[str]:
        """Their names, the reference first."""
        return self.reading.coordinate("arm").tolist()

    def least(self, level: float = 0.95) -> NDArray[np.float64]:
        """The lower ends of two-sided intervals of the speed-ups, by Student's t over blocks on the logarithm: (arms,).

        >>> import thalweg as tw
        >>> arms = {"few": lambda: sum(range(100)), "many": lambda: sum(range(10_000))}
        >>> found = tw.tickets.latencies(arms, rounds=20)
        >>> found.least().shape, bool(found.least()[1] < 1)
        ((2,), True)
        """
        logs = self["log speedup"]
        error = logs.std(0, ddof=1) / math.sqrt(len(logs))
        return np.exp(logs.mean(0) - student_t.reach(len(logs), level) * error)


def latencies(
    arms: Mapping[str, Callable[[], object]], *, rounds: int = 40, blocks: int = 10, device: str | torch.device = "cpu"
) -> Latencies:
    """How long calls take, interleaved so that a busy machine is busy for all of them alike.

        speed-up = exp(median over rounds of log(seconds of the first arm / seconds of the arm))

    Every round calls every arm, in the opposite order each second round: once unmeasured, as the arm before has filled
    the caches, and twice measured. Blocks of rounds are what an interval is over.

    >>> import thalweg as tw
    >>> found = tw.tickets.latencies({"few": lambda: sum(range(100)), "many": lambda: sum(range(10_000))}, rounds=20)
    >>> found.arms, bool(found["speedup"][1] < 0.5)
    (['few', 'many'], True)

    Args:
        arms: functions without arguments by name; the first is the reference.
        rounds: at least two a block.
        blocks: into which the rounds are split.
        device: on which they run; of CUDA each is waited for.

    Raises:
        UsageError: fewer than two rounds a block, or no arms.

    Cost: three calls of each arm a round.
    """
    check_type("latencies arms", arms, Mapping, "functions by name, such as {'dense': lambda: net(x)}")
    check_count("latencies blocks", blocks, 2)
    check_count("latencies rounds", rounds, 2 * blocks)
    if not arms:
        msg = "latencies needs at least one function to call; got none."
        raise UsageError(msg)
    names, device = list(arms), torch.device(device)
    seconds = np.zeros((rounds, len(names)))
    for number in range(rounds):
        order = range(len(names)) if number % 2 == 0 else reversed(range(len(names)))
        for arm in order:
            call = arms[names[arm]]
            call()
            _wait(device)
            start = time.perf_counter()
            for _ in range(_CALLS):
                call()
            _wait(device)
            seconds[number, arm] = max(time.perf_counter() - start, _TICK) / _CALLS
    return Latencies.of(names, seconds, blocks=blocks, device=device)


def machine() -> str:
    """What a time was taken on, in words: processor, threads, torch, and what multiplies matrices.

    >>> from thalweg.tickets.receipt_timing import machine
    >>> "threads" in machine(), "BLAS" in machine()
    (True, True)
    """
    here, found = Provenance.here(), re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    of = f"{torch.get_num_threads()} threads, torch {torch.__version__}, BLAS {found.group(1) if found else 'unknown'}"
    return f"{here.cpu}, {of}" if here.cpu else of


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
