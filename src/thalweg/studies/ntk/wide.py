"""What NTK2 to NTK4 look at: networks of every width, their kernels before and after training, and their answers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.evaluation import outputs
from thalweg.figures import Line
from thalweg.nets import ScaledLinear
from thalweg.population import Population, Problem
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.setting import descent, largest_rate, own_kernels, problem_of
from thalweg.studies.ntk.subsets import TRAIN, Sets, analytic, as_large, distance

Array = NDArray[np.float64]
SHOWN = (0, 1, 2, 4, 8, 16, 32)  # steps after which answers are drawn, besides the last


def hidden_move(problem: Problem, before: Population, after: Population, inputs: Tensor) -> Array:
    """The root mean square of a hidden unit's change before its nonlinearity, on its training examples: (seeds,)."""
    layer = problem.template.get_submodule("hidden1")
    assert isinstance(layer, ScaledLinear)
    change = before.with_theta(after.theta - before.theta)
    weight, bias = (dict(change.layout.views(change.theta))[f"hidden1.{name}"] for name in ("weight", "bias"))
    moved = layer.weight_scale * inputs[:, :TRAIN].to(weight) @ weight.mT + layer.bias_scale * bias[:, None]
    return moved.double().square().mean((1, 2)).sqrt().cpu().numpy()


@dataclass(frozen=True)
class Arm:
    """Networks that differ in width alone: with readout_power 1 in the parameterization of a mean field."""

    activation: str
    hidden: int = 1
    readout_power: float = 0.5

    def widths(self, width: int) -> tuple[int, ...]:
        """Of all layers."""
        return (64, *(width,) * self.hidden, 1)


ARMS = {"tanh": Arm("tanh"), "ReLU": Arm("relu"), "mean field": Arm("tanh", readout_power=1.0)}
DEEPER = {"tanh, two layers": Arm("tanh", 2), "ReLU, two layers": Arm("relu", 2)}


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks of one width, one a seed; all but the last three (seeds,).

    Args:
        distances: of the kernel before training from one of infinite width, by its name, relative to the analytic one.
        drift: how far training moved the kernel, relative to what it was.
        moved: the root mean square of a hidden unit's change before its nonlinearity.
        loss: at the end, as a share of the first.
        errors: on examples held out, how far answers in closed form are from the network's, relative to how far
            training moved these, by the name of the kernel: "own", or one of infinite width.
        steps: after which answers are shown.
        answers, closed: of the first network to three examples held out, and in closed form: (steps, 3).
    """

    distances: Mapping[str, Array]
    drift: Array
    moved: Array
    loss: Array
    errors: Mapping[str, Array]
    steps: list[int]
    answers: Array
    closed: Array


def trained(
    lab: Lab, sets: Sets, arm: Arm, width: int, limits: Mapping[str, Tensor], *, rate: float, steps: int
) -> Trained:
    """Train networks of one width on their own examples, and compare them with closed forms.

    In a mean field the kernel is smaller by the width, and the rate larger by it.
    """
    problem = problem_of(lab, sets.data, arm.widths(width), arm.activation, readout_power=arm.readout_power)
    scale = float(width) ** (1 - 2 * arm.readout_power)
    shown = [step for step in SHOWN if step < steps] + [steps]
    recipe = descent(rate / scale, steps, TRAIN, snapshot=tuple(shown))
    inputs, rows = sets.inputs, sets.rows
    label = f"{arm.activation}, {arm.hidden} x {width}"
    run = lab.train(problem, recipe, sets.seeds, label, examples=rows[:, :TRAIN])
    before, after = run.snapshots[0], run.final
    first = own_kernels(problem, before, inputs, TRAIN)
    last = own_kernels(problem, after, inputs[:, :TRAIN])
    start, end = (
        outputs(problem, one, "train", rows=rows, plan=run.plans["outputs"]).double().cpu() for one in (before, after)
    )

    def closed(kernel: Tensor) -> Array:
        path = ntk.gradient_descent(
            kernel[:, :TRAIN], kernel[:, TRAIN:], sets.targets, lr=rate / scale, steps=shown,
            start=start[:, :TRAIN], start_test=start[:, TRAIN:],
        )  # fmt: skip
        return path["test"][..., 0]

    right = scale * limits["analytic"]
    paths = {name: closed(as_large(kernel, right)) for name, kernel in limits.items()} | {"own": closed(first)}
    held, moved = end[:, TRAIN:, 0].numpy(), (end - start)[:, TRAIN:, 0].norm(dim=1).numpy()
    three = rows[:1, TRAIN : TRAIN + 3]
    answers = [outputs(problem, run.snapshots[step][:1], "train", rows=three)[0, :, 0] for step in shown]
    return Trained(
        distances={name: distance(first, scale * kernel, right) for name, kernel in limits.items()},
        drift=distance(last, first[:, :TRAIN], first),
        moved=hidden_move(problem, before, after, inputs),
        loss=run.history["train_loss"][-1] / run.history["train_loss"][0],
        errors={name: np.linalg.norm(held - path[:, -1], axis=1) / moved for name, path in paths.items()},
        steps=shown,
        answers=torch.stack(answers).double().cpu().numpy(),
        closed=paths["own"][0, :, :3],
    )


def guide(widths: tuple[int, ...], beside: Array, power: float) -> Line:
    """A line of this power of the width, through the middle of values (widths, seeds)."""
    x = np.array(widths, dtype=np.float64)
    return Line(x, np.exp(np.log(beside).mean() - power * np.log(x).mean()) * x**power, label=f"slope {power:g}")


@dataclass(frozen=True, eq=False)
class Wide:
    """All that was trained.

    Args:
        sets: of the seeds.
        widths: of every arm.
        steps: of every network.
        limits: kernels of infinite width by activation, of one hidden layer.
        trained: by arm, one a width.
    """

    sets: Sets
    widths: Mapping[str, tuple[int, ...]]
    steps: int
    limits: Mapping[str, Mapping[str, Tensor]]
    trained: Mapping[str, list[Trained]]

    def table(self, arm: str, name: str) -> Array:
        """A quantity of `Trained` in one arm: (widths, seeds)."""
        return np.stack([getattr(one, name) for one in self.trained[arm]])

    def by_kernel(self, arm: str, name: str, kernel: str) -> Array:
        """Distances or errors in one arm: (widths, seeds)."""
        return np.stack([getattr(one, name)[kernel] for one in self.trained[arm]])


def all_of(lab: Lab, seeds: list[int], widths: Mapping[str, tuple[int, ...]], steps: int) -> Wide:
    """Train every arm at every of its widths, all networks of an activation and depth at one rate.

    The rate is 1 / the largest eigenvalue of the analytic kernel, the largest over seeds.
    """
    sets, arms = Sets.of(seeds), ARMS | DEEPER
    kinds = {(arms[name].activation, arms[name].hidden) for name in widths}
    limits = {kind: analytic(sets, *kind) for kind in sorted(kinds)}
    found = {}
    for name, every in widths.items():
        own = limits[arms[name].activation, arms[name].hidden]
        rate = largest_rate(own["analytic"][:, :TRAIN])
        found[name] = [trained(lab, sets, arms[name], width, own, rate=rate, steps=steps) for width in every]
    return Wide(sets, widths, steps, {kind: own for (kind, hidden), own in limits.items() if hidden == 1}, found)
