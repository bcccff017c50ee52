"""What was reported of libraries that do the same: each model is put to what the others are put to."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from foreign.harness import CLASSES, EXAMPLES, Case, Refused, assert_as_plain, double, integers, normal  # noqa: F401
from torch import Tensor, nn
from torch.nn.utils import parametrizations

X, SEQUENCES, TOKENS = normal(4), normal(5, 4), integers(6, 5)
VMAP = "cannot be stacked"
FORMULA = "no second derivative that can be trusted"
FIRST = ("gauss_newton", "fisher")


class Spike(torch.autograd.Function):
    """A step, with the slope of an arc tangent in its place."""

    @staticmethod
    def forward(ctx: Any, potential: Tensor) -> Tensor:
        ctx.save_for_backward(potential)
        return (potential > 0).to(potential.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient / (1 + (torch.pi * ctx.saved_tensors[0]) ** 2)


class Leaky(nn.Module):
    """A leaky neuron as snntorch has it: constants in buffers, its potential as an attribute too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("beta", torch.tensor(0.9))
        self.register_buffer("threshold", torch.tensor(1.0))
        self.potential = torch.zeros(0)

    def start(self) -> Tensor:
        self.potential = torch.zeros(0)
        return self.potential

    def forward(self, x: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
        potential = potential if potential.shape == x.shape else torch.zeros_like(x)
        reset = Spike.apply(potential - self.threshold).detach()
        self.potential = self.beta.clamp(0, 1) * potential + x - reset * self.threshold
        return Spike.apply(self.potential - self.threshold), self.potential


class Spiking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.leaky, self.out = nn.Linear(4, 8), Leaky(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        potential, total = self.leaky.start(), torch.zeros(len(x), 3)
        for _ in range(4):
            spikes, potential = self.leaky(2 * self.first(x), potential)
            total = total + self.out(spikes)
        return total


class Dropped(nn.Module):
    """As AWD-LSTM: a weight that is made anew of a parameter at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)
        self.raw = nn.Parameter(self.lstm._parameters.pop("weight_hh_l0").data)

    def forward(self, x: Tensor) -> Tensor:
        self.lstm.weight_hh_l0 = 0.5 * self.raw
        self.lstm._flat_weights = [getattr(self.lstm, name) for name in self.lstm._flat_weights_names]
        return self.out(self.lstm(x)[0][:, -1])


class Windowed(nn.Module):
    """Rows of attention of which nothing is left: the fast path has NaN there, the formula zeros."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        self.body, self.out = nn.TransformerEncoder(layer, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        window = torch.ones(5, 5, dtype=torch.bool)
        window = ~(window.tril(1) & window.triu(-1))
        padded = torch.arange(5).expand(len(x), 5) >= 2
        return self.out(self.body(x, mask=window, src_key_padding_mask=padded).mean(1))


class Biased(nn.Module):
    """An attention mask of numbers that are added, none of them 0."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.out = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        bias = -1 - torch.arange(5.0).expand(5, 5)
        return self.out(self.attention(x, x, x, attn_mask=bias)[0].mean(1))


class Jacobian(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        slopes = [torch.autograd.functional.jacobian(self.body, row, create_graph=True).flatten() for row in x]
        return self.out(torch.stack(slopes))


class Inner(nn.Module):
    """A step of gradient descent for each example, by functional_call in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        own = dict(self.body.named_parameters())

        def energy(weights: dict[str, Tensor], row: Tensor) -> Tensor:
            return torch.func.functional_call(self.body, weights, (row,)).square().sum()

        def adapted(row: Tensor) -> Tensor:
            slope = torch.func.grad(energy)(own, row)
            moved = {name: value - 0.1 * slope[name] for name, value in own.items()}
            return torch.func.functional_call(self.body, moved, (row,))

        return torch.func.vmap(adapted)(x)


class Quantized(nn.Module):
    """As VQ-VAE: a code book in buffers, which follows the data in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 4), nn.Linear(4, 3)
        self.register_buffer("code", torch.randn(5, 4))
        self.register_buffer("count", torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        nearest = torch.cdist(z.detach(), self.code).argmin(1)
        found = self.code[nearest]
        if self.training:
            hot = F.one_hot(nearest, 5).to(z.dtype)
            self.count.data.mul_(0.9).add_(hot.sum(0), alpha=0.1)
            self.code.data.mul_(0.9).add_(hot.T @ z.detach() / self.count[:, None], alpha=0.1)
        return self.out(z + (found - z).detach())


class Kept(nn.Module):
    """Batch norm that its author's `train` keeps in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.train()

    def train(self, mode: bool = True) -> "Kept":
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.norm(self.first(x))))


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(6, 4), nn.Linear(4, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(self.table(tokens)).cumsum(1))


def of_tokens(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def normed() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 6)), nn.Tanh(), nn.Linear(6, 3))


def spectral() -> nn.Module:
    """One layer whose power iteration runs twice in a call."""
    layer = parametrizations.spectral_norm(nn.Linear(4, 4))
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(4, 3))


def storage_tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3))
    module[1].weight = nn.Parameter(module[0].weight.data)
    return module


def compiled() -> Any:
    return torch.compile(nn.Linear(4, 3), backend="eager")


LABELS = torch.where(torch.arange(5) > torch.arange(EXAMPLES)[:, None] % 4 + 1, -100, TOKENS)
COUNTED = (LABELS[:, 1:] != -100).sum(1).double()
CASES = [
    Case("snntorch", Spiking, X, alone=VMAP, matrices=FIRST, without=FORMULA),
    Case("pytorch/pytorch#90500", Dropped, SEQUENCES, alone=VMAP),
    Case("pytorch/pytorch#190486", Windowed, SEQUENCES),
    Case("pytorch/pytorch#107084", Biased, SEQUENCES),
    Case("pytorch/functorch#847", Jacobian, X, alone=VMAP),
    Case("lucidrains/titans-pytorch#19", Inner, X),
    Case("codes that follow the data", Quantized, X, alone=VMAP, matrices=FIRST, without=FORMULA),
    Case("batch norm kept in evaluation mode", Kept, X),
    Case("meta-pytorch/torchtune#1875", Language, TOKENS, LABELS, of_tokens, COUNTED),
    Case("pytorch/pytorch#28594", normed, X, matrices=FIRST, without=FORMULA),
    Case("pytorch/pytorch#62293", spectral, X, alone=VMAP),
]
REFUSED = [
    Refused("huggingface/transformers#38870", storage_tied, X, r"share memory.*tie them by identity"),
    Refused("pytorch/pytorch#113422", compiled, X, "pass the module that it got"),
]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:enable_nested_tensor", "ignore:Support for mismatched")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reports_of_peers(case: Case, tmp_path: Path) -> None:
    assert_as_plain(case, tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_reports_of_peers_that_are_refused(case: Refused) -> None:
    case.assert_refused()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_that_was_compiled_in_place_is_called_as_it_is(tmp_path: Path) -> None:
    """pytorch/pytorch#149894."""

    def make() -> nn.Module:
        module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        module.compile(backend="eager")
        return module

    assert_as_plain(Case("compiled in place", make, X, CLASSES), tmp_path)
