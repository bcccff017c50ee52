"""A hash of arrays, by which a run is known."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves


def hashed(tree: Any) -> str:
    """SHA-256 over type, shape and bytes of every array or tensor of a tree, in order.

    >>> import torch
    >>> from thalweg.training.hashed import hashed
    >>> one = torch.arange(6).reshape(2, 3)
    >>> hashed(one) == hashed(one.clone()), hashed(one) == hashed(one.reshape(3, 2))
    (True, False)
    """
    made = hashlib.sha256()
    for leaf in tree_leaves(tree):
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind not in "biufc":
            made.update(repr(leaf.tolist()).encode(errors="surrogatepass"))
            continue
        tensor = torch.as_tensor(leaf).detach().cpu().resolve_conj().resolve_neg()
        tensor = tensor.to_dense() if tensor.layout != torch.strided else tensor
        made.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        made.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return made.hexdigest()
