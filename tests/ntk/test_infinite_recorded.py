"""The limit of modules against kernels that neural-tangents gave."""

import pytest
import recorded_kernels
import torch
from modules_of_limits import Written, multilayer
from torch import nn

import thalweg as tw

CHANNELS = 64
ACTIVATIONS = {
    "relu": nn.ReLU(),
    "erf": Written(lambda _, x: torch.erf(x)),
    "gelu": nn.GELU(),
    "leaky relu": nn.LeakyReLU(0.1),
    "abs": Written(lambda _, x: x.abs()),
    "sin": Written(lambda _, x: torch.sin(x)),
}


def normed() -> nn.Module:
    norm = lambda: nn.LayerNorm(CHANNELS, eps=1e-12, elementwise_affine=False)  # noqa: E731
    dense = lambda size: nn.Linear(size, CHANNELS)  # noqa: E731
    return nn.Sequential(dense(6), norm(), nn.ReLU(), dense(CHANNELS), norm(), nn.ReLU(), dense(CHANNELS))


def residual() -> nn.Module:
    def forward(m, x):
        h = m.first(x)
        return m.last(torch.relu(h + m.inner(torch.relu(h))))

    dense = [nn.Linear(size, CHANNELS) for size in (6, CHANNELS, CHANNELS)]
    return Written(forward, first=dense[0], inner=dense[1], last=dense[2])


def convolutions(*layers: nn.Module, behind: str, cells: int = 36) -> nn.Module:
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 1)]
    flat = [nn.Flatten(), nn.Linear(cells * CHANNELS, 1)]
    return nn.Sequential(*layers, *(pooled if behind == "mean" else flat))


def conv(into: int, size: int = 3, **options) -> nn.Module:
    return nn.Conv2d(into, CHANNELS, size, **options)


def attention(score: str) -> nn.Module:
    def forward(m, x):
        h = torch.relu(m.first(x))
        query = m.query(h)
        if score == "softmax":
            weights = (query @ query.transpose(1, 2) / CHANNELS).softmax(-1)
        else:
            weights = query @ m.key(h).transpose(1, 2) / CHANNELS**0.5
        return m.last(m.out(weights @ m.value(h)).mean(1))

    without = {name: nn.Linear(CHANNELS, CHANNELS, bias=False) for name in ("query", "key", "value")}
    return Written(
        forward, first=nn.Linear(3, CHANNELS), out=nn.Linear(CHANNELS, CHANNELS), last=nn.Linear(CHANNELS, 1), **without
    )


def twice(activation: nn.Module | None = None, behind: str = "mean", **options) -> nn.Module:
    activation = activation or nn.ReLU()
    return convolutions(conv(2, **options), activation, conv(CHANNELS, **options), activation, behind=behind)


def tokens() -> nn.Module:
    sequence = nn.Sequential(
        nn.Conv1d(3, CHANNELS, 3, padding=1), nn.ReLU(), nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1), nn.ReLU()
    )
    return Written(lambda m, x: m.last(m.inner(x.transpose(1, 2)).mean(2)), inner=sequence, last=nn.Linear(CHANNELS, 1))


CIRCLE = {"padding": 1, "padding_mode": "circular"}
RECORDED = {
    **{f"dense {name}": (lambda one=one: multilayer(one, one, one, inputs=6)) for name, one in ACTIVATIONS.items()},
    "dense layer norm": normed,
    "dense residual": residual,
    "conv flatten": lambda: twice(behind="flat", padding=1),
    "conv mean": lambda: twice(padding=1),
    "conv erf mean": lambda: twice(ACTIVATIONS["erf"], padding=1),
    "conv circular mean": lambda: twice(**CIRCLE),
    "conv circular flatten": lambda: twice(behind="flat", **CIRCLE),
    "conv stride flatten": lambda: convolutions(
        conv(2, stride=2), nn.ReLU(), conv(CHANNELS, 2), nn.ReLU(), behind="flat", cells=1
    ),
    "conv stride mean": lambda: convolutions(
        conv(2, 2, stride=2), nn.ReLU(), conv(CHANNELS, padding=1), nn.ReLU(), behind="mean"
    ),
    "conv pool flatten": lambda: convolutions(
        conv(2, padding=1), nn.ReLU(), nn.AvgPool2d(2), conv(CHANNELS, padding=1), nn.ReLU(), behind="flat", cells=9
    ),
    "conv 1d mean": tokens,
    "attention 1/d softmax": lambda: attention("softmax"),
    "attention 1/sqrt(d) identity": lambda: attention("identity"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_equals_the_kernels_that_neural_tangents_gave(name):
    """Where inputs coincide the recorded tangent kernel has 1e-8."""
    case, whole = recorded_kernels.infinite(name), recorded_kernels.recorded()
    module = RECORDED[name]().double()
    limit = tw.ntk.infinite(
        module, weight_std=whole["weight_std"], bias_std=whole["bias_std"], dtype=torch.float64, progress=None
    )
    found = limit.kernels(case.inputs, case.others)
    torch.testing.assert_close(found.nngp, case.nngp, rtol=1e-9, atol=1e-9 * float(case.nngp.max()))
    torch.testing.assert_close(found.ntk, case.ntk, rtol=1e-7, atol=1e-7 * float(case.ntk.max()))


@pytest.mark.parametrize("name", ["conv flatten", "conv mean", "dense relu", "dense residual"])
def test_single_precision_is_enough(name):
    case, whole = recorded_kernels.infinite(name), recorded_kernels.recorded()
    limit = tw.ntk.infinite(RECORDED[name](), weight_std=whole["weight_std"], bias_std=whole["bias_std"], progress=None)
    found = limit.kernels(case.inputs.float(), case.others.float())
    torch.testing.assert_close(found.nngp, case.nngp, rtol=0, atol=5e-6 * float(case.nngp.max()))
    torch.testing.assert_close(found.ntk, case.ntk, rtol=0, atol=5e-6 * float(case.ntk.max()))
