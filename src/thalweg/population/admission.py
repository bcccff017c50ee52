"""Modules whose parameters cannot be rows of a matrix as they are: each refused with what to write instead."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from thalweg.errors import ModelError
from thalweg.population.holdings import places

_WRAPPERS = ("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel")


def check_admitted(module: nn.Module) -> None:
    """Raise ModelError for a compiled or wrapped module, or parameters that are complex, on meta or share memory."""
    for path, part in module.named_modules():
        _check_kind(f"The part {path!r} of the model" if path else "The model", part)
    for name, parameter in module.named_parameters():
        if parameter.is_meta and not nn.parameter.is_lazy(parameter):
            msg = f"Parameter {name!r} is on the device meta, where tensors have no numbers; build it on the CPU."
            raise ModelError(msg)
        if parameter.requires_grad and parameter.is_complex():
            msg = (
                f"Parameter {name!r} is complex, and a population holds real numbers; keep it as pairs of real ones, "
                f"nn.Parameter(torch.view_as_real(w)), and write torch.view_as_complex(self.w) in forward."
            )
            raise ModelError(msg)
        if getattr(parameter, "_post_accumulate_grad_hooks", None):
            msg = (
                f"Parameter {name!r} has a hook after its gradient is accumulated, which never happens here; write "
                "register_hook, whose hooks change gradients, or leave it out."
            )
            raise ModelError(msg)
    _check_memory(module)


def values_held(module: nn.Module) -> list[str]:
    """Paths of floating tensors, beside parameters and buffers, that were made of parameters before the call.

    They do not follow the parameters of members: views of them, and results with gradients.
    """
    trained = {id(one) for one in module.parameters()}
    memory = {_memory(one) for one in module.parameters() if one.requires_grad}
    named = trained | {id(one) for one in module.buffers()}
    found = {}
    for place in places(module):
        value = place.value
        beside = isinstance(value, Tensor) and id(value) not in named and value.is_floating_point()
        if beside and (not value.is_leaf or _memory(value) in memory):
            found.setdefault(id(value), place.path)
    return list(found.values())


def _check_kind(what: str, part: nn.Module) -> None:
    kind = type(part).__name__
    if isinstance(part, torch.jit.ScriptModule):
        msg = (
            f"{what} is a {kind}, whose tensors cannot be exchanged for those of members; pass the module that "
            "torch.jit.script or torch.jit.trace was given."
        )
        raise ModelError(msg)
    if kind == "OptimizedModule":
        msg = (
            f"{what} was made by torch.compile, which would compile anew for each member; pass the module that it got."
        )
        raise ModelError(msg)
    if kind in _WRAPPERS:
        msg = f"{what} is a {kind}, which places copies of its own; pass the module that it wraps, its .module."
        raise ModelError(msg)


def _check_memory(module: nn.Module) -> None:
    """Raise ModelError where trained parameters share memory with others that are another object."""
    held: dict[int, list[tuple[str, Tensor]]] = {}
    seen = set()
    for name, tensor in _tensors(module):
        if id(tensor) not in seen and tensor.numel():
            seen.add(id(tensor))
            held.setdefault(_memory(tensor), []).append((name, tensor))
    for sharing in held.values():
        for place, (name, tensor) in enumerate(sharing):
            for other, another in sharing[:place]:
                if (tensor.requires_grad or another.requires_grad) and _overlap(tensor, another):
                    msg = (
                        f"{other!r} and {name!r} are two tensors that share memory, so that training one changes the "
                        f"other; tie them by identity, as by module.{name} = module.{other}, or where it is a view, "
                        "keep one and take the view in forward; to be independent, one must be a clone()."
                    )
                    raise ModelError(msg)


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.layout == torch.strided and not nn.parameter.is_lazy(tensor):
            yield name, tensor


def _memory(tensor: Tensor) -> int:
    """Where its memory begins; 0 where it has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # of no elements yet, sparse, or a wrapper of other tensors
        return 0


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two views of the same memory have an element in common."""
    ends = [(view.storage_offset(), view.storage_offset() + _extent(view)) for view in (one, other)]
    if ends[0][1] <= ends[1][0] or ends[1][1] <= ends[0][0]:
        return False
    marks = torch.zeros(max(end for _, end in ends), dtype=torch.bool)
    torch.as_strided(marks, one.shape, one.stride(), one.storage_offset()).fill_(value=True)
    return bool(torch.as_strided(marks, other.shape, other.stride(), other.storage_offset()).any())


def _extent(view: Tensor) -> int:
    return 1 + sum((size - 1) * step for size, step in zip(view.shape, view.stride(), strict=True))
