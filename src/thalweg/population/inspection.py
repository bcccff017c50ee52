"""Whether a model is a function of its parameters, buffers and inputs, by plain calls and by those of populations.

Members are one private copy of the model with their own tensors in the place of its own. What a model keeps elsewhere,
writes into its parameters, or does when it is set to a mode would belong to no member, or to all of them.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.population.binding import Bound, call, exchanged
from thalweg.population.copying import copied, in_mode
from thalweg.population.holdings import places
from thalweg.population.layout import Layout
from thalweg.population.noise import near
from thalweg.population.population import Population
from thalweg.population.precision import Precision
from thalweg.randomness import generator, global_stream

_REMEDY = "compute with the changed values and leave the parameter as it is"
_MERGED = "(of loralib's layers, merge_weights=False)"
_MANY = 10_000  # calls later a count still may not matter
_FIRST = "or let it do so before: a function that builds the model may call it once on data and then return it"


@dataclass(frozen=True)
class Inspection:
    """What a look at a model in one mode found.

    Args:
        alone: why members are computed one by one by plain autograd, for a person; empty where nothing speaks against
            transforms of functions (vmap, torch.func).
        hooked: the first parameter with a gradient hook, which it may get at a call; or empty.
    """

    alone: str = ""
    hooked: str = ""


@dataclass(frozen=True, eq=False)
class _Pass:
    """Outputs that are differentiable, and gradients of a random sum of them by the parameters."""

    outputs: list[Tensor]
    gradients: list[Tensor]


def inspect(template: nn.Module, inputs: Any, *, training: bool) -> Inspection:
    """Compare plain calls of a model, at random parameters, with those of a bound copy and of `functional_call`.

    Raises:
        ModelError: it writes into its parameters, or computes with numbers that its parameters had before, so that
            members would be given those of others; the sentence names what and the remedy.

    Cost: five forward and four backward passes on a few examples; none of a model made of torch's layers alone.
    """
    bounded = [path for path, layer in template.named_modules() if getattr(layer, "max_norm", None) is not None]
    if bounded:  # whose rows may be shorter here than elsewhere
        msg = (
            f"The model writes into its parameter {f'{bounded[0]}.weight'.lstrip('.')!r} in "
            f"{'training' if training else 'evaluation'} mode, so its numbers would not be those of a member; bring "
            "the rows to that norm where they are used, and leave max_norm out."
        )
        raise ModelError(msg)
    hooked = next((name for name, one in template.named_parameters() if one._backward_hooks), "")
    if not hooked and all(map(_is_known, template.modules())):
        return Inspection()
    with torch.enable_grad():
        for size in (1.0, 0.05, 0.0):  # where the model cannot be called at random parameters, nearer to its own
            look = _Look(template, inputs, size, training=training)
            try:
                plain = look.plain()
            except _CannotBeCalledError:
                if size:
                    continue
                return Inspection("", hooked)  # said where it is called next
            if size and not all(bool(one.isfinite().all()) for one in (*plain.outputs, *plain.gradients)):
                continue
            break
        look.check_bound(plain)
        alone = look.reason(plain)
    hooked = hooked or look.hooking
    return Inspection(alone or (hooked and f"the parameter {hooked!r} has a gradient hook"), hooked)


def _is_known(layer: nn.Module) -> bool:
    """Whether this is a layer as its class in torch made it."""
    if not type(layer).__module__.startswith(("torch.nn.modules.", "thalweg.nets.")):
        return False
    return not any(held and (name.endswith("_hooks") or name == "forward") for name, held in vars(layer).items())


class _CannotBeCalledError(Exception):
    """Raised where a model cannot be called at the parameters of a look."""


class _Look:
    """A model at parameters of its own, in one mode."""

    def __init__(self, template: nn.Module, inputs: Any, size: float, *, training: bool) -> None:
        self.template, self.inputs, self.training = template, inputs, training
        self.layout = Layout.of(template)
        self.mode = "training" if training else "evaluation"
        named = dict(template.named_parameters())
        self.own = [named[entry.name].detach() for entry in self.layout]
        moved = near(self.own, generator(0, "inspection"))
        self.point = [one + size * (other - one) for one, other in zip(self.own, moved, strict=True)]
        frozen = {name: one for name, one in named.items() if name not in {entry.name for entry in self.layout}}
        self.buffers = {name: one.detach() for name, one in (*frozen.items(), *template.named_buffers())}
        self.made, self.hooking, self.near_by = False, "", 0.0
        self.module, self._noise = template, {}

    def plain(self) -> _Pass:
        """By the module itself, `backward` and all."""
        module = copied(self.template)
        named = dict(module.named_parameters())
        own = [named[entry.name] for entry in self.layout]
        with torch.no_grad():
            for parameter, value in zip(own, self.point, strict=True):
                parameter.copy_(value)
        buffers = dict(module.named_buffers())
        before = {name: tensor.detach().clone() for name, tensor in (named | buffers).items()}
        trained = {name for name, one in named.items() if one.requires_grad}
        in_mode(module, training=self.training)
        self._check_trained(named, trained, f"when it is set to {self.mode} mode")
        self._check_same(named, before, f"when it is set to {self.mode} mode", f"{_REMEDY} {_MERGED}")
        self._check_same(buffers, before, f"when it is set to {self.mode} mode", f"{_REMEDY} {_MERGED}")
        counts, hooks = _counts(module), {name: len(one._backward_hooks or ()) for name, one in named.items()}
        with Precision(self.own[0].dtype) as precision:
            outputs = self._outputs(module)
        self._check_trained(named, trained, f"in {self.mode} mode")
        self.near_by = torch.finfo(precision.coarsest).eps ** 0.5
        self.hooking = next((name for name, one in named.items() if len(one._backward_hooks or ()) > hooks[name]), "")
        self._check_counts(module, counts, outputs)
        total = self._total(outputs)
        if total.requires_grad:
            total.backward()
        self._check_same(named, before, f"in {self.mode} mode", f"{_REMEDY}, {_FIRST}")
        self.made = any(name not in before or b.shape != before[name].shape for name, b in module.named_buffers())
        gradients = [torch.zeros_like(one) if one.grad is None else dense(one.grad) for one in own]
        return _Pass([one.detach() for one in outputs], gradients)

    def check_bound(self, plain: _Pass) -> None:
        """Raise ModelError unless a copy that was called before, bound to the parameters, gives the same."""
        theta = torch.cat([one.reshape(1, -1) for one in self.own], 1)
        buffers = {name: one.unsqueeze(0) for name, one in self.buffers.items()}
        bound = Bound(self.template, Population(theta, buffers, self.layout, self.template), training=self.training)
        bound.bind(map(nn.Parameter, self.own), {name: one.clone() for name, one in self.buffers.items()})
        with contextlib.suppress(_CannotBeCalledError):
            self._outputs(bound.module, tree_map(lambda leaf: leaf.flip(0), self.inputs))
        leaves = [nn.Parameter(value.clone()) for value in self.point]
        for leaf, hooks in zip(leaves, bound.hooks, strict=True):
            for hook in hooks:
                leaf.register_hook(hook)
        for name, tensor in bound.replaced(self.buffers).items():
            if tensor is None or tensor.shape != self.buffers[name].shape:
                bound.release(name)
        bound.bind(leaves, {name: one.clone() for name, one in self.buffers.items()})
        self.module = bound.module
        try:
            outputs = self._outputs(bound.module)
        except _CannotBeCalledError as error:
            msg = f"The model cannot be called with tensors of members in the place of its own: {error.__cause__}"
            raise ModelError(msg) from error
        if not _near(outputs, plain.outputs, self.near_by):
            self._check_held()
            msg = (
                f"The model does not compute with the parameters that it is given in {self.mode} mode: it keeps "
                "numbers that were computed before (weights folded when the mode is set, a cache, a counter). Compute "
                "them in forward, from attributes such as self.weight, or keep what changes between calls in buffers "
                "(register_buffer)."
            )
            raise ModelError(msg)
        total = self._total(outputs)
        gradients = torch.autograd.grad(total, leaves, materialize_grads=True) if total.requires_grad else self.own
        if total.requires_grad and not _near([dense(one) for one in gradients], plain.gradients, self.near_by):
            msg = (
                "The backward pass of the model gives other gradients than backward() does: it writes them past "
                "torch.autograd.grad, as torch.utils.checkpoint does with use_reentrant=True; write "
                "use_reentrant=False there."
            )
            raise ModelError(msg)

    def reason(self, plain: _Pass) -> str:
        """Why torch.func cannot differentiate it, or gives something else; empty where it does as plain autograd."""
        if self.made:
            return "the model makes buffers when it is called"
        if self.training:
            return ""
        names = [entry.name for entry in self.layout]
        running = {name: self.buffers[name] for name, _ in self.module.named_buffers() if name in self.buffers}

        def outputs(point: list[Tensor]) -> list[Tensor]:
            own = {name: buffer.clone() for name, buffer in running.items()}  # the model may write into them
            tensors = {**dict(zip(names, point, strict=True)), **own}
            return self._outputs(exchanged(self.module, tensors))

        try:
            found, pulled, *_ = vjp(outputs, self.point)
            gradients = pulled([self._weights(one) for one in found])[0]
        except Exception as error:
            cause = error.__cause__ or error
            said = str(cause).partition("\n")[0].partition(". ")[0].rstrip(".") or type(cause).__name__
            return f"torch.func cannot differentiate the model ({said})"
        if not _near(found, plain.outputs, self.near_by):
            return "the model holds parameters elsewhere too, such as in a list"
        if _near(gradients, plain.gradients, self.near_by):
            return ""
        return "hooks or the backward pass of the model read it again (activation checkpointing, implicit layers)"

    def _check_counts(self, module: nn.Module, before: dict[str, float], outputs: list[Tensor]) -> None:
        """Raise ModelError where a number that the call changed matters once it has grown."""
        moved = {name: now for name, now in _counts(module).items() if before.get(name, now) != now}
        if not moved:
            return
        later = copied(self.template)
        with torch.no_grad():
            for (_, parameter), value in zip(later.named_parameters(), module.parameters(), strict=True):
                parameter.copy_(value)
        in_mode(later, training=self.training)
        for name, now in moved.items():
            path, _, leaf = name.rpartition(".")
            setattr(dict(later.named_modules())[path], leaf, now + type(now)(_MANY * (now - before[name])))
        try:
            found = self._outputs(later)
        except _CannotBeCalledError:  # what it counts is not calls, but what it has made
            return
        if not _near(found, [one.detach() for one in outputs], self.near_by):
            msg = (
                f"The model counts its calls in {next(iter(moved))!r} and computes with the count, which members would "
                "share; keep it in a buffer (register_buffer), written in place."
            )
            raise ModelError(msg)

    def _check_held(self) -> None:
        """Raise ModelError where a parameter is also held where it cannot be exchanged for those of members."""
        names = {id(one): name for name, one in self.template.named_parameters()}
        for place in places(self.template):
            if id(place.value) in names and not place.writable:
                name = names[id(place.value)]
                msg = (
                    f"The model finds its parameter {name!r} at {place.path!r} too, where it cannot be exchanged for "
                    f"those of members; use self.{name}, or make a list of a tuple."
                )
                raise ModelError(msg)

    def _outputs(self, module: Any, inputs: Any = None) -> list[Tensor]:
        try:
            with global_stream(0, "inspection"):
                outputs = call(module, self.inputs if inputs is None else inputs)
        except Exception as error:
            raise _CannotBeCalledError from error
        return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]

    def _weights(self, like: Tensor) -> Tensor:
        if like.shape not in self._noise:
            noise = torch.randn(like.shape, generator=generator(0, "weights"), dtype=torch.float64)
            self._noise[like.shape] = noise.to(like.device, like.dtype)
        return self._noise[like.shape]

    def _total(self, outputs: list[Tensor]) -> Tensor:
        return sum(((self._weights(one) * one).sum() for one in outputs if one.requires_grad), torch.zeros(()))

    def _check_trained(self, now: Mapping[str, Tensor], before: set[str], when: str) -> None:
        """Raise ModelError where other parameters require gradients than before."""
        for name, tensor in now.items():
            if tensor.requires_grad != (name in before):
                msg = (
                    f"The model calls requires_grad_({tensor.requires_grad}) on its parameter {name!r} {when}, but "
                    "what is trained is known from the model as it is passed; call it when the model is built, or "
                    "keep parameters by train(mask=...)."
                )
                raise ModelError(msg)

    def _check_same(self, now: Mapping[str, Tensor], before: dict[str, Tensor], when: str, remedy: str) -> None:
        """Raise ModelError where a parameter or buffer has other numbers than before."""
        for name, tensor in now.items():
            if not _equal(tensor, before[name]):
                what = "parameter" if isinstance(tensor, nn.Parameter) else "buffer"
                msg = (
                    f"The model writes into its {what} {name!r} {when}, so its numbers would not be those of a member; "
                    f"{remedy}."
                )
                raise ModelError(msg)


def _counts(module: nn.Module) -> dict[str, float]:
    """The numbers that modules hold as attributes."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if type(value) in (int, float)
    }


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return torch.equal(one, other) or torch.equal(one.nan_to_num(), other.nan_to_num())


def dense(gradient: Tensor) -> Tensor:
    """A gradient as columns of a matrix can hold it; embeddings may give sparse ones."""
    return gradient.to_dense() if gradient.layout != torch.strided else gradient


def _near(found: Any, wanted: list[Tensor], near_by: float) -> bool:
    """Whether tensors are equal to far less than a wrong term would make."""
    if len(found) != len(wanted):
        return False
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape:
            return False
        if torch.equal(one, other):
            continue
        scale = float(other.detach().abs().nan_to_num(0, 0, 0).max()) if other.numel() else 0.0
        if not torch.allclose(one.detach(), other.detach(), rtol=near_by, atol=near_by * scale, equal_nan=True):
            return False
    return True
