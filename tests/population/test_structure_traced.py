"""Tracing: when it is done, what it leaves alone, and what is said of models that cannot be traced."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import fingerprint
from population.architectures import VECTORS
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.population import Structure


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 5), nn.Linear(5, 3)


class Branching(Layers):
    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        if h.sum() > 0:
            h = 2 * h
        return self.out(h)


class InNumpy(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.from_numpy(np.tanh(self.first(x).detach().numpy())))


class Dropping(Layers):
    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.out(h[h[:, 0] > 0])


class Wrong(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


class Identity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class OwnDerivative(Layers):
    def forward(self, x: Tensor) -> Tensor:
        return self.out(Identity.apply(self.first(x)))


class Number(Layers):
    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.out(h / h.max().item())


@pytest.mark.parametrize(
    ("build", "line", "remedy"),
    [
        (Branching, "if h.sum", "write torch.where instead of an if"),
        (InNumpy, "torch.from_numpy", "what is computed in NumPy cannot be followed; write it in torch"),
        (Dropping, "", "the shape of what 'index' gives depends on numbers; keep all rows, and mask or write"),
        (Wrong, "self.out", "torch.export says: .*"),
    ],
)
def test_what_cannot_be_traced_is_named(
    build: type[nn.Module], line: str, remedy: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match=remedy) as found:
        Structure.of(build(), VECTORS.float())
    sentence = str(found.value)
    assert sentence.startswith("The model cannot be traced at ")
    assert "test_structure_traced.py:" in sentence
    assert line in sentence
    assert "Training, masks, evaluation, curvature and landscapes need no structure" in sentence
    assert "\n" not in sentence
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("build", [OwnDerivative, Number])
def test_what_looks_hard_and_can_be_traced(build: type[nn.Module]) -> None:
    assert [group.units for group in Structure.of(build(), VECTORS.float()).groups] == [5]


def test_a_problem_is_traced_when_asked_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = []
    export = torch.export.export
    monkeypatch.setattr(torch.export, "export", lambda *one, **other: traces.append(1) or export(*one, **other))
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    tw.evaluate(problem, problem.initialize(1))
    assert not traces
    assert problem.structure is problem.structure
    assert len(traces) == 1


def test_the_model_and_shared_streams_are_left_as_they_were() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    branching = Branching()
    before, stream, fast = fingerprint(module), torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    Structure.of(module, VECTORS.float())
    with pytest.raises(ModelError):
        Structure.of(branching, VECTORS.float())
    assert fingerprint(module) == before
    assert torch.equal(torch.get_rng_state(), stream)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.is_grad_enabled()
