"""Every layer of torch.nn: stacked against plain, in outputs, gradients, buffers and second derivatives.

Those that vmap computes wrongly, without an error, are to be known by name (see `population.unstackable`).
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from thalweg.errors import ModelError
from thalweg.population import Batch, Problem
from thalweg.population.gradient_graph import GradientGraph
from thalweg.population.looped import Looped
from thalweg.population.stacked import Stacked
from thalweg.population.unstackable import unstackable

MEMBERS, EXAMPLES = 3, 12
Make = Callable[[], nn.Module]


class First(nn.Module):
    """The first thing that a layer returns, of one input in every place."""

    def __init__(self, layer: nn.Module, times: int = 1, **options: Any) -> None:
        super().__init__()
        self.layer, self.times, self.options = layer, times, options

    def forward(self, x: Tensor) -> Tensor:
        found = self.layer(*[x] * self.times, **self.options)
        return found if isinstance(found, Tensor) else found[0]


class Padded(First):
    """An encoder, or attention, that is told which positions are padded."""

    def forward(self, x: Tensor) -> Tensor:
        name = "src_key_padding_mask" if self.times == 1 else "key_padding_mask"
        found = self.layer(*[x] * self.times, **{name: x[..., 0] > 1})
        return found if isinstance(found, Tensor) else found[0]


class Unpooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.pool, self.back = nn.Conv2d(4, 4, 1), nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.back(*self.pool(self.first(x)))


def _after(layer: Callable[[], nn.Module], width: int = 8) -> Make:
    return lambda: nn.Sequential(nn.Linear(6, width), layer())


def _images(layer: Callable[[], nn.Module], dimensions: int = 2) -> Make:
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    return lambda: nn.Sequential(kind(4, 4, 1), layer())


ROWS, IMAGES, SEQUENCES, TOKENS = (6,), {1: (4, 6), 2: (4, 6, 6), 3: (4, 4, 4, 4)}, (4, 8), (5,)
_ELEMENTWISE = "ReLU ReLU6 ELU SELU CELU GELU SiLU Mish Hardswish Hardsigmoid Hardtanh Hardshrink Softshrink Tanhshrink"
_ELEMENTWISE += " Softsign Softplus LogSigmoid LeakyReLU Tanh Sigmoid PReLU GLU Identity"
CASES: dict[str, tuple[Make, tuple[int, ...]]] = {
    name: (_after(getattr(nn, name)), ROWS) for name in _ELEMENTWISE.split()
}
for _name in ("Softmax", "Softmin", "LogSoftmax"):
    CASES[_name] = _after(lambda _name=_name: getattr(nn, _name)(-1)), ROWS
CASES |= {
    "Threshold": (_after(lambda: nn.Threshold(0.1, 0.2)), ROWS),
    "LayerNorm": (_after(lambda: nn.LayerNorm(8)), ROWS),
    "RMSNorm": (_after(lambda: nn.RMSNorm(8)), ROWS),
    "BatchNorm1d of rows": (_after(lambda: nn.BatchNorm1d(8)), ROWS),
    "Bilinear": (lambda: First(nn.Bilinear(6, 6, 3), 2), ROWS),
    "weight_norm": (lambda: parametrizations.weight_norm(nn.Linear(6, 4)), ROWS),
    "spectral_norm": (lambda: parametrizations.spectral_norm(nn.Linear(6, 4)), ROWS),
    "orthogonal": (lambda: parametrizations.orthogonal(nn.Linear(6, 4)), ROWS),
    "GroupNorm": (_images(lambda: nn.GroupNorm(2, 4)), IMAGES[2]),
    "LocalResponseNorm": (_images(lambda: nn.LocalResponseNorm(3)), IMAGES[2]),
    "Softmax2d": (_images(nn.Softmax2d), IMAGES[2]),
    "PixelShuffle": (_images(lambda: nn.PixelShuffle(2)), IMAGES[2]),
    "PixelUnshuffle": (_images(lambda: nn.PixelUnshuffle(2)), IMAGES[2]),
    "ChannelShuffle": (_images(lambda: nn.ChannelShuffle(2)), IMAGES[2]),
    "Unfold": (_images(lambda: nn.Unfold(2)), IMAGES[2]),
    "Fold": (_images(lambda: nn.Fold((3, 4), 2), 1), IMAGES[1]),
    "MaxUnpool2d": (Unpooled, IMAGES[2]),
    "FractionalMaxPool2d": (_images(lambda: nn.FractionalMaxPool2d(2, output_size=3)), IMAGES[2]),
    "Flatten": (lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Unflatten(1, (4, 36))), IMAGES[2]),
    "Embedding": (lambda: nn.Embedding(7, 6), TOKENS),
    "Embedding(padding_idx)": (lambda: nn.Embedding(7, 6, padding_idx=0), TOKENS),
    "Embedding(scale_grad_by_freq)": (lambda: nn.Embedding(7, 6, scale_grad_by_freq=True), TOKENS),
    "Embedding(sparse)": (lambda: nn.Embedding(7, 6, sparse=True), TOKENS),
    "MultiheadAttention": (lambda: First(nn.MultiheadAttention(8, 2, batch_first=True), 3), SEQUENCES),
    "MultiheadAttention, padded": (lambda: Padded(nn.MultiheadAttention(8, 2, batch_first=True), 3), SEQUENCES),
    "Transformer": (lambda: First(nn.Transformer(8, 2, 1, 1, 8, dropout=0.0, batch_first=True), 2), SEQUENCES),
    "TransformerDecoderLayer": (
        lambda: First(nn.TransformerDecoderLayer(8, 2, 8, dropout=0.0, batch_first=True), 2),
        SEQUENCES,
    ),
}
for _mode in ("sum", "mean", "max"):
    CASES[f"EmbeddingBag({_mode})"] = (lambda _mode=_mode: nn.EmbeddingBag(7, 6, mode=_mode)), TOKENS
    CASES[f"EmbeddingBag({_mode}, padding_idx)"] = (
        (lambda _mode=_mode: nn.EmbeddingBag(7, 6, mode=_mode, padding_idx=0)),
        TOKENS,
    )
for _mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "area"):
    CASES[f"Upsample({_mode})"] = _images(lambda _mode=_mode: nn.Upsample(size=(7, 5), mode=_mode)), IMAGES[2]
for _first in (False, True):
    _encoder = lambda _first=_first: nn.TransformerEncoder(  # noqa: E731
        nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True, norm_first=_first),
        2,
        enable_nested_tensor=not _first,
    )
    CASES[f"TransformerEncoder(norm_first={_first})"] = (lambda make=_encoder: First(make())), SEQUENCES
    CASES[f"TransformerEncoder(norm_first={_first}), padded"] = (lambda make=_encoder: Padded(make())), SEQUENCES
for _name in ("RNN", "LSTM", "GRU"):
    CASES[_name] = (lambda _name=_name: First(getattr(nn, _name)(8, 4, batch_first=True))), SEQUENCES
    CASES[f"{_name}Cell"] = (lambda _name=_name: First(getattr(nn, f"{_name}Cell")(6, 4))), ROWS
for _d in (1, 2, 3):
    _layer = lambda name, *args, _d=_d, **options: getattr(nn, f"{name}{_d}d")(*args, **options)  # noqa: E731
    _made: dict[str, Make] = {
        f"Conv{_d}d": lambda make=_layer: make("Conv", 4, 6, 3, padding=1),
        f"Conv{_d}d(groups)": lambda make=_layer: make("Conv", 4, 8, 3, groups=4, stride=2),
        f"Conv{_d}d(circular)": lambda make=_layer: make("Conv", 4, 4, 3, padding=1, padding_mode="circular"),
        f"ConvTranspose{_d}d": lambda make=_layer: make("ConvTranspose", 4, 6, 3, stride=2, output_padding=1),
        f"ConvTranspose{_d}d(groups)": lambda make=_layer: make("ConvTranspose", 4, 6, 3, groups=2),
    }
    for _name, _args in {
        "MaxPool": (3, 1, 1),
        "AvgPool": (2,),
        "AdaptiveAvgPool": (2,),
        "AdaptiveMaxPool": (2,),
        "LPPool": (2, 2),
        "BatchNorm": (4,),
        "InstanceNorm": (4, 1e-5, 0.1, True, True),
        "ReflectionPad": (1,),
        "ReplicationPad": (1,),
        "ZeroPad": (1,),
        "CircularPad": (1,),
    }.items():
        _made[f"{_name}{_d}d"] = _images(lambda make=_layer, name=_name, args=_args: make(name, *args), _d)
    CASES |= {name: (make, IMAGES[_d]) for name, make in _made.items()}

WRONG = {"Embedding(padding_idx)"}
pytestmark = [
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True"),
]


def _loss(output: Tensor, target: Tensor) -> Tensor:
    values = output.flatten(1)
    return (values.tanh() * torch.linspace(0.5, 1.5, values.shape[1], dtype=values.dtype)).mean(1)


def _problem(make: Make, shape: tuple[int, ...]) -> Problem:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(EXAMPLES, *shape, generator=draw, dtype=torch.float64)
    if shape == TOKENS:
        x = torch.randint(0, 7, (EXAMPLES, *shape), generator=draw)
    return Problem(make, (x, torch.zeros(EXAMPLES)), _loss, metrics={}, dtype=torch.float64)


def _off(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12)) if other.numel() else 0.0


def _stacked_off(problem: Problem, shared: bool) -> float | None:
    """How far a stacked gradient, its buffers and a product with the Hessian are off; None where there is none."""
    population = problem.initialize(MEMBERS).copy()
    rows = torch.stack(
        [torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(i))[:8] for i in range(MEMBERS)]
    )
    batch = Batch.of(problem.data.train, rows[:1] if shared else rows)
    found, every = [], slice(0, MEMBERS)
    for kind in (Stacked, Looped):
        own = population.copy()
        out = torch.empty_like(own.theta)
        try:
            losses = kind(problem, own, training=True).gradient(every, batch, out)
        except (RuntimeError, ModelError, NotImplementedError):
            return None
        found.append([losses, out, *(buffer.double() for buffer in own.running.values())])
    off = max(map(_off, *found))
    if not shared or problem.pads(training=False):
        return off
    v = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    try:
        alone = [GradientGraph(problem, population[i], batch).hessian()(v[i : i + 1]) for i in range(MEMBERS)]
    except RuntimeError:  # it has no second derivative
        return off
    return max(off, _off(GradientGraph(problem, population, batch).hessian()(v), torch.cat(alone)))


@pytest.mark.parametrize("name", CASES)
def test_stacked_members_are_the_plain_ones_or_known_by_name(name: str) -> None:
    problem = _problem(*CASES[name])
    offs = [_stacked_off(problem, shared) for shared in (True, False)]
    wrong = any(off is not None and not off < 1e-9 for off in offs)
    assert wrong == (name in WRONG), offs
    if wrong:
        assert "padding_idx" in unstackable(problem, training=True)
