"""Sequences as torch's own layers and plain code take them: recurrent, packed, attentive, scanned, memorized."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from foreign.harness import CLASSES, Case, Refused, assert_as_plain, double, integers, normal  # noqa: F401
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

STEPS, X, TOKENS = 4, normal(4, 3), integers(6, 4)
LENGTHS = integers(3, seed=2) + 2
VALID = torch.arange(STEPS) < LENGTHS[:, None]


class Recurrent(nn.Module):
    """A recurrent layer of torch's, and its last state."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)[0][:, -1])


class Packed(nn.Module):
    """Texts of several lengths, packed for the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out = pad_packed_sequence(self.layer(packed)[0], batch_first=True, total_length=STEPS)[0]
        return self.head(out.sum(1) / lengths[:, None])


class Cells(nn.Module):
    """A loop over cells, with a state that is learned at its start."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.start, self.head = nn.GRUCell(3, 4), nn.Parameter(torch.zeros(4)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = self.start.expand(len(x), 4)
        for step in range(STEPS):
            state = self.cell(x[:, step], state)
        return self.head(state)


class Encoder(nn.Module):
    """torch's encoder with padded positions, whose fused path in evaluation is another function."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(4, 3)

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        return self.head(self.body(self.embed(tokens), src_key_padding_mask=~valid).mean(1))


class Translator(nn.Module):
    """nn.Transformer, from one sequence to another, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.body = nn.Transformer(4, 2, 1, 1, 6, dropout=0.0, batch_first=True)
        self.register_buffer("later", torch.ones(STEPS, STEPS).triu(1).bool())

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        out = self.body(self.embed(source), self.embed(target), tgt_mask=self.later)
        return out @ self.embed.weight.T


class Scan(nn.Module):
    """A selective state space (Mamba) in plain torch."""

    def __init__(self) -> None:
        super().__init__()
        self.rates, self.step = nn.Parameter(torch.randn(3, 2)), nn.Linear(3, 3)
        self.into, self.out, self.skip = nn.Linear(3, 2), nn.Linear(3, 2), nn.Parameter(torch.ones(3))
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        step, into, out = F.softplus(self.step(x)), self.into(x), self.out(x)
        decay = torch.exp(-step[..., None] * self.rates.exp())
        state, seen = x.new_zeros(len(x), 3, 2), []
        for t in range(STEPS):
            state = decay[:, t] * state + (step * x)[:, t, :, None] * into[:, t, None]
            seen.append((state * out[:, t, None]).sum(-1) + self.skip * x[:, t])
        return self.head(torch.stack(seen, 1).mean(1))


class Linear(nn.Module):
    """Attention without softmax, by cumulative sums."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(3, 12), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        sums = torch.einsum("btk,btv->btkv", k, v).cumsum(1)
        return self.head((torch.einsum("btk,btkv->btv", q, sums) / (q * k.cumsum(1)).sum(-1, keepdim=True)).mean(1))


class Causal(nn.Module):
    """Dilated causal convolutions (WaveNet), gated."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(3, 6, 2, dilation=dilation) for dilation in (1, 2))
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        for layer in self.layers:
            gate, value = layer(F.pad(x, (layer.dilation[0], 0))).chunk(2, 1)
            x = x + gate.sigmoid() * value.tanh()
        return self.head(x[..., -1])


class Carrying(nn.Module):
    """A state that goes on from call to call, kept as a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head, self.state = nn.GRUCell(3, 4), nn.Linear(4, 3), None

    def forward(self, x: Tensor) -> Tensor:
        start = x.new_zeros(len(x), 4) if self.state is None or len(self.state) != len(x) else self.state
        self.state = self.cell(x[:, 0], start).detach()
        return self.head(self.cell(x[:, 0], start))


def ctc(output: Tensor, targets: Tensor) -> Tensor:
    """Two labels out of three positions."""
    lengths = torch.full((len(targets),), STEPS), torch.full((len(targets),), 2)
    return F.ctc_loss(output.log_softmax(-1).transpose(0, 1), targets, *lengths, reduction="none").mean()


def of_steps(output: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(output.mT, targets)


def each_step() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))


VMAP = "cannot be stacked"
TRANSLATED = ((TOKENS, TOKENS.flip(1)), TOKENS)
CASES = [
    Case("LSTM", lambda: Recurrent(nn.LSTM(3, 4, batch_first=True)), X, alone=VMAP),
    Case(
        "GRU in both directions",
        lambda: Recurrent(nn.GRU(3, 2, 2, batch_first=True, bidirectional=True)),
        X,
        alone=VMAP,
    ),
    Case("packed GRU", Packed, (X, LENGTHS), alone=VMAP),
    Case("a loop over cells", Cells, X),
    Case("encoder with padded positions", Encoder, (TOKENS, VALID)),
    Case(
        "nn.Transformer",
        Translator,
        *TRANSLATED,
        lambda output, targets: F.cross_entropy(output.mT, targets),
        alone=VMAP,
    ),
    Case("selective scan", Scan, X),
    Case("linear attention", Linear, X),
    Case("dilated causal convolutions", Causal, X),
    Case(
        "one label a step, padded",
        each_step,
        X,
        torch.where(VALID, integers(3, 4), -100),
        lambda output, targets: F.cross_entropy(output.mT, targets, ignore_index=-100),
        weights=VALID.sum(1),
    ),
]
REFUSED = [
    Refused("a state from call to call", Carrying, X, "different outputs at a second call.*register_buffer"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sequences(case: Case, tmp_path: Path) -> None:
    assert_as_plain(case, tmp_path)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_sequences_that_are_refused(case: Refused) -> None:
    case.assert_refused()
