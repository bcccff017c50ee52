"""Whether a model is a function of its parameters, buffers and inputs, by plain calls and by those of populations.

Members are one private copy of the model with their own tensors in the place of its own. What a model keeps elsewhere,
writes into its parameters, or does when it is set to a mode would belong to no member, or to all of them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.population.binding import Bound, call
from thalweg.population.copying import copied, in_mode
from thalweg.population.layout import Layout
from thalweg.population.noise import near
from thalweg.population.population import Population
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
        hooked: the first parameter with a gradient hook, or empty.
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
        own = [named[entry.name].detach() for entry in self.layout]
        moved = near(own, generator(0, "inspection"))
        self.point = [one + size * (other - one) for one, other in zip(own, moved, strict=True)]
        self.made = False

    def plain(self) -> _Pass:
        """By the module itself, `backward` and all."""
        module = copied(self.template)
        named = dict(module.named_parameters())
        own = [named[entry.name] for entry in self.layout]
        with torch.no_grad():
            for parameter, value in zip(own, self.point, strict=True):
                parameter.copy_(value)
        before = _copies(module)
        in_mode(module, training=self.training)
        counts = _counts(module)
        self._check_same(module, before, f"when it is set to {self.mode} mode", f"{_REMEDY} {_MERGED}", buffers=True)
        outputs = self._outputs(module)
        self._check_counts(module, counts, outputs)
        for parameter in own:
            parameter.grad = None
        total = _total(outputs)
        if total.requires_grad:
            total.backward()
        self._check_same(module, before, f"in {self.mode} mode", f"{_REMEDY}, {_FIRST}")
        self.made = any(name not in before or b.shape != before[name].shape for name, b in module.named_buffers())
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in own]
        return _Pass([one.detach() for one in outputs], [one.to_dense() if one.is_sparse else one for one in gradients])

    def check_bound(self, plain: _Pass) -> None:
        """Raise ModelError unless a copy that was called before, bound to the parameters, gives the same."""
        population = Population.of([self.template])
        bound = Bound(self.template, population, training=self.training)
        buffers = {name: buffer[0] for name, buffer in population.buffers.items()}
        first = [parameter.detach().clone().requires_grad_() for parameter in self._own()]
        bound.bind(first, {name: buffer.clone() for name, buffer in buffers.items()})
        with global_stream(1, "inspection"):
            call(bound.module, tree_map(lambda leaf: leaf.flip(0), self.inputs))
        leaves = [nn.Parameter(value.clone()) for value in self.point]
        for leaf, hooks in zip(leaves, bound.hooks, strict=True):
            for hook in hooks:
                leaf.register_hook(hook)
        for name, tensor in bound.replaced(buffers).items():
            if tensor.shape != buffers[name].shape:
                bound.release(name)
        bound.bind(leaves, {name: buffer.clone() for name, buffer in buffers.items()})
        outputs = self._outputs(bound.module)
        if not _near(outputs, plain.outputs):
            msg = (
                f"The model does not compute with the parameters that it is given in {self.mode} mode: it keeps "
                "numbers that were computed before (weights folded when the mode is set, a cache, a counter). Compute "
                "them in forward, from attributes such as self.weight, or keep what changes between calls in buffers "
                "(register_buffer)."
            )
            raise ModelError(msg)
        gradients = torch.autograd.grad(_total(outputs), leaves, materialize_grads=True) if leaves else ()
        if not _near([one.to_dense() if one.is_sparse else one for one in gradients], plain.gradients):
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
        module = in_mode(copied(self.template), training=False)
        names = [entry.name for entry in self.layout]
        buffers = dict(module.named_buffers())

        def outputs(point: list[Tensor]) -> list[Tensor]:
            own = {name: buffer.clone() for name, buffer in buffers.items()}  # the model may write into them
            tensors = {**dict(zip(names, point, strict=True)), **own}
            return self._outputs(lambda *args, **named: functional_call(module, tensors, args, named))

        try:
            found, pulled, *_ = vjp(outputs, self.point)
            gradients = pulled([_weights(one) for one in found])[0]
        except Exception as error:
            cause = error.__cause__ or error
            said = str(cause).partition("\n")[0].partition(". ")[0].rstrip(".") or type(cause).__name__
            return f"torch.func cannot differentiate the model ({said})"
        if not _near(found, plain.outputs):
            return "the model holds parameters elsewhere too, such as in a list"
        if _near(gradients, plain.gradients):
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
        if not _near(found, [one.detach() for one in outputs]):
            msg = (
                f"The model counts its calls in {next(iter(moved))!r} and computes with the count, which members would "
                "share; keep it in a buffer (register_buffer), written in place."
            )
            raise ModelError(msg)

    def _own(self) -> list[Tensor]:
        named = dict(self.template.named_parameters())
        return [named[entry.name] for entry in self.layout]

    def _outputs(self, module: Any) -> list[Tensor]:
        try:
            with global_stream(0, "inspection"):
                outputs = call(module, self.inputs)
        except Exception as error:
            raise _CannotBeCalledError from error
        return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]

    def _check_same(
        self, module: nn.Module, before: dict[str, Tensor], when: str, remedy: str, *, buffers: bool = False
    ) -> None:
        """Raise ModelError where a parameter, or too a buffer, has other numbers than before."""
        now = dict(module.named_parameters(remove_duplicate=False))
        if buffers:
            now |= dict(module.named_buffers(remove_duplicate=False))
        for name, tensor in now.items():
            if name in before and not _equal(tensor, before[name]):
                what = "parameter" if name in dict(module.named_parameters(remove_duplicate=False)) else "buffer"
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


def _copies(module: nn.Module) -> dict[str, Tensor]:
    named = (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))
    return {name: tensor.detach().clone() for one in named for name, tensor in one}


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())


def _weights(like: Tensor) -> Tensor:
    noise = torch.randn(like.shape, generator=generator(0, "weights"), dtype=torch.float64)
    return noise.to(like.device, like.dtype)


def _total(outputs: list[Tensor]) -> Tensor:
    return sum(((_weights(one) * one).sum() for one in outputs if one.requires_grad), torch.zeros(()))


def _near(found: Any, wanted: list[Tensor]) -> bool:
    """Whether tensors are equal to far less than a wrong term would make."""
    if len(found) != len(wanted):
        return False
    for one, other in zip(found, wanted, strict=True):
        if one.shape != other.shape:
            return False
        scale = float(other.detach().abs().nan_to_num(0, 0, 0).max()) if other.numel() else 0.0
        near_by = torch.finfo(other.dtype).eps ** 0.5
        if not torch.allclose(one.detach(), other.detach(), rtol=near_by, atol=near_by * scale, equal_nan=True):
            return False
    return True
