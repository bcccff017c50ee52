"""Networks reduced to what their neurons do at one frequency, and the exact solution."""

import math
from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.generalization.grokking.fourier import common_frequency, powers, transform
from thalweg.generalization.grokking.group import as_addition
from thalweg.generalization.grokking.weights import tables, with_tables
from thalweg.nets import modular_mlp
from thalweg.population import Population


def projected(
    population: Population,
    p: int,
    operation: str = "+",
    *,
    frequency: Int64[Tensor, "members neurons"] | None = None,
) -> Population:
    """Every neuron reduced, in A, B and W, to its mean and one frequency.

    What it gets right is what the network already computes by frequencies, beside whatever else it does: a memorizing
    part has all frequencies, and is left out.

    >>> import torch
    >>> from thalweg.generalization import grokking
    >>> exact = grokking.constructed(7)
    >>> torch.allclose(grokking.projected(exact, 7).theta, exact.theta)
    True

    Args:
        population, p, operation: as of `fourier`.
        frequency: of every neuron, from 1 to the order // 2; None: the one that is strongest in A, B and W together.
            Random ones make a null.

    Raises:
        UsageError: a modulus that is no odd prime, or frequencies that do not fit.
        ModelError: a network whose neurons cannot be read so.
    """
    check_type("projected population", population, Population, "a Population such as run.final")
    group = as_addition(p, operation)
    values = tables(population, group)
    amplitudes = transform(values)
    if frequency is None:
        chosen = common_frequency(powers(amplitudes, group.order))
    else:
        chosen = torch.as_tensor(frequency) - 1
        members, _, highest, neurons = amplitudes.shape
        if chosen.shape != (members, neurons) or not bool(((chosen >= 0) & (chosen < highest)).all()):
            msg = (
                f"projected needs a frequency from 1 to {highest} for each of {members} x {neurons} neurons; got "
                f"shape {tuple(chosen.shape)}."
            )
            raise UsageError(msg)
    own = amplitudes.gather(2, chosen[:, None, None].expand(-1, 3, 1, -1))
    angle = (
        2
        * math.pi
        / group.order
        * torch.arange(group.order, dtype=torch.float64)[:, None]
        * (chosen[:, None, None] + 1)
    )
    return with_tables(population, group, values.mean(2, keepdim=True) + own.abs() * (angle + own.angle()).cos())


def constructed(p: int, *, activation: str = "square") -> Population:
    """The exact solution of addition modulo an odd prime, with 9 (p - 1)/2 neurons, as a population of one.

        A[i] = cos(2 pi k i / p + a),  B[j] = cos(2 pi k j / p + b),  W[c] = cos(2 pi k c / p + a + b)

    for every frequency k and all phases a, b of 0, 2 pi/3 and 4 pi/3. With the activation "square" its logits are
    4.5 (p/2 [c = i + j] - 1/2), and it is right for all p^2 pairs; with "relu" it is right for all as well.

    >>> import torch
    >>> from thalweg.generalization import grokking
    >>> logits = grokking.constructed(5).module(0)(torch.tensor([[3, 4, 5]]))
    >>> logits.round(decimals=6).tolist()  # 3 + 4 = 2 modulo 5
    [[-2.25, -2.25, 9.0, -2.25, -2.25]]

    Args:
        p: an odd prime.
        activation: of its hidden layer, see `nets.modular_mlp`.

    Returns:
        A network `nets.modular_mlp(p, 9 * (p - 1) // 2)` in float64.

    Raises:
        UsageError: a modulus that is no odd prime.

    Source: Gromov (2023), Grokking modular arithmetic, arXiv:2301.02679, with three phases in place of random ones.
    """
    group = as_addition(p)
    thirds = 2 * math.pi / 3 * torch.arange(3, dtype=torch.float64)
    k, a, b = torch.cartesian_prod(torch.arange(1, (p - 1) // 2 + 1, dtype=torch.float64), thirds, thirds).unbind(1)
    angle = 2 * math.pi / p * torch.arange(p, dtype=torch.float64)[:, None] * k
    values = torch.stack([(angle + a).cos(), (angle + b).cos(), (angle + a + b).cos()])
    net = Population.of([modular_mlp(p, len(k), activation=activation)]).to(dtype=torch.float64)
    return replace(with_tables(net, group, values[None]), mask=None)
