"""Copies of a user's module, and the reason where there can be none."""

import copy

from torch import Tensor, nn

from thalweg.errors import ModelError


def copied(module: nn.Module) -> nn.Module:
    """A copy that shares nothing with the module.

    Raises:
        ModelError: it holds a tensor that was computed with gradients, which torch does not copy; it is named.
    """
    try:
        return copy.deepcopy(module)
    except RuntimeError as error:
        held = _computed(module)
        if held is None:
            raise
        path, name = held
        whole = f"{path}.{name}".lstrip(".")
        msg = (
            f"The model cannot be copied: it holds {whole!r}, which was computed with gradients. "
            f"Where torch.nn.utils.prune did, write prune.remove(module, {name!r}) first, which keeps the zeros; "
            "where torch.nn.utils.weight_norm did, use torch.nn.utils.parametrizations.weight_norm; "
            "otherwise compute it in forward, or under torch.no_grad()."
        )
        raise ModelError(msg) from error


def _computed(module: nn.Module) -> tuple[str, str] | None:
    """The module that holds a tensor that is no leaf, and its name there."""
    for path, child in module.named_modules():
        for name, value in vars(child).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                return path, name
    return None
