"""Real handwritten digits, small enough to train a thousand networks on."""

import functools
from typing import Any

import torch

from thalweg.data.dataset import Data
from thalweg.data.examples import Examples
from thalweg.guard import guarded
from thalweg.randomness import stream_key

_TEST = 360


@guarded
def digits(*, image: bool = False, seed: int = 0) -> Data:
    """The 1,797 handwritten digits that come with scikit-learn: 8x8 pixels in 0..1, ten classes.

    Split 1,437 / 360 with every class in proportion.

    Args:
        image: True for inputs (n, 1, 8, 8); False for (n, 64). float32.
        seed: of the split, the stream (seed, "digits split").

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (doi:10.24432/C50P49).

    >>> import thalweg as tw
    >>> data = tw.data.digits()
    >>> len(data.train), len(data.test), data.classes
    (1437, 360, 10)
    """
    from sklearn.model_selection import train_test_split

    bunch = _read()
    inputs = torch.from_numpy(bunch.data / 16).float()
    targets = torch.from_numpy(bunch.target).long()
    if image:
        inputs = inputs.view(-1, 1, 8, 8)
    train, test = train_test_split(
        torch.arange(len(targets)).numpy(),
        test_size=_TEST,
        stratify=bunch.target,
        random_state=stream_key(seed, "digits split") % 2**32,
    )
    return Data(
        Examples(inputs[train], targets[train]),
        Examples(inputs[test], targets[test]),
        name="digits",
        classes=10,
        notes=(f"scikit-learn's handwritten digits, stratified split (seed {seed})",),
    )


@functools.cache
def _read() -> Any:
    """The table as it is read from its file, once; sets hold copies of its rows."""
    from sklearn.datasets import load_digits

    return load_digits()
