"""Seed streams: every random draw is a function of (seed, purpose, counter) and of nothing else.

A member's randomness therefore never depends on who else is in the population, on the order of
execution, or on how often training was stopped and resumed.
"""

import contextlib
import functools
import hashlib
import math
import os
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import UsageError

__all__ = [
    "BatchOrder",
    "drew",
    "generator",
    "global_states",
    "global_stream",
    "isolated",
    "listed",
    "numbered",
    "restore",
    "stream_key",
    "torch_states",
    "whole",
]

# The global generators are the process's: of several threads that draw from them, one does at a time.
_DRAWING = threading.RLock()
_MOST = 10**6  # members that a number asks for


def stream_key(seed: int, purpose: str, counter: int = 0) -> int:
    """The 63-bit key of one stream: a hash of (seed, purpose, counter), so streams never overlap by design.

    >>> from thalweg.randomness import stream_key
    >>> stream_key(0, "order") == stream_key(0, "order", 0) != stream_key(1, "order")
    True
    """
    text = f"{whole(seed)}|{purpose}|{int(counter)}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: str, counter: int = 0) -> torch.Generator:
    """A fresh CPU generator at the start of the stream (seed, purpose, counter).

    Draws are always made on the CPU and moved, so that a seed means the same on every device.

    >>> import torch
    >>> from thalweg.randomness import generator
    >>> torch.randperm(5, generator=generator(0, "order"))
    tensor([0, 3, 4, 2, 1])
    """
    return torch.Generator().manual_seed(stream_key(seed, purpose, counter))


def whole(seed: object) -> int:
    """A seed as Python's own number, whichever library's it is.

    >>> import numpy as np
    >>> from thalweg.randomness import whole
    >>> whole(np.int64(7)), whole(7.0)
    (7, 7)

    Raises:
        UsageError: it is none, such as 0.7.
    """
    if isinstance(seed, int):
        return seed
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if not isinstance(seed, str) and int(seed) == seed:  # type: ignore[call-overload]
            return int(seed)  # type: ignore[call-overload]
    msg = f"A seed is a whole number; got {seed!r}."
    raise UsageError(msg)


def listed(what: str, seeds: Any, bytes_each: int = 1) -> list[int]:
    """The seeds of an argument `seeds`, one by one; 0 to n - 1 where it is a number n, whichever library's.

    >>> import numpy as np
    >>> from thalweg.randomness import listed
    >>> listed("train", np.int64(3)), listed("train", [7.0, np.int32(8)])
    ([0, 1, 2], [7, 8])

    Raises:
        UsageError: see `numbered` and `whole`.
    """
    if getattr(seeds, "ndim", 1) == 0:  # a number of NumPy or torch, which torch calls iterable
        seeds = whole(seeds.item())
    if isinstance(seeds, int | np.integer):
        return list(numbered(what, int(seeds), bytes_each))
    return [whole(seed) for seed in seeds]


def numbered(what: str, seeds: int, bytes_each: int) -> range:
    """The seeds 0 to n - 1 of `seeds=n`, which is a seed itself where there would be too many.

    >>> from thalweg.randomness import numbered
    >>> numbered("train", 3, bytes_each=4)
    range(0, 3)
    >>> numbered("train", 20240101, bytes_each=4)
    Traceback (most recent call last):
    ...
    thalweg.errors.UsageError: train seeds=20240101 asks for 20,240,101 members; write seeds=[20240101] for that one.

    Raises:
        UsageError: more than a million, or more than fit the machine's memory.
    """
    if seeds > _MOST:
        msg = f"{what} seeds={seeds} asks for {seeds:,} members; write seeds=[{seeds}] for that one."
        raise UsageError(msg)
    if seeds * bytes_each > _memory():
        msg = (
            f"{what} seeds={seeds} asks for {seeds:,} members of {_size(bytes_each)} each, {_size(seeds * bytes_each)} "
            f"in all, and this machine has {_size(_memory())}; write fewer members, and others in a further call, or "
            f"seeds=[{seeds}] for the one of that seed."
        )
        raise UsageError(msg)
    return range(seeds)


def _size(count: float) -> str:
    """Bytes in a unit of which there are at least one and fewer than a thousand."""
    unit = next((unit for unit in (1e9, 1e6, 1e3) if count >= unit), 1)
    return f"{count / unit:,.{1 if unit > 1 else 0}f} { ({1e9: 'GB', 1e6: 'MB', 1e3: 'kB'}.get(unit, 'bytes')) }"


@functools.cache
def _memory() -> float:
    """Bytes of the machine; infinite where it does not say."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names:
        return math.inf
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def global_stream(seed: int, purpose: str, counter: int = 0) -> Iterator[None]:
    """Run code that draws from torch's global generators as if it owned the stream; restore them after.

    Other threads that want a stream of these generators wait meanwhile.

    >>> import torch
    >>> from thalweg.randomness import global_stream
    >>> with global_stream(0, "initialization"):
    ...     first = torch.rand(2)
    >>> with global_stream(0, "initialization"):
    ...     second = torch.rand(2)
    >>> torch.equal(first, second)
    True
    """
    key = stream_key(seed, purpose, counter)
    with _DRAWING:
        if _accelerated():
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                torch.manual_seed(key)
                yield
            return
        # Where there is no accelerator torch.manual_seed still notes where it was called from for every kind that there
        # could be, which takes milliseconds: as long as a step of small networks.
        state = torch.get_rng_state()
        torch.default_generator.manual_seed(key)
        try:
            yield
        finally:
            torch.set_rng_state(state)


@contextlib.contextmanager
def isolated(seed: int, purpose: str, counter: int = 0) -> Iterator[None]:
    """Run code that may draw from Python's, NumPy's and torch's global generators: a `global_stream` of all three.

    Cost: a tenth of a millisecond, so not for every step.

    >>> import random
    >>> from thalweg.randomness import isolated
    >>> def drawn(seed):
    ...     with isolated(seed, "initialization"):
    ...         return random.random()
    >>> drawn(0) == drawn(0) != drawn(1)
    True
    """
    key = stream_key(seed, purpose, counter)
    with global_stream(seed, purpose, counter):
        ours, theirs = random.getstate(), np.random.get_state()  # noqa: NPY002
        try:
            random.seed(key)
            np.random.seed(key % 2**32)  # noqa: NPY002
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(theirs)  # noqa: NPY002


def torch_states() -> list[Tensor]:
    """Of torch's global generators: the processor's, and those of GPUs where there are any.

    >>> from thalweg.randomness import torch_states
    >>> torch_states()[0].dtype
    torch.uint8
    """
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())]


def restore(states: Sequence[Tensor]) -> None:
    """Put back what `torch_states` gave.

    >>> import torch
    >>> from thalweg.randomness import restore, torch_states
    >>> before = torch_states()
    >>> drawn = torch.rand(2)
    >>> restore(before)
    >>> torch.equal(drawn, torch.rand(2))
    True
    """
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])


def drew(before: Sequence[Tensor]) -> bool:
    """Whether torch's global generators are elsewhere than when `torch_states` gave this.

    >>> import torch
    >>> from thalweg.randomness import drew, torch_states
    >>> before = torch_states()
    >>> drew(before)
    False
    >>> _ = torch.rand(2)
    >>> drew(before)
    True
    """
    return not all(map(torch.equal, before, torch_states()))


def global_states() -> tuple[Any, ...]:
    """Of Python's, NumPy's and torch's global generators on the processor, to be compared.

    >>> from thalweg.randomness import global_states
    >>> global_states() == global_states()
    True
    """
    arrays: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    numpy_state = (arrays["state"]["key"].tobytes(), arrays["state"]["pos"], arrays["has_gauss"])
    return random.getstate(), numpy_state, torch.get_rng_state().numpy().tobytes()


@functools.cache
def _accelerated() -> bool:
    return torch.accelerator.is_available()


class BatchOrder:
    """Which examples batch k holds: a function of (seed, k), by epochs without replacement.

    Each epoch is one permutation of the examples from the stream (seed, "order", epoch); an
    incomplete last batch of an epoch is dropped, as most training code does. Members with the
    same seed see the same batches, which pairs the arms of a comparison.

    Args:
        seeds: one per member.
        examples: size of the training set.
        batch_size: examples per batch, at most `examples`.
        shared: whether one row of indices stands for all; None: where all seeds are equal.

    >>> from thalweg.randomness import BatchOrder
    >>> order = BatchOrder(seeds=[0, 1], examples=10, batch_size=4)
    >>> order.batches_per_epoch, order.indices(step=0).shape
    (2, torch.Size([2, 4]))
    """

    def __init__(self, seeds: list[int], examples: int, batch_size: int, *, shared: bool | None = None) -> None:
        self.seeds = list(seeds)
        self.examples = examples
        self.batch_size = batch_size
        self.batches_per_epoch = examples // batch_size
        self._unique = sorted(set(self.seeds))
        self._which = torch.tensor([self._unique.index(seed) for seed in self.seeds])
        self.shared = len(self._unique) == 1 if shared is None else shared
        self._epoch = -1
        self._orders = torch.empty(0)

    def indices(self, step: int) -> Tensor:
        """Indices of the batch of `step` (counted from 0): (members, batch) int64, or (1, batch) where all share it."""
        if self.batch_size == self.examples:  # all of them, in whatever order: nothing to draw
            return torch.arange(self.examples).unsqueeze(0)
        epoch, k = divmod(step, self.batches_per_epoch)
        if epoch != self._epoch:
            self._orders = torch.stack(
                [torch.randperm(self.examples, generator=generator(seed, "order", epoch)) for seed in self._unique]
            )
            self._epoch = epoch
        batch = self._orders[:, k * self.batch_size : (k + 1) * self.batch_size]
        return batch if self.shared else batch[self._which]
