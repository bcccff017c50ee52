"""Linear layers that multiply by a sparse matrix, in the place of a model's own."""

import copy
import warnings
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

_BLOCKS = (32, 16, 8, 4)  # sides that are tried
_SPARSE = 0.5  # share of numbers, or of blocks, that may be there at most


class SparseLinear(nn.Module):
    """W x + b with W sparse and on the left: (W X^T)^T + b; for calls, as torch has not all gradients of it.

    Args:
        weight: (outputs, inputs) in CSR or BSR.
        bias: (outputs,), or None.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.out_features, self.in_features = weight.shape

    def __deepcopy__(self, memo: dict[int, object]) -> "SparseLinear":
        """A copy with numbers of its own; torch does not copy sparse tensors by itself."""
        own = SparseLinear(self.weight.clone(), None if self.bias is None else self.bias.clone())
        memo[id(self)] = own
        return own.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        rows = (self.weight @ x.reshape(-1, self.in_features).T).T
        rows = rows if self.bias is None else rows + self.bias
        return rows.view(*x.shape[:-1], self.out_features) if x.ndim != 2 else rows


def in_csr(module: nn.Module) -> nn.Module:
    """A copy with every sparse linear layer in CSR with indices of 32 bits, which MKL takes as they are.

    Raises:
        ValueError: no layer is sparse; the text says so.
    """
    return _replaced(module, _csr, "no linear layer of its own has half of its weights at zero")


def in_bsr(module: nn.Module) -> nn.Module:
    """A copy with every linear layer that has empty blocks in BSR, with the largest blocks of which half are empty.

    Raises:
        ValueError: no layer has that many empty blocks; the text says so.
    """
    return _replaced(module, _bsr, "no linear layer has half of its blocks (4 x 4 or larger) at zero")


def in_two_of_four(module: nn.Module) -> nn.Module:
    """A copy with every linear layer of which each four weights in a row have two zeros in the form of CUDA's kernels.

    Raises:
        ValueError: not on CUDA, or no such layer; the text says so.
    """
    if next(module.parameters()).device.type != "cuda":
        msg = "torch has kernels for two of four weights on CUDA only"
        raise ValueError(msg)
    return _replaced(module, _two_of_four, "no linear layer has two zeros in each four weights")


def _csr(layer: nn.Linear) -> nn.Module | None:
    weight = layer.weight.detach()
    if weight.count_nonzero() > _SPARSE * weight.numel():
        return None
    sparse = weight.to_sparse_csr()
    parts = sparse.crow_indices().int(), sparse.col_indices().int(), sparse.values()
    return SparseLinear(torch.sparse_csr_tensor(*parts, size=weight.shape), _bias(layer))


def _bsr(layer: nn.Linear) -> nn.Module | None:
    weight = layer.weight.detach()
    for side in _BLOCKS:
        if weight.shape[0] % side == 0 and weight.shape[1] % side == 0:
            blocks = weight.unflatten(1, (-1, side)).unflatten(0, (-1, side)).abs().amax((1, 3))
            if blocks.count_nonzero() <= _SPARSE * blocks.numel():
                return SparseLinear(weight.to_sparse_bsr((side, side)), _bias(layer))
    return None


def _two_of_four(layer: nn.Linear) -> nn.Module | None:
    weight = layer.weight.detach()
    if weight.shape[1] % 4 or (weight.unflatten(1, (-1, 4)) != 0).sum(2).max() > 2:
        return None
    changed = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device=weight.device)
    changed.weight = nn.Parameter(torch.sparse.to_sparse_semi_structured(weight), requires_grad=False)
    changed.bias = layer.bias
    return changed


def _bias(layer: nn.Linear) -> Tensor | None:
    return None if layer.bias is None else layer.bias.detach()


def _replaced(module: nn.Module, made: Callable[[nn.Linear], nn.Module | None], otherwise: str) -> nn.Module:
    """A copy with others in the place of linear layers whose weight has no second use."""
    module = copy.deepcopy(module)
    uses = Counter(id(tensor) for _, tensor in module.named_parameters(remove_duplicate=False))
    found: dict[int, nn.Module | None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that sparse layouts are in beta
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear and "weight" in child._parameters and uses[id(child.weight)] == 1:
                    new = found.setdefault(id(child), made(child))
                    if new is not None:
                        setattr(parent, name, new)
    if not any(found.values()):
        raise ValueError(otherwise)
    return module
