"""Small foreign models with data, as users bring them: what every part of the core must be able to hold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thalweg.population import Problem

EXAMPLES, CLASSES = 24, 3


@dataclass(frozen=True)
class Case:
    """A model factory, its data (inputs, targets) and loss."""

    name: str
    model: Callable[[], nn.Module]
    inputs: Any
    targets: Any
    loss: Any = "cross_entropy"
    stochastic: bool = False
    stackable: bool = True

    def problem(self, **changes: Any) -> Problem:
        options = {"model": self.model, "data": (self.inputs, self.targets), "loss": self.loss} | changes
        return Problem(options.pop("model"), options.pop("data"), **options)

    def double(self) -> "Case":
        return replace(self, model=lambda: self.model().double())


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.norm(self.conv(x))).mean((2, 3)))


class Tied(nn.Module):
    """A tiny language model whose output shares the embedding's matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.out = nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(self.mix(self.embed(tokens))))


class Named(nn.Module):
    """Takes its inputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, CLASSES), nn.Linear(2, CLASSES)

    def forward(self, *, wide: Tensor, narrow: Tensor) -> Tensor:
        return torch.tanh(self.left(wide)) * self.right(narrow)


class Two(nn.Module):
    """Takes two inputs in order."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, CLASSES), nn.Linear(2, CLASSES)

    def forward(self, wide: Tensor, narrow: Tensor) -> Tensor:
        return torch.tanh(self.left(wide)) * self.right(narrow)


class Pair(nn.Module):
    """Returns a mean and a log-variance."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.log_variance = nn.Linear(4, 5), nn.Linear(5, 2), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.tanh(self.body(x))
        return self.mean(hidden), self.log_variance(hidden)


class Labeled(Pair):
    """The same under names."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mean, log_variance = super().forward(x)
        return {"mean": mean, "log_variance": log_variance}


def gaussian_nll(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
    """A mean over the batch."""
    mean, log_variance = output
    return ((target - mean) ** 2 * torch.exp(-log_variance) + log_variance).mean()


def gaussian_nll_each(output: dict[str, Tensor], target: Tensor) -> Tensor:
    """One value an example."""
    squares = (target - output["mean"]) ** 2 * torch.exp(-output["log_variance"])
    return (squares + output["log_variance"]).mean(-1)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(5, 4), nn.LayerNorm(4)
        self.attend, self.out = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.embed(tokens))
        return self.out(self.attend(x, x, x, need_weights=False)[0].mean(1))


class Fused(nn.Module):
    """Attention by torch's fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.project, self.out = nn.Embedding(5, 4), nn.Linear(4, 12), nn.Linear(4, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.project(self.embed(tokens)).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).mean(1))


class Encoder(nn.Module):
    """The layer for which torch has a fast path of its own in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
        self.out = nn.Linear(4, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(tokens)).mean(1))


class Frozen(nn.Module):
    """A random body, shared by two layers and not trained, under a trained head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.first.weight.requires_grad_(False)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRU(2, 3, batch_first=True), nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cell(x.unflatten(-1, (2, 2)))[0][:, -1])


class Scaled(nn.Module):
    """With a trained number, which has no dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 4), nn.Linear(4, CLASSES)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.head(torch.tanh(self.body(x)))


class Padded(nn.Module):
    """An embedding whose row 0 is never trained."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(5, 4, padding_idx=0), nn.Linear(4, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(self.embed(tokens)).mean(1))


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, CLASSES))


def regressor() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


def dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, CLASSES))


def _normal(*shape: int) -> Tensor:
    return torch.randn(EXAMPLES, *shape, generator=torch.Generator().manual_seed(7))


def _whole(high: int, *shape: int) -> Tensor:
    return torch.randint(high, (EXAMPLES, *shape), generator=torch.Generator().manual_seed(8))


X, Y, TOKENS = _normal(4), _whole(CLASSES), _whole(5, 3)

CASES = [
    Case("mlp", mlp, X, Y),
    Case("regression", regressor, X, X[:, 2:], "squared_error"),
    Case("logits", lambda: nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), X, (Y > 0).float(), "logistic"),
    Case("batchnorm", Convolutional, _normal(1, 4, 4), Y),
    Case("tied", Tied, TOKENS, TOKENS.roll(-1, 1)),
    Case("named inputs", Named, {"wide": X, "narrow": X[:, :2]}, Y),
    Case("two inputs", Two, (X, X[:, 2:]), Y),
    Case("two outputs", Pair, X, X[:, :2], gaussian_nll),
    Case("named outputs", Labeled, X, X[:, :2], gaussian_nll_each),
    Case("attention", Attention, TOKENS, Y),
    Case("fused attention", Fused, TOKENS, Y),
    Case("encoder", Encoder, TOKENS, Y),
    Case("frozen", Frozen, X, Y),
    Case("recurrent", Recurrent, X, Y, stackable=False),
    Case("number", Scaled, X, Y),
    Case("padding", Padded, TOKENS, Y, stackable=False),
    Case("dropout", dropout, X, Y, stochastic=True),
]
CASE = {case.name: case for case in CASES}
DETERMINISTIC = [case for case in CASES if not case.stochastic]


def every(cases: list[Case]) -> pytest.MarkDecorator:
    """Parametrize a test over cases."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def every_with(cases: list[Case], plans: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Parametrize a test over cases and the plans (by name) that they allow."""
    pairs = [
        pytest.param(case, plan, id=f"{case.name}-{name}")
        for case in cases
        for name, plan in plans.items()
        if case.stackable or name in ("looped", "auto")
    ]
    return pytest.mark.parametrize(("case", "plan"), pairs)


def mean_loss(case: Case, outputs: Any, targets: Any) -> Tensor:
    """The mean loss of a plain call, by torch alone."""
    if case.loss == "cross_entropy":
        return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())
    if case.loss == "squared_error":
        return F.mse_loss(outputs, targets)
    if case.loss == "logistic":
        return F.binary_cross_entropy_with_logits(outputs, targets)
    return case.loss(outputs, targets).mean()


def plain_call(module: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


def flat_gradient(module: nn.Module) -> Tensor:
    """Gradients of the trained parameters, in their order."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in trained])


def fingerprint(module: nn.Module) -> dict[str, Any]:
    """All of a module that a library could touch, for comparison."""
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {
        "bits": {name: (id(t), t.dtype, t.detach().clone().numpy().tobytes()) for name, t in tensors},
        "flags": {name: (t.requires_grad, t.grad is None, t._version) for name, t in tensors},
        "training": [child.training for child in module.modules()],
        "hooks": [
            [len(getattr(child, kind)) for kind in vars(child) if kind.endswith("_hooks")] for child in module.modules()
        ],
        "attributes": [sorted(vars(child)) for child in module.modules()],
    }
