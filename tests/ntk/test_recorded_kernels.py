"""Convolution, pooling, norms and attention put together, against the kernels that neural-tangents recorded."""

from dataclasses import dataclass, replace

import pytest
import recorded_kernels
import torch
from duals_by_angle import Rectifier
from torch import Tensor

from thalweg.ntk.attention import Tokens, attended, identity
from thalweg.ntk.normalization import layer_norm, normalized, normalized_tangent
from thalweg.ntk.pooling import Mean, PositionMap, WindowMeans, pooled, pooled_q, spreads
from thalweg.ntk.spatial import Window, beside, flattened, windowed

RELU = Rectifier(0, 1)
WEIGHT = recorded_kernels.recorded()["weight_std"] ** 2
BIAS = recorded_kernels.recorded()["bias_std"] ** 2
SAME, CIRCLE = Window.of((3, 3), padding=1), Window.of((3, 3), padding=1, circular=True)


@dataclass(frozen=True)
class Own:
    """Each input with itself: second moments (n, *S), distances (n, *S, *S)."""

    q: Tensor
    distance: Tensor

    def dense(self) -> "Own":
        return Own(WEIGHT * self.q + BIAS, WEIGHT * self.distance)

    def convolved(self, window: Window) -> "Own":
        return Own(windowed(self.q, window, full=False), windowed(self.distance, window, True, self.q, self.q)).dense()

    def rectified(self) -> "Own":
        axes = self.q.dim() - 1
        q, other = beside(self.q, self.q, inputs=1, axes=axes, full=True)
        return Own(RELU.second_moment(self.q), RELU.pair(q, other, self.distance)[0])

    def pooled(self, by: PositionMap) -> "Own":
        spread = spreads(self.distance, by)
        return Own(pooled_q(self.q, spread, by), pooled(self.distance, by, self.q, self.q, spread, spread))

    @property
    def covariance(self) -> Tensor:
        q, other = beside(self.q, self.q, inputs=1, axes=self.q.dim() - 1, full=True)
        return (q + other) / 2 - self.distance


@dataclass(frozen=True)
class State:
    """Two sets of inputs: their own blocks, and distance and tangent kernel between them, all full blocks."""

    first: Own
    second: Own
    distance: Tensor
    tangent: Tensor

    @classmethod
    def of(cls, name: str) -> "State":
        case = recorded_kernels.infinite(name)
        x, y = case.inputs, case.others
        if "conv" in name and x.dim() == 4:
            x, y = x.movedim(1, -1), y.movedim(1, -1)  # channels last
        if x.dim() == 2:
            x, y = x[:, None], y[:, None]  # one position
        axes = x.dim() - 2

        def apart(u: Tensor, v: Tensor, inputs: int) -> Tensor:
            flat = (one.reshape(*one.shape[: 1 + axes], -1) for one in (u, v))
            channels = [
                beside(one[0], one[1], inputs=inputs, axes=axes, full=True)
                for one in zip(*(f.unbind(-1) for f in flat), strict=True)
            ]
            return torch.stack([(a - b).square() for a, b in channels]).mean(0) / 2

        own = [Own(one.square().mean(-1), apart(one, one, 1)) for one in (x, y)]
        distance = apart(x, y, 2)
        return cls(own[0], own[1], distance, torch.zeros_like(distance))

    @property
    def axes(self) -> int:
        return self.first.q.dim() - 1

    @property
    def covariance(self) -> Tensor:
        q, other = beside(self.first.q, self.second.q, inputs=2, axes=self.axes, full=True)
        return (q + other) / 2 - self.distance

    def with_dense(self, first: Own, second: Own, distance: Tensor, tangent: Tensor) -> "State":
        """The dense rule on what is given before it, K = w K + b and T = K + w T."""
        state = State(first.dense(), second.dense(), WEIGHT * distance, tangent)
        return replace(state, tangent=state.covariance + WEIGHT * tangent)

    def dense(self) -> "State":
        return self.with_dense(self.first, self.second, self.distance, self.tangent)

    def convolved(self, window: Window) -> "State":
        distance = windowed(self.distance, window, True, self.first.q, self.second.q)
        state = State(
            self.first.convolved(window),
            self.second.convolved(window),
            WEIGHT * distance,
            windowed(self.tangent, window, full=True),
        )
        return replace(state, tangent=state.covariance + WEIGHT * state.tangent)

    def rectified(self) -> "State":
        q, other = beside(self.first.q, self.second.q, inputs=2, axes=self.axes, full=True)
        distance, slope = RELU.pair(q, other, self.distance)
        return State(self.first.rectified(), self.second.rectified(), distance, slope * self.tangent)

    def pooled(self, by: PositionMap) -> "State":
        spread, other = spreads(self.first.distance, by), spreads(self.second.distance, by)
        distance = pooled(self.distance, by, self.first.q, self.second.q, spread, other)
        return State(self.first.pooled(by), self.second.pooled(by), distance, pooled(self.tangent, by))

    def normed(self) -> "State":
        first, second = layer_norm(self.first.q, eps=1e-12), layer_norm(self.second.q, eps=1e-12)
        return State(
            Own(first.normalized_q, normalized(self.first.distance, first, first, full=True)),
            Own(second.normalized_q, normalized(self.second.distance, second, second, full=True)),
            normalized(self.distance, first, second, full=True),
            normalized_tangent(self.tangent, first, second, full=True),
        )

    def read_out(self) -> tuple[Tensor, Tensor]:
        """A dense layer on all positions."""
        kernel = WEIGHT * flattened(self.covariance, self.axes, full=True) + BIAS
        return kernel, kernel + WEIGHT * flattened(self.tangent, self.axes, full=True)

    def with_kernels(self, first: Tensor, second: Tensor, kernel: Tensor, tangent: Tensor) -> "State":
        """A state over tokens from covariances in the plain form."""
        owns = []
        for one in (first, second):
            q = one.diagonal(dim1=1, dim2=2)
            owns.append(Own(q, (q[:, :, None] + q[:, None]) / 2 - one))
        q, other = beside(owns[0].q, owns[1].q, inputs=2, axes=1, full=True)
        return State(owns[0], owns[1], (q + other) / 2 - kernel, tangent)

    def projected(self) -> Tokens:
        """Queries, keys or values: a dense layer without bias."""
        kernel = WEIGHT * self.covariance
        own = [WEIGHT * one.covariance for one in (self.first, self.second)]
        return Tokens(kernel, kernel + WEIGHT * self.tangent, *own)

    def attended_by(self, score) -> "State":
        """1/d: given weights, and the output projection; queries and keys are tied."""
        first, second = (score(WEIGHT * one.covariance) for one in (self.first, self.second))
        values = self.projected()
        return self.with_kernels(
            attended(values.own, first, first),
            attended(values.other, second, second),
            attended(values.kernel, first, second),
            attended(values.tangent, first, second),
        ).dense()

    def attended(self, attention) -> "State":
        """1/sqrt(d), and the output projection."""
        found = attention(*[self.projected()] * 3)
        own = []
        for one in (self.first, self.second):
            block = Tokens.own_block(WEIGHT * one.covariance)
            own.append(attention(block, block, block).kernel)
        return self.with_kernels(*own, found.kernel, found.tangent).dense()


def twice(state: State, window: Window) -> State:
    return state.convolved(window).rectified().convolved(window).rectified()


CASES = {
    "dense relu": lambda s: s.dense().rectified().dense().rectified().dense().rectified().read_out(),
    "dense layer norm": lambda s: s.dense().normed().rectified().dense().normed().rectified().read_out(),
    "conv flatten": lambda s: twice(s, SAME).read_out(),
    "conv mean": lambda s: twice(s, SAME).pooled(Mean(2)).read_out(),
    "conv circular mean": lambda s: twice(s, CIRCLE).pooled(Mean(2)).read_out(),
    "conv circular flatten": lambda s: twice(s, CIRCLE).read_out(),
    "conv stride flatten": lambda s: (
        s.convolved(Window.of((3, 3), stride=2)).rectified().convolved(Window.of((2, 2))).rectified().read_out()
    ),
    "conv stride mean": lambda s: (
        s.convolved(Window.of((2, 2), stride=2)).rectified().convolved(SAME).rectified().pooled(Mean(2)).read_out()
    ),
    "conv pool flatten": lambda s: (
        s.convolved(SAME)
        .rectified()
        .pooled(WindowMeans(Window.of((2, 2), stride=2)))
        .convolved(SAME)
        .rectified()
        .read_out()
    ),
    "conv 1d mean": lambda s: twice(s, Window.of((3,), padding=1)).pooled(Mean(1)).read_out(),
    "attention 1/d softmax": lambda s: (
        s.dense().rectified().attended_by(lambda scores: scores.softmax(-1)).pooled(Mean(1)).read_out()
    ),
    "attention 1/d relu": lambda s: s.dense().rectified().attended_by(torch.relu).rectified().read_out(),
    "attention 1/sqrt(d) identity": lambda s: s.dense().rectified().attended(identity).pooled(Mean(1)).read_out(),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_recorded_kernels(name):
    """Relative to the largest entry, 1e-10; where inputs coincide the recorded tangent kernel has 1e-8."""
    case = recorded_kernels.infinite(name)
    kernel, tangent = CASES[name](State.of(name))
    torch.testing.assert_close(kernel, case.nngp, rtol=1e-10, atol=1e-10 * float(case.nngp.max()))
    torch.testing.assert_close(tangent, case.ntk, rtol=1e-7, atol=1e-7 * float(case.ntk.max()))


def test_the_record_says_how_it_was_made():
    whole = recorded_kernels.recorded()
    assert whole["versions"]["neural-tangents"] == "0.6.5"
    assert "benchmarks/neural_tangents_reference.py" in whole["recipe"]
    assert recorded_kernels.FILE.stat().st_size < 100_000
    assert set(CASES) <= set(whole["infinite"])
