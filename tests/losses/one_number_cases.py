"""Losses that give one number for a batch, as people write them: models, data and losses."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thalweg.randomness import generator

DRAW = generator(0, "one number")
COUNT, LENGTH, CLASSES = 60, 6, 5
X = torch.randn(COUNT, 4, generator=DRAW)
Y = torch.arange(COUNT) // 20  # sorted, as image folders give them
LATE = Y.masked_fill(Y == 2, -100)
CLASS = torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64)
TOKENS = torch.randint(CLASSES, (COUNT, LENGTH), generator=DRAW)
LENGTHS = torch.where(torch.arange(COUNT) < 20, LENGTH, 1 + torch.arange(COUNT) % LENGTH)  # equal ones first
KEPT = torch.arange(LENGTH) < LENGTHS[:, None]
NEXT = TOKENS.roll(-1, 1).masked_fill(~KEPT, -100)
SHARES = torch.rand(COUNT, generator=DRAW)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def single() -> nn.Module:
    return nn.Linear(4, 1)


def tokens() -> nn.Module:
    return nn.Embedding(CLASSES, CLASSES)


class Shifted(nn.Module):
    """As causal language models have it."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output[:, :-1].reshape(-1, CLASSES), target[:, 1:].reshape(-1), ignore_index=-100)


class Smoother:
    """Label smoothing of tokens by hand, with a padding mask, as trainers have it."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        log_probabilities = -F.log_softmax(output, dim=-1)
        padding = target.unsqueeze(-1).eq(-100)
        values = log_probabilities.gather(-1, target.clamp(min=0).unsqueeze(-1)).masked_fill(padding, 0.0)
        smoothed = log_probabilities.sum(-1, keepdim=True).masked_fill(padding, 0.0)
        active = padding.numel() - padding.long().sum()
        return 0.9 * values.sum() / active + 0.1 * smoothed.sum() / (active * log_probabilities.shape[-1])


def each(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.mT, target, reduction="none")


def selected(output: Tensor, target: Tensor) -> Tensor:
    return each(output, target.clamp_min(0))[target != -100].mean()


def looped(output: Tensor, target: Tensor) -> Tensor:
    """One division an example, and one in the end."""
    sums = [F.cross_entropy(one, classes, reduction="sum") / 2 for one, classes in zip(output, target, strict=True)]
    return 2 * torch.stack(sums).sum() / (target != -100).sum()


def packed(output: Tensor, target: dict[str, Tensor]) -> Tensor:
    """As recurrent networks have it."""
    flat = [
        nn.utils.rnn.pack_padded_sequence(one, target["length"].cpu(), batch_first=True, enforce_sorted=False).data
        for one in (output, target["next"])
    ]
    return F.cross_entropy(*flat)


def hinge(output: Tensor, target: Tensor) -> Tensor:
    weight = 1 + 4 * (target > 0)
    return (weight * (1 - output * target).clamp_min(0)).sum() / weight.sum()


def by_share(output: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    values = F.cross_entropy(output, target[0], reduction="none")
    return torch.dot(values, (target[1] / target[1].sum()).to(values))


def by_norm(output: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    """The division is out of sight."""
    values = F.cross_entropy(output, target[0], reduction="none")
    return torch.dot(values, F.normalize(target[1], p=1, dim=0).to(values))


def by_softmax(output: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    values = F.cross_entropy(output, target[0], reduction="none")
    return torch.dot(values, target[1].softmax(0).to(values))


def operator(output: Tensor, target: Tensor) -> Tensor:
    """Of which nothing is seen."""
    return torch.ops.aten.cross_entropy_loss(output, target)


LOSSES = {
    "class weights": (small, (X, Y), nn.CrossEntropyLoss(CLASS)),
    "class weights in a function": (small, (X, Y), lambda o, t: F.cross_entropy(o, t, weight=CLASS)),
    "class weights by hand": (
        small,
        (X, Y),
        lambda o, t: (CLASS[t] * F.cross_entropy(o, t, reduction="none")).sum() / CLASS[t].sum(),
    ),
    "negative log likelihood": (lambda: nn.Sequential(small(), nn.LogSoftmax(1)), (X, Y), nn.NLLLoss(CLASS)),
    "ignored late": (small, (X, LATE), F.cross_entropy),
    "smoothed, ignored": (small, (X, LATE), nn.CrossEntropyLoss(label_smoothing=0.1)),
    "smoothed, weighted": (small, (X, LATE), nn.CrossEntropyLoss(CLASS, label_smoothing=0.1)),
    "tokens": (tokens, (TOKENS, NEXT), lambda o, t: F.cross_entropy(o.mT, t)),
    "tokens, shifted": (tokens, (TOKENS, NEXT), Shifted()),
    "tokens, smoothed by hand": (tokens, (TOKENS, NEXT), Smoother()),
    "tokens, selected": (tokens, (TOKENS, NEXT), selected),
    "tokens over their number": (
        tokens,
        (TOKENS, NEXT),
        lambda o, t: each(o, t).sum() / (t != -100).sum().clamp(min=1),
    ),
    "tokens times one over their number": (
        tokens,
        (TOKENS, NEXT),
        lambda o, t: each(o, t).sum() * (1 / (t != -100).sum().double()),
    ),
    "tokens over a plain number": (tokens, (TOKENS, NEXT), lambda o, t: each(o, t).sum() / int((t != -100).sum())),
    "mask among the targets": (
        tokens,
        (TOKENS, (TOKENS, KEPT)),
        lambda o, t: (each(o, t[0]) * t[1]).sum() / t[1].sum(),
    ),
    "mean lengths": (
        tokens,
        (TOKENS, {"next": NEXT, "length": LENGTHS}),
        lambda o, t: each(o, t["next"]).sum(1).mean() / t["length"].double().mean(),
    ),
    "tokens, in a loop": (tokens, (TOKENS, NEXT), looped),
    "tokens, packed": (tokens, (TOKENS, {"next": NEXT, "length": LENGTHS}), packed),
    "pixels": (
        lambda: nn.Conv2d(1, 3, 1),
        (X.reshape(-1, 1, 2, 2), torch.where(X > 0.5, 255, Y[:, None]).reshape(-1, 2, 2)),
        nn.CrossEntropyLoss(CLASS, ignore_index=255),
    ),
    "weights of examples": (small, (X, (Y, SHARES)), by_share),
    "weights of examples, normalized": (small, (X, (Y, SHARES)), by_norm),
    "softmax of weights": (small, (X, (Y, 3 * SHARES)), by_softmax),
    "hinge": (single, (X, torch.where(Y > 0, 1.0, -1.0)[:, None]), hinge),
    "operator": (small, (X, LATE), operator),
}
over_losses = pytest.mark.parametrize("case", LOSSES.values(), ids=list(LOSSES))
