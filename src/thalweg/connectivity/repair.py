"""REPAIR: units of an averaged network brought back to the mean and spread that those of its ends have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils._pytree import tree_leaves

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample, recomputed
from thalweg.evaluation.points import check_anchors
from thalweg.evaluation.running_statistics import renewed_layers
from thalweg.guard import guarded
from thalweg.population import Batch, Population, Problem
from thalweg.population.binding import call
from thalweg.population.derivatives import check_steady
from thalweg.randomness import global_stream

_ON = Sample("train", 1_024)
_LAYERS = (nn.Linear, _ConvNd)


@dataclass(frozen=True, eq=False)
class _Spread:
    """Mean and standard deviation of every unit of a layer, over examples and positions: (units,) each."""

    mean: Float[Tensor, " units"]
    deviation: Float[Tensor, " units"]

    @classmethod
    def of(cls, output: Tensor, layer: nn.Module) -> "_Spread":
        lines = _lines(output, layer).double()
        return cls(lines.mean(0), lines.std(0, correction=0))


@guarded
def layers_repaired(problem: Problem) -> tuple[str, ...]:
    """The layers that `repaired` rescales: their paths in the model, in the order in which they are called.

    Linear layers and convolutions with a bias, both trained and used once, whose output is not what the model returns
    and does not go straight into batch normalization, which has statistics of its own to be reset.

    >>> import thalweg as tw
    >>> tw.connectivity.layers_repaired(tw.Problem(lambda: tw.nets.mlp(64, 32, 32, 10), tw.data.digits()))
    ('hidden1', 'hidden2')

    Args:
        problem: whose model it is; it is called on a few examples.
    """
    check_type("layers_repaired problem", problem, Problem, "a Problem")
    module = problem.initialize(1).module(0).eval()
    made: list[tuple[str, Tensor]] = []
    normalized: list[Tensor] = []
    hooks, renewed = [], renewed_layers(problem.template)
    for path, layer in module.named_modules():
        if isinstance(layer, _LAYERS):
            hooks.append(layer.register_forward_hook(lambda _, given, output, path=path: made.append((path, output))))
        elif isinstance(layer, _NormBase) and path in renewed:
            hooks.append(layer.register_forward_pre_hook(lambda _, given: normalized.append(given[0])))
    with torch.no_grad(), global_stream(0, "repair"):
        returned = tree_leaves(call(module, problem.preflight.examples()[0]))
    for hook in hooks:
        hook.remove()
    trained = {entry.name for entry in problem.layout if not entry.ties}
    used = [path for path, _ in made]
    return tuple(
        path
        for path, output in made
        if used.count(path) == 1
        and {f"{path}.weight".lstrip("."), f"{path}.bias".lstrip(".")} <= trained
        and not any(output is other for other in (*returned, *normalized))
    )


@guarded
def repaired(
    problem: Problem,
    averaged: Population,
    ends: Sequence[Population],
    *,
    weights: ArrayLike | None = None,
    on: Sample | str | ExampleSet = _ON,
) -> Population:
    """Averaged networks whose hidden units have the mean and standard deviation that their ends have on average.

        z -> sum_e w_e m_e + (z - m) / s sum_e w_e s_e,    m, s: of a unit before its activation, over examples

    Averaging two networks leaves their units with less spread than either, layer after layer, also where they are
    aligned: what remains of the barrier is to a large part that. The factors go into the weights and biases of
    `layers_repaired`, in the order in which the layers are called, each on what the repaired ones before it give;
    running statistics of normalization are then made anew (`evaluation.recomputed`).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> first, second = problem.initialize([0]), problem.initialize([1])
    >>> averaged = first.with_theta((first.theta + second.theta) / 2)
    >>> other = tw.connectivity.repaired(problem, averaged, [first, second])
    >>> bool((other.theta != averaged.theta).any())
    True

    Args:
        problem: whose model it is.
        averaged: the networks to repair; only read. Masked parameters stay zero.
        ends: the networks they are made of, each as many as `averaged`.
        weights: of the ends, one each, which sum to 1; None: all alike.
        on: examples on which means and spreads are taken, as one batch.

    Raises:
        ModelError: a model that draws random numbers, or writes into parameters, in evaluation mode.
        UsageError: ends that do not fit, or weights that are not one for each and sum to 1.

    Cost: a forward pass of every network. Memory: the activations of all these examples in one network.

    Source: Jordan et al., 2022, arXiv:2211.08403.
    """
    check_type("repaired problem", problem, Problem, "a Problem")
    check_type("repaired averaged", averaged, Population, "a Population, or problem.population([module])")
    check_steady(problem, "how far units spread is not known")
    check_anchors("repaired", [averaged, *ends])
    problem.check(averaged)
    shares = (
        torch.full((len(ends),), 1 / max(len(ends), 1), dtype=torch.float64)
        if weights is None
        else torch.as_tensor(weights)
    )
    shares = shares.double()
    if shares.shape != (len(ends),) or not len(ends) or abs(float(shares.sum()) - 1) > 1e-6:
        msg = f"repaired needs ends, and weights that are one for each of them and sum to 1; got {shares.tolist()}."
        raise UsageError(msg)
    drawn = as_sample("repaired", on).draw(problem)
    inputs = Batch.range(drawn.examples, 0, len(drawn)).inputs
    paths = layers_repaired(problem)
    modules = []
    for member in range(len(averaged)):
        found = [_spreads(end.module(member), paths, inputs) for end in ends]
        wanted = {
            path: _Spread(
                torch.stack([w * one[path].mean for w, one in zip(shares, found, strict=True)]).sum(0),
                torch.stack([w * one[path].deviation for w, one in zip(shares, found, strict=True)]).sum(0),
            )
            for path in paths
        }
        modules.append(_with(averaged.module(member), wanted, inputs))
    theta = problem.population(modules).theta
    theta = theta if averaged.mask is None else theta * averaged.mask
    return recomputed(problem, averaged.with_theta(theta), on)


def _spreads(module: nn.Module, paths: Sequence[str], inputs: Any) -> dict[str, _Spread]:
    """Of the layers of a network."""
    seen: dict[str, _Spread] = {}
    for path in paths:
        module.get_submodule(path).register_forward_hook(
            lambda layer, _, output, path=path: seen.__setitem__(path, _Spread.of(output, layer))
        )
    _run(module, inputs)
    return seen


def _with(module: nn.Module, wanted: Mapping[str, _Spread], inputs: Any) -> nn.Module:
    """A network with other means and deviations of its units, in place, one layer after the other as it is called."""
    for path, aim in wanted.items():
        module.get_submodule(path).register_forward_hook(partial(_repair, aim=aim))
    _run(module, inputs)
    return module


def _repair(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor, *, aim: _Spread) -> Tensor:
    """Rescale a layer by what it gives now; what it gives then."""
    now = _Spread.of(output, layer)
    factors = torch.where(now.deviation > 0, aim.deviation / now.deviation.clamp_min(1e-300), 1.0)
    weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
    groups = layer.groups if isinstance(layer, _ConvTransposeNd) else 1
    dim = 1 if isinstance(layer, _ConvTransposeNd) else 0
    rows = weight.shape[0] // groups
    for group, some in enumerate(factors.chunk(groups)):  # a transposed convolution has its outputs along dimension 1
        part = weight[group * rows : (group + 1) * rows] if dim else weight
        part.mul_(some.to(weight).view([-1 if place == dim else 1 for place in range(weight.ndim)]))
    bias.copy_(factors * (bias.double() - now.mean) + aim.mean)
    return layer.forward(*given)


def _run(module: nn.Module, inputs: Any) -> None:
    with torch.no_grad(), global_stream(0, "repair"):
        call(module.eval(), inputs)


def _lines(output: Tensor, layer: nn.Module) -> Float[Tensor, "lines units"]:
    """What a layer gives, units last."""
    if isinstance(layer, _ConvNd):
        output = output.movedim(-len(layer.kernel_size) - 1, -1)
    return output.reshape(-1, output.shape[-1])
