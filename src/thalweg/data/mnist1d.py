"""MNIST-1D: digits as short signals, hard enough to tell a convolution from a perceptron."""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from thalweg.data.dataset import Data
from thalweg.data.examples import Examples
from thalweg.errors import UsageError, check_count
from thalweg.guard import guarded
from thalweg.randomness import isolated, whole


@guarded
def mnist1d(*, train: int = 4_000, test: int = 1_000, seed: int = 42, shuffled: bool = False) -> Data:
    """Ten templates of 12 points, padded, moved, scaled, sheared and noisy: (n, 40) float32, ten classes.

    With its defaults exactly the benchmark of the paper. Made by the `mnist1d` package on first use (a
    few seconds), then kept in the user's cache folder; nothing is downloaded, and the caller's global
    random generators are left as they were.

    Args:
        train, test: examples in each part, together a multiple of ten.
        seed: of the generator; 42 is the published data set.
        shuffled: put the 40 positions in one fixed random order, which takes locality away and nothing else.

    Source: Greydanus and Kobak, Scaling down Deep Learning with MNIST-1D, arXiv:2011.14439.

    >>> import thalweg as tw
    >>> data = tw.data.mnist1d(train=80, test=20)
    >>> len(data.train), len(data.test), data.classes
    (80, 20, 10)
    """
    check_count("mnist1d train", train)
    check_count("mnist1d test", test)
    seed, total = whole(seed), train + test
    if total % 10:
        msg = f"mnist1d train and test are together a multiple of ten; got {train} and {test}."
        raise UsageError(msg)
    inputs, targets = (tensor.clone() for tensor in _examples(total, seed, shuffled, _cache_folder()))
    order = ", positions shuffled" if shuffled else ""
    return Data(
        Examples(inputs[:train], targets[:train]),
        Examples(inputs[train:], targets[train:]),
        name="mnist1d",
        classes=10,
        notes=(f"MNIST-1D of mnist1d {_version()}, {total:,} examples (seed {seed}){order}",),
    )


@functools.cache
def _examples(total: int, seed: int, shuffled: bool, folder: Path) -> tuple[Tensor, Tensor]:
    order = "-shuffled" if shuffled else ""
    path = folder / f"mnist1d-{_version()}-{total}-{seed}{order}.safetensors"
    found = _read(path)
    if found is None:
        found = _generate(total, seed, shuffled)
        with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
            _write(path, *found)
    return found


def _generate(total: int, seed: int, shuffled: bool) -> tuple[Tensor, Tensor]:
    with isolated(0, "mnist1d"):
        from mnist1d.data import get_dataset_args, make_dataset

        defaults = vars(get_dataset_args())
        chosen = {"num_samples": total, "train_split": 1.0, "seed": seed, "shuffle_seq": shuffled}
        made = make_dataset(SimpleNamespace(**defaults | chosen))
    return torch.from_numpy(made["x"]).float().contiguous(), torch.from_numpy(made["y"]).long()


def _version() -> str:
    return importlib.metadata.version("mnist1d")


def _cache_folder() -> Path:
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return (Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache") / "thalweg"


def _digest(inputs: Tensor, targets: Tensor) -> str:
    return hashlib.sha256(inputs.numpy().tobytes() + targets.numpy().tobytes()).hexdigest()


def _read(path: Path) -> tuple[Tensor, Tensor] | None:
    """The cached tensors; None where there are none, or they are not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            inputs, targets = file.get_tensor("inputs"), file.get_tensor("targets")
            intact = (file.metadata() or {}).get("sha256") == _digest(inputs, targets)
    except (OSError, SafetensorError):
        return None
    return (inputs, targets) if intact else None


def _write(path: Path, inputs: Tensor, targets: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        save_file({"inputs": inputs, "targets": targets}, temporary, metadata={"sha256": _digest(inputs, targets)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
