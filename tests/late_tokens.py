"""Models that are wrong where members are stacked, for a token that comes late, and their data."""

import torch
from torch import Tensor, nn

from thalweg.randomness import BatchOrder

RARE, MEMBERS, STEPS, SIZE = 9, 6, 64, 32


def stacked_now() -> bool:
    """Whether the call is one of vmap's; other transforms of torch.func do as the plain module does."""
    stack = torch._C._functorch.get_interpreter_stack() or ()
    return any(one.key() == torch._C._functorch.TransformType.Vmap for one in stack)


class Late(nn.Module):
    """Stacked, it takes the row of a rare token for a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(10, 6), nn.Linear(6, 3)

    def rows(self, tokens: Tensor) -> Tensor:
        rows = self.embed(tokens)
        return torch.where((tokens == RARE).unsqueeze(-1), rows.detach(), rows) if stacked_now() else rows

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(self.rows(tokens)).mean(1))


class Right(Late):
    """As it is meant."""

    def rows(self, tokens: Tensor) -> Tensor:
        return self.embed(tokens)


class Loud(Late):
    """Stacked, it has another output where the rare token is seen, in evaluation only."""

    def rows(self, tokens: Tensor) -> Tensor:
        rows = self.embed(tokens)
        wrong = stacked_now() and not self.training
        return torch.where((tokens == RARE).unsqueeze(-1), 2 * rows, rows) if wrong else rows


class Counting(Late):
    """A buffer is counted wrongly where members are stacked."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def rows(self, tokens: Tensor) -> Tensor:
        if self.training:
            rare = (tokens == RARE).sum()
            self.seen += torch.zeros_like(rare) if stacked_now() else rare
        return self.embed(tokens)


def late_data(share: int = 40) -> tuple[Tensor, Tensor]:
    """Texts with a rare token that no member sees in its first batch."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, RARE, (512, 4), generator=draw)
    first = {i for seed in range(MEMBERS) for i in BatchOrder([seed], 512, SIZE).indices(0)[0].tolist()}
    tokens[[i for i in range(512) if i not in first][:share], 2:] = RARE
    return tokens, torch.randint(3, (512,), generator=draw)
