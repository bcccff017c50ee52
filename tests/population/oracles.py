"""Derivatives of one network as dense matrices, by torch alone."""

import torch
from cases import Case, mean_loss, plain_call
from torch import Tensor
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from thalweg.population import Batch, Population


class Dense:
    """One member's loss, outputs and their derivatives as dense matrices, by autograd on a flat vector."""

    def __init__(self, case: Case, population: Population, member: int, batch: Batch) -> None:
        self.case, self.layout = case, population.layout
        self.module = population.module(member).eval()
        self.theta = population.theta[member].clone()
        self.inputs, self.targets = batch.member(member)
        self.form = None

    def outputs(self, theta: Tensor) -> Tensor:
        """All outputs, flat."""
        named = self.layout.views(theta)
        with sdpa_kernel(SDPBackend.MATH):
            outputs = plain_call(lambda *args, **names: functional_call(self.module, named, args, names), self.inputs)
        leaves, self.form = tree_flatten(outputs)
        self.shapes = [leaf.shape for leaf in leaves]
        return torch.cat([leaf.flatten() for leaf in leaves])

    def loss_of(self, flat: Tensor) -> Tensor:
        """The mean loss of flat outputs."""
        parts = flat.split([shape.numel() for shape in self.shapes])
        leaves = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return mean_loss(self.case, tree_unflatten(leaves, self.form), self.targets)

    def loss(self, theta: Tensor) -> Tensor:
        return self.loss_of(self.outputs(theta))

    def gradient(self) -> Tensor:
        return jacobian(self.loss, self.theta)

    def hessian(self) -> Tensor:
        return hessian(self.loss, self.theta)

    def jacobian(self) -> Tensor:
        return jacobian(self.outputs, self.theta)

    def gauss_newton(self) -> Tensor:
        changes = self.jacobian()
        return changes.T @ hessian(self.loss_of, self.outputs(self.theta)) @ changes
