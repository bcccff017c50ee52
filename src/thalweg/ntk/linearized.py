"""A network that is linear in its parameters: its Taylor expansion where it is now, as a module like any other."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from thalweg.errors import UsageError, check_type
from thalweg.ntk.plain_normalization import PlainNormalization
from thalweg.population.attention import mapped_attention


class Linearized(nn.Module):
    """The Taylor expansion of a network around its parameters; see `linearized`.

    >>> import thalweg as tw
    >>> sorted(name for name, one in tw.ntk.Linearized(tw.nets.mlp(4, 2)).named_parameters() if one.requires_grad)
    ['network.output.bias', 'network.output.weight']
    """

    def __init__(self, network: nn.Module, order: int = 1) -> None:
        super().__init__()
        self.order = order
        self.network = network
        self.initial = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self._trained = tuple(name for name, one in network.named_parameters() if one.requires_grad)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """f_0 + J (theta - theta_0), and half the second derivative along theta - theta_0 with order 2."""
        now, fixed = dict(self.network.named_parameters()), dict(self.initial.named_parameters())
        point: dict[str, Tensor] = {name: fixed[name] for name in self._trained}
        direction = {name: now[name] - point[name] for name in self._trained}

        def value(tensors: dict[str, Tensor]) -> Tensor:
            found = functional_call(self.initial, {**fixed, **tensors}, inputs, named)
            if not isinstance(found, Tensor):
                msg = (
                    f"linearized needs a network that returns one tensor, but this one returns {type(found).__name__}; "
                    "wrap it in a module that returns the outputs you mean."
                )
                raise UsageError(msg)
            return found

        with mapped_attention():  # the fused kernels have no such derivatives
            if self.order == 1:
                outputs, first = _along(value, point, direction)
                return outputs + first
            with PlainNormalization():
                (outputs, first), (_, second) = _along(lambda at: _along(value, at, direction), point, direction)
            return outputs + first + second / 2

    def train(self, mode: bool = True) -> "Linearized":
        """Has no effect on what is computed: the expansion is that of the network in evaluation mode."""
        super().train(mode)
        self.initial.eval()
        return self


def _along(function: Callable[..., Any], at: dict[str, Tensor], direction: dict[str, Tensor]) -> Any:
    """The function's value and its derivative along a direction, by forward mode where torch has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns of a part of itself that jvp still uses
        try:
            return jvp(function, (at,), (direction,))
        except NotImplementedError:
            return _backward_along(function, at, direction)


def _backward_along(function: Callable[..., Any], at: dict[str, Tensor], direction: dict[str, Tensor]) -> Any:
    """The same by backward passes alone: J v is the derivative of w -> J^T w, which is linear in w."""
    try:
        found: Any = vjp(function, at)
        pulled: Any = vjp(lambda weights: found[1](weights)[0], tree_map(torch.zeros_like, found[0]))
        return found[0], pulled[1](direction)[0]
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
    with torch.enable_grad():  # where saved tensors have hooks, as in checkpoints, which torch.func does not take
        point = {name: one if one.requires_grad else one.detach().requires_grad_() for name, one in at.items()}
        values, form = tree_flatten(function(point))
        weights = [torch.zeros_like(value).requires_grad_() for value in values]
        more: dict[str, Any] = {"create_graph": True, "materialize_grads": True}
        pulled = torch.autograd.grad(values, list(point.values()), weights, **more)
        pushed = torch.autograd.grad(pulled, weights, list(direction.values()), **more)
    return tree_unflatten(values, form), tree_unflatten(pushed, form)


def linearized(network: nn.Module, *, order: int = 1) -> Linearized:
    """The network's Taylor expansion around its present parameters, which any rule trains.

        order 1:  f(x; theta_0) + J(x) (theta - theta_0)
        order 2:  ... + 1/2 (theta - theta_0)^T H(x) (theta - theta_0)

    Of order 1 it is linear in its parameters: its tangent kernel is constant, and what `gradient_descent` says of the
    kernel is what training it does, step for step. It trains as any module does, also with rules that no kernel
    describes, as Adam. Outputs at the start, gradients there and the tangent kernel are those of the network. A member
    of a population has a start of its own, kept beside its parameters as frozen ones.

    Args:
        network: a module that returns one tensor, or the call raises UsageError; it is taken in evaluation mode, as
            batch normalization by running statistics and no dropout.
        order: 1 or 2.

    Raises:
        UsageError: another order, or no module.

    Cost: about two evaluations of the network at every call, three with order 2, and twice the memory of the
        parameters.

    References:
        Lee et al. (2019, arXiv:1902.06720); Bai & Lee (2020, arXiv:1910.01619) for order 2.

    >>> import torch
    >>> import thalweg as tw
    >>> network, x = tw.nets.mlp(4, 3, 2, activation="square", bias=False).double(), torch.ones(1, 4).double()
    >>> line, parabola = (tw.ntk.linearized(network, order=order) for order in (1, 2))
    >>> with torch.no_grad():  # doubled parameters, of which the output is of degree 3
    ...     for one in network.parameters():
    ...         _ = one.mul_(2)
    >>> start = line.initial(x)
    >>> [torch.allclose(net(x), share * start) for net, share in ((line, 4), (parabola, 7), (network, 8))]
    [True, True, True]
    """
    check_type("linearized network", network, nn.Module, "a module such as nets.mlp(64, 32, 10)")
    if order not in (1, 2):
        msg = f"The order of linearized is 1 or 2; got {order!r}."
        raise UsageError(msg)
    if not any(one.requires_grad for one in network.parameters()):
        msg = "linearized needs a network with parameters that require a gradient; this one has none."
        raise UsageError(msg)
    return Linearized(network, order)
