"""The states of torch's global random generators."""

import torch
from torch import Tensor


def states() -> list[Tensor]:
    """Of the processor and of every GPU that is in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *gpus]


def restore(kept: list[Tensor]) -> None:
    """Put back what `states` gave."""
    torch.set_rng_state(kept[0])
    if len(kept) > 1:
        torch.cuda.set_rng_state_all(kept[1:])


def drew(before: list[Tensor]) -> bool:
    """Whether something was drawn since `states` gave this."""
    return not all(map(torch.equal, before, states()))
