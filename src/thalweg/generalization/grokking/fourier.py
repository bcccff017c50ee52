"""What the neurons of a perceptron on pairs compute, by the Fourier transform of their weights."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import check_type
from thalweg.figures import Axis, Bars, Figure, Line, Scatter
from thalweg.generalization.grokking.group import Group, as_addition, frequencies
from thalweg.generalization.grokking.weights import NAMES, tables
from thalweg.population import Population
from thalweg.results import Provenance, Reading, Result

TOP = 5
Array = NDArray[np.float64]


def transform(values: Float[Tensor, "*lead order neurons"]) -> Complex[Tensor, "*lead frequency neurons"]:
    """Amplitude and phase r exp(i phase) of r cos(2 pi k x / order + phase), for frequencies k = 1 to order // 2."""
    order = values.shape[-2]
    amplitudes = 2 / order * torch.fft.rfft(values, dim=-2)[..., 1:, :]
    if order % 2 == 0:
        amplitudes[..., -1, :] /= 2  # of the alternating function, which has no sine
    return amplitudes


def powers(
    amplitudes: Complex[Tensor, "*lead frequency neurons"], order: int
) -> Float[Tensor, "*lead frequency neurons"]:
    """The mean square of each component: r^2 / 2, and r^2 of the alternating one."""
    squares = amplitudes.abs().square() / 2
    if order % 2 == 0:
        squares[..., -1, :] *= 2
    return squares


def common_frequency(power: Float[Tensor, "members three frequency neurons"]) -> Tensor:
    """The frequency, from 0, with the largest sum of the three tables' shares: (members, neurons)."""
    return _shares(power).sum(1).argmax(1)


def _shares(power: Tensor) -> Tensor:
    """Of the power of all frequencies; of a neuron without any all shares are 0."""
    total = power.sum(-2, keepdim=True)
    return power / torch.where(total > 0, total, 1.0)


@dataclass(frozen=True, eq=False)
class Fourier(Result):
    """What `fourier` found.

    Args:
        reading: by member, each neuron weighted by its power: "concentration", the mean inverse participation ratio of
            A, B and W; "one frequency", the share of neurons whose strongest frequency is the same in A, B and W;
            "phase rule", the mean cosine of phase_A + phase_B - phase_W at the neuron's common frequency; "effective
            frequencies", as many as the net's power is spread over; "top 5", the share of the five strongest. By
            (member, frequency) "power", summed over neurons and tables; by (member, neuron) "weight", a neuron's share
            of the power, "frequency", its common one, and "ipr"; by (member, table, neuron) "phase", at that frequency.
        group: whose characters the frequencies are.
    """

    group: Group

    def figure(self, member: int = 0) -> Figure:
        """Power by frequency, and the phases of W against those of A and B."""
        known = self.reading.coordinate("frequency")
        power = self["power"][member] / max(self["power"][member].sum(), np.finfo(float).tiny)
        spectrum = Figure.of(
            f"{self['effective frequencies'][member]:.1f} of {len(known)} frequencies",
            [Bars([str(k) for k in known], power)],
            Axis("frequency"),
            Axis("share of the power"),
        )
        phase = self["phase"][member]
        chosen = self["weight"][member] > 0.1 / self["weight"].shape[1]
        read = np.angle(np.exp(1j * (phase[0] + phase[1])))[chosen]
        diagonal = np.linspace(-math.pi, math.pi, 40)
        rule = Figure.of(
            f"The phase rule, mean cosine {self['phase rule'][member]:.3f}",
            [
                Scatter(read, phase[2][chosen], size=4, label="a neuron"),
                Line(diagonal, diagonal, label="the rule"),
            ],
            Axis("phase_A + phase_B", limits=(-3.3, 3.3)),
            Axis("phase_W", limits=(-3.3, 3.3)),
        )
        caption = (
            f"Inverse participation ratio {self['concentration'][member]:.2f} (1: every neuron has one frequency)."
        )
        return Figure.row([spectrum, rule], title="What the neurons compute", caption=caption)


def fourier(population: Population, p: int, operation: str = "+") -> Fourier:
    """Frequencies and phases of the neurons of W f(A[a] + B[b]).

        A[x] = mean + sum over k of r_k cos(2 pi k x / p + phase_k),  power_k = r_k^2 / 2,  share_k = power_k / sum
        inverse participation ratio = sum over k of share_k^2:  1 of one frequency, about 4/(p - 1) of equally many

    A network that computes the sum has neurons with one frequency in A, B and W, and phase_A + phase_B = phase_W, as
    the exact solution has (see `constructed`).

    >>> from thalweg.generalization import grokking
    >>> found = grokking.fourier(grokking.constructed(7), 7)
    >>> [round(float(found[name][0]), 6) for name in ("concentration", "one frequency", "phase rule")]
    [1.0, 1.0, 1.0]
    >>> round(float(found["effective frequencies"][0]), 6)
    3.0

    Args:
        population: of `nets.modular_mlp(p)`, or of `nets.mlp(2 * p, width, p, bias=False)` on one-hot pairs.
        p: the modulus, an odd prime.
        operation: "+", "-", "*" or "/"; the last two by logarithms, without the zero (see `as_addition`).

    Raises:
        UsageError: a modulus that is no odd prime.
        ModelError: a network whose neurons cannot be read so.

    Cost: a Fourier transform of the weights.

    Sources: Nanda et al. (2023), arXiv:2301.05217; Doshi et al. (2024), arXiv:2406.03495; Gromov (2023),
    arXiv:2301.02679.
    """
    check_type("fourier population", population, Population, "a Population such as run.final")
    group = as_addition(p, operation)
    amplitudes = transform(tables(population, group))
    power = powers(amplitudes, group.order)
    shares, frequency = _shares(power), common_frequency(power)
    whole = power.sum((1, 2))
    weight = whole / whole.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    ipr = shares.square().sum(2).mean(1)
    strongest = power.argmax(2)
    one = ((strongest == strongest[:, :1]).all(1)).double()
    place = frequency[:, None, None].expand(-1, 3, 1, -1)
    phase = amplitudes.gather(2, place).squeeze(2).angle()
    rule = (phase[:, 0] + phase[:, 1] - phase[:, 2]).cos()
    by_frequency = power.sum((1, 3))
    spread = by_frequency / by_frequency.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    means = {"concentration": ipr, "one frequency": one, "phase rule": rule}
    arrays: dict[str, Array] = {name: (weight * values).sum(1).numpy() for name, values in means.items()}
    arrays |= {
        "effective frequencies": (1 / spread.square().sum(1)).numpy(),
        "top 5": spread.topk(min(TOP, spread.shape[1]), dim=1).values.sum(1).numpy(),
        "power": by_frequency.numpy(),
        "weight": weight.numpy(),
        "frequency": (frequency + 1).numpy(),
        "ipr": ipr.numpy(),
        "phase": phase.numpy(),
    }
    dims = dict.fromkeys(tuple(arrays)[:5], ("member",)) | {"power": ("member", "frequency")}
    dims |= dict.fromkeys(("weight", "frequency", "ipr"), ("member", "neuron")) | {
        "phase": ("member", "table", "neuron")
    }
    reading = Reading(
        "Fourier analysis of neurons",
        arrays,
        dims,
        {"member": np.arange(len(population)), "frequency": frequencies(group.order), "table": list(NAMES)},
        {"phase": "radians"},
        provenance=Provenance.here(None, dtype="float64"),
        notes=("Neurons are weighted by their Fourier power, without the constant.",),
    )
    return Fourier(reading, group)
