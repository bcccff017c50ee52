"""Mechanisms that modules are made of: normalizations, sharing, parametrizations, frozen parts, draws."""

import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from foreign.harness import Case, Refused, assert_as_plain, double, integers, normal  # noqa: F401
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

X, TOKENS, IMAGES = normal(4), integers(6, 3), normal(2, 4, seed=4)


class Checkpointed(nn.Module):
    """Activations that the backward pass computes again."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(checkpoint(self.body, x, use_reentrant=False)))


class Dropping(nn.Module):
    """Dropout, and a frozen body in front."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop, self.head = nn.Linear(4, 6).requires_grad_(False), nn.Dropout(0.4), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(torch.tanh(self.body(x))))


class Embedded(nn.Module):
    """An embedding whose gradient may be sparse, and whose padding row may stay."""

    def __init__(self, *, sparse: bool = False, padding: int | None = None, max_norm: float | None = None) -> None:
        super().__init__()
        self.table, self.head = (
            nn.Embedding(6, 4, padding_idx=padding, sparse=sparse, max_norm=max_norm),
            nn.Linear(4, 3),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.table(tokens)).mean(1))


class Quantized(nn.Module):
    """Quantization-aware training: weights are rounded, gradients go straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.first.weight
        rounded = weight + (torch.round(weight * 8) / 8 - weight).detach()
        return self.second(torch.tanh(F.linear(x, rounded, self.first.bias)))


class Residual(nn.Module):
    """A normalized branch, scaled by one number (ReZero)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(4, 4), norm, nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.scale * torch.tanh(self.norm(self.first(x))))


class Shared(nn.Module):
    """One layer called three times (a recurrence in depth)."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = x + torch.tanh(self.step(x))
        return self.head(x)


class Experts(nn.Module):
    """A gate that mixes the two best of three experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(4, 3), nn.ModuleList(nn.Linear(4, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        best = self.gate(x).topk(2, -1)
        weights = torch.zeros_like(self.gate(x)).scatter(-1, best.indices, best.values.softmax(-1))
        return (torch.stack([expert(x).tanh() for expert in self.experts], -1) * weights.unsqueeze(-2)).sum(-1)


class Bilinear(nn.Module):
    """Two inputs in one product."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.head = nn.Bilinear(2, 3, 4), nn.Linear(4, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.tanh(self.both(left, right)))


class Maxout(nn.Module):
    """The largest of several linear pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pieces(x).unflatten(-1, (4, 3)).amax(-1))


class Folded(nn.Module):
    """Weights that are folded when the mode is set, as for inference."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.scale = nn.Linear(4, 3), nn.Parameter(torch.ones(3))
        self.folded: Tensor | None = None

    def train(self, mode: bool = True) -> "Folded":
        self.folded = None if mode else (self.scale[:, None] * self.first.weight).detach()
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.scale[:, None] * self.first.weight if self.folded is None else self.folded
        return F.linear(x, weight, self.first.bias)


def normalized(kind: str) -> nn.Module:
    apply = {"weight": parametrizations.weight_norm, "orthogonal": parametrizations.orthogonal}[kind]
    return nn.Sequential(apply(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 3))


def instance_normed() -> nn.Module:
    return nn.Sequential(nn.InstanceNorm1d(2, affine=True), nn.Flatten(), nn.Linear(8, 3))


def bagged() -> nn.Module:
    return nn.Sequential(nn.EmbeddingBag(6, 4, mode="sum"), nn.Tanh(), nn.Linear(4, 3))


def spectral() -> nn.Module:
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3))


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)))


FIRST = ("gauss_newton", "fisher")
FORMULA = "no second derivative that can be trusted.*write it by its formula"
DETACHED = "no second derivative that can be trusted.*it is a detach"
BAG = "_embedding_bag_backward.*write it by its formula"
CASES = [
    Case("activations computed again", Checkpointed, X, alone="cannot be stacked"),
    Case("dropout before a frozen body", Dropping, X, draws=True),
    Case("sparse embedding", lambda: Embedded(sparse=True), TOKENS),
    Case("embedding with a padding row", lambda: Embedded(padding=0), TOKENS, alone="padding_idx"),
    Case(
        "straight-through rounding",
        Quantized,
        X,
        matrices=FIRST,
        without=DETACHED,
    ),
    Case(
        "weight norm",
        lambda: normalized("weight"),
        X,
        matrices=FIRST,
        without=FORMULA,
    ),
    Case("orthogonal weights", lambda: normalized("orthogonal"), X),
    Case("spectral norm", spectral, X, alone="cannot be stacked"),
    Case("group norm, and a residual branch that is scaled from 0", lambda: Residual(nn.GroupNorm(2, 4)), X),
    Case("layer norm", lambda: Residual(nn.LayerNorm(4)), X),
    Case("batch norm", lambda: Residual(nn.BatchNorm1d(4)), X),
    Case(
        "instance norm", lambda: nn.Sequential(nn.InstanceNorm1d(2, affine=True), nn.Flatten(), nn.Linear(8, 3)), IMAGES
    ),
    Case("one layer called three times", Shared, X),
    Case("mixture of experts", Experts, X),
    Case("a sum over a bag", bagged, TOKENS, matrices=(), without=BAG),
    Case("bilinear", Bilinear, (normal(2, seed=5), normal(3, seed=6))),
    Case("maxout", Maxout, X),
]
REFUSED = [
    Refused("ScriptModule", scripted, X, "RecursiveScriptModule.*pass the module that torch.jit.script"),
    Refused("max_norm", lambda: Embedded(max_norm=0.1), TOKENS, "writes into its parameter.*leave max_norm out"),
    Refused(
        "batch statistics in evaluation",
        lambda: nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)),
        X,
        "depends on the other examples.*track_running_stats=True",
    ),
    Refused("weights that are folded", Folded, X, "does not compute with the parameters.*Compute them in forward"),
    Refused("lazy layers", lambda: nn.LazyLinear(3), X, "run the model once on an example first"),
    Refused("half precision", lambda: nn.Linear(4, 3).bfloat16(), X, "too coarse.*write dtype=torch.float32"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layers(case: Case, tmp_path: Path) -> None:
    assert_as_plain(case, tmp_path)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_layers_that_are_refused(case: Refused) -> None:
    case.assert_refused()
