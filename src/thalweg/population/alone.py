"""Members computed one by one by the plain module, in memory of their own: what other ways are compared with."""

import contextlib
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path, tree_map

from thalweg.errors import ModelError
from thalweg.losses.of_user import mean_of
from thalweg.population.agreement import Named
from thalweg.population.batch import Batch
from thalweg.population.layout import Layout
from thalweg.population.looped import Looped
from thalweg.population.noise import moved_tree
from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.population.rounding import OneWay, rounding_of
from thalweg.randomness import global_stream


class Alone:
    """The plain module at copies of some members.

    Args:
        problem: what is evaluated.
        population: whose members are computed; its running buffers and theta are copied.
        training: see `Execution`.
    """

    def __init__(self, problem: Problem, population: Population, *, training: bool) -> None:
        self.problem, self.training = problem, training
        self.population = population.with_theta(population.theta.clone()).with_own_buffers()
        self.looped = Looped(problem, self.population, training=training)

    def put(self, population: Population) -> None:
        """Take these members, as many, in the place of those before."""
        self.population.theta.copy_(population.theta)
        for name, buffer in self.population.running.items():
            buffer.copy_(population.buffers[name])
        self.looped.read({**population.buffers, **self.population.running})

    def results(self, batch: Batch) -> dict[str, Tensor]:
        """In training loss, gradients and buffers by name, in evaluation outputs and buffers; members in front."""
        rows = slice(0, len(self.population))
        with global_stream(0, "audit"):
            if not self.training:
                return named_outputs(self.looped.outputs(rows, batch), self.population.running)
            gradient = torch.empty_like(self.population.theta)
            losses = self.looped.gradient(rows, batch, gradient)
        return named_gradients(self.population.layout, losses, gradient, self.population.running)

    def moved(self, population: Population, batch: Batch, size: float, draw: int) -> dict[str, Tensor]:
        """The results of members where parameters and inputs are moved (see `moved`).

        The loss is moved as far as those of examples are on the average, whatever their signs, by that and by their
        own rounding, and gradients by the rounding of the loss's gradients by outputs: another kernel may round them
        all one way, as log(1 + p) of a small p.
        """
        there, seen = moved(population, batch, size, draw)
        self.put(there)
        self.looped.loss = OneWay(self.problem.loss, (-1) ** draw) if size else self.problem.loss
        try:
            results = self.results(seen)
        finally:
            self.looped.loss = self.problem.loss
        if size and "loss" in results:
            with contextlib.suppress(ModelError):  # a loss that gives no values of examples
                (loss, values, weights, rounding), others = self._losses(population, batch), self._losses(there, seen)
                results["loss"] = (loss + mean_of((others[1] - values).abs() + rounding, weights)[0]).unsqueeze(1)
        return results

    @torch.no_grad()
    def _losses(self, population: Population, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Losses (members,), and of examples values, weights and the rounding of values: (members, batch) each."""
        self.put(population)
        loss, found = self.problem.loss, []
        for member in range(len(population)):
            outputs = self.looped.outputs(slice(member, member + 1), batch)
            own, targets = tree_map(lambda leaf: leaf[0], outputs), batch.member(member)[1]
            values, weights = loss.entries(own, targets)
            rounding = rounding_of(loss, own, targets, values)
            found.append((loss.mean(own, targets).double(), values.double(), weights, rounding))
        means, values, weights, rounding = zip(*found, strict=True)
        stacked = None if weights[0] is None else torch.stack(weights)
        return torch.stack(means), torch.stack(values), stacked, torch.stack(rounding)


def moved(population: Population, batch: Batch, size: float, draw: int) -> tuple[Population, Batch]:
    """Members and inputs with every number moved by about such a share of itself, at random by draw."""
    there = population.with_theta(moved_tree(population.theta, size, draw))
    return there, replace(batch, inputs=moved_tree(batch.inputs, size, draw))


def named_gradients(layout: Layout, losses: Tensor, gradient: Tensor, buffers: Named) -> dict[str, Tensor]:
    """Results of training as `compare` takes them; only buffers are copied."""
    parts = {f"the gradient of {name!r}": part for name, part in layout.views(gradient).items()}
    return {"loss": losses.unsqueeze(1)} | parts | _named_buffers(buffers)


def named_outputs(outputs: Any, buffers: Named) -> dict[str, Tensor]:
    """Results of evaluation likewise."""
    leaves = [(path, leaf) for path, leaf in tree_flatten_with_path(outputs)[0] if isinstance(leaf, Tensor)]
    parts = {f"output {''.join(map(str, path))}" if path else "the output": leaf for path, leaf in leaves}
    return parts | _named_buffers(buffers)


def _named_buffers(buffers: Named) -> dict[str, Tensor]:
    return {f"buffer {name!r}": buffer.clone() for name, buffer in buffers.items()}
