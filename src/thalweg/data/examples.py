"""Rows of inputs and targets, held in memory."""

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.data.trees import Tree, described, mapped, moved, named
from thalweg.errors import DataError

_ROWS_AT_ONCE = 4096  # checked for finiteness together, so that the check needs little memory


class Examples:
    """Rows of (inputs, targets): row i of every tensor belongs to example i.

    Args:
        inputs: a tensor, or a tuple or dict of tensors, each (examples, ...). Not copied.
        targets: likewise, with the same number of rows.

    Raises:
        DataError: lengths disagree, there is no row, or a value is not finite.

    >>> import torch
    >>> import thalweg as tw
    >>> examples = tw.data.Examples(torch.zeros(5, 3), torch.arange(5))
    >>> examples
    Examples(5: inputs float32 (3,), targets int64 ())
    >>> examples.take(torch.tensor([4, 0]))[1]
    tensor([4, 0])
    """

    def __init__(self, inputs: Tree, targets: Tree) -> None:
        self._length = check_lengths(inputs, targets)
        check_finite(inputs, targets)
        self.inputs: Tree = mapped(_held, inputs)
        self.targets: Tree = mapped(_held, targets)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Examples({len(self):,}: inputs {described(self.inputs)}, targets {described(self.targets)})"

    def take(self, indices: Int64[Tensor, "*shape"]) -> tuple[Tree, Tree]:
        """The rows with these indices as (inputs, targets), each tensor with leading shape `indices.shape`.

        Cost: a copy of those rows. Flattened indices, because index_select is several times faster
        than advanced indexing on a CPU.
        """
        flat = indices.reshape(-1)

        def pick(tensor: Tensor) -> Tensor:
            rows = tensor.index_select(0, flat.to(tensor.device))
            return rows.view(indices.shape + tensor.shape[1:])

        return mapped(pick, self.inputs), mapped(pick, self.targets)

    def slice(self, start: int, stop: int) -> tuple[Tree, Tree]:
        """Rows start to stop - 1 as (inputs, targets); views, nothing is copied."""
        return mapped(lambda t: t[start:stop], self.inputs), mapped(lambda t: t[start:stop], self.targets)

    def select(self, indices: Int64[Tensor, " chosen"]) -> "Examples":
        """The chosen rows, in that order, as new examples."""
        return Examples(*self.take(indices))

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "Examples":
        """The same rows on another device; floating tensors are cast, integer ones stay.

        Raises:
            DataError: a value is too large for the dtype.
        """
        return Examples(moved(self.inputs, device, dtype), moved(self.targets, device, dtype))


def _held(tensor: Tensor) -> Tensor:
    """The tensor without its graph; a copy of one that was made in inference mode, which nothing can be trained on."""
    with torch.inference_mode(mode=False):
        return tensor.clone() if tensor.is_inference() else tensor.detach()


def check_lengths(inputs: Tree, targets: Tree) -> int:
    """The common number of rows of all tensors; DataError where they disagree or there is no row."""
    leaves = [*named(inputs, "inputs"), *named(targets, "targets")]
    for name, tensor in leaves:
        if tensor.ndim == 0:
            msg = f"{name} is a single number; expected one row per example."
            raise DataError(msg)
    lengths = {name: len(tensor) for name, tensor in leaves}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
        msg = f"Inputs and targets need one row per example, but {listed}."
        raise DataError(msg)
    if not leaves or 0 in lengths.values():
        msg = "There are no examples: got 0 rows, expected at least one."
        raise DataError(msg)
    return next(iter(lengths.values()))


def check_finite(inputs: Tree, targets: Tree, indices: Int64[Tensor, " rows"] | None = None) -> None:
    """Raise DataError at a nan or infinity: in which tensor, in how many examples, and which is the first.

    Args:
        indices: what the rows are called in the message; None: their position.
    """
    for name, tensor in [*named(inputs, "inputs"), *named(targets, "targets")]:
        bad = _rows_not_finite(tensor)
        if len(bad):
            first = int(bad[0])
            value = tensor[first][~tensor[first].isfinite()].reshape(-1)[0].item()
            number = first if indices is None else int(indices[first])
            msg = (
                f"{name} is not finite in {len(bad):,} of {len(tensor):,} examples; the first is example "
                f"{number} ({value}). Repair these examples or leave them out."
            )
            raise DataError(msg)


def _rows_not_finite(tensor: Tensor) -> Tensor:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return torch.empty(0, dtype=torch.int64)
    chunks = [chunk.isfinite().reshape(len(chunk), -1).all(1) for chunk in tensor.split(_ROWS_AT_ONCE)]
    return torch.cat(chunks).logical_not().nonzero().flatten().cpu()
