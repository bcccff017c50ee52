"""Variances of a module's parameters over initializations: given, declared by a factory, or read and tested."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from thalweg.errors import ModelError, UsageError, unknown_name
from thalweg.ntk.moments import Sampled, declared, recognized, trained_sign

Parameterization = Literal["ntk", "standard", "as_initialized"]
Deviations = float | Mapping[str, float] | None

LIMIT = 4.0  # standard errors by which a tensor may miss what its class declares


@dataclass(frozen=True)
class Variance:
    """Of one tensor over initializations.

    Args:
        tensor: its name.
        fan_in: inputs of one output of its layer.
        sigma2: sigma_w^2 = fan_in Var W of a weight, sigma_b^2 = Var b of a bias.
        source: where it comes from.
        z: standard errors between the tensor's own second moment and it; 0 where it was given.
    """

    tensor: str
    fan_in: int
    sigma2: float
    source: str
    z: float


@dataclass(eq=False)
class Moments:
    """The variances of a module's parameters, each read when it is asked for.

    Args:
        module: only read.
        weight_std, bias_std: given ones: one number for all, or by name of module or tensor.
        sampled: second moments over several constructions, where a factory makes the module.
        found: by name of the tensor.
    """

    module: nn.Module
    weight_std: Deviations = None
    bias_std: Deviations = None
    sampled: Mapping[str, Sampled] = field(default_factory=dict)
    found: dict[str, Variance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tensors = dict(self.module.named_parameters())
        modules = {name for name, _ in self.module.named_modules()}
        for what, given in (("weight_std", self.weight_std), ("bias_std", self.bias_std)):
            for name in given if isinstance(given, Mapping) else ():
                if name not in modules and name not in self._tensors:
                    kind = f"module or tensor of {what}"
                    raise unknown_name(kind, name, [*filter(None, modules), *self._tensors])
            values = list(given.values()) if isinstance(given, Mapping) else [] if given is None else [given]
            for value in values:
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
                    msg = f"{what} is a standard deviation, finite and not negative; got {value!r}."
                    raise UsageError(msg)

    def weight(self, name: str, fan_in: int) -> float:
        """sigma_w^2 = fan_in Var W."""
        return self._of(name, fan_in, fan_in, self.weight_std)

    def bias(self, name: str, fan_in: int) -> float:
        """sigma_b^2 = Var b."""
        return self._of(name, fan_in, 1, self.bias_std)

    def _of(self, name: str, fan_in: int, times: int, given: Deviations) -> float:
        if name not in self.found:
            self.found[name] = self._read(name, fan_in, times, given)
        return self.found[name].sigma2

    def _read(self, name: str, fan_in: int, times: int, given: Deviations) -> Variance:
        path, _, local = name.rpartition(".")
        if isinstance(given, Mapping):
            given = given.get(name, given.get(path))
        if given is not None:
            return Variance(name, fan_in, float(given) ** 2, "given", 0.0)
        tensor = self._tensors[name]
        owner = self.module.get_submodule(path)
        if isinstance(owner, nn.Embedding) and owner.padding_idx is not None and local == "weight":
            kept = torch.arange(len(tensor), device=tensor.device) != owner.padding_idx  # that row is zero
            tensor = tensor[kept]
        own = self.sampled.get(name) or Sampled.of([tensor])
        if not (own.second < float("inf")):
            msg = f"The parameter {name!r} holds numbers that are not finite; make the module anew."
            raise ModelError(msg)
        expected = declared(owner, local, tensor)
        if own.second == 0:
            if times > 1 or tensor.dim() > 1:
                msg = (
                    f"All numbers of the parameter {name!r} are zero: nothing passes it, and no limit can be read off. "
                    f"Pass weight_std={{{path or name!r}: ...}} for what it starts from."
                )
                raise ModelError(msg)
            return Variance(name, fan_in, 0.0, "zero", 0.0)
        source = f"{type(owner).__name__}.reset_parameters"
        sign = trained_sign(tensor, own, LIMIT)
        if sign:
            which = "weight_std" if tensor.dim() > 1 else "bias_std"
            msg = (
                f"The parameter {name!r} looks trained: {sign}. The limit is about initializations; pass "
                f"{which}={{{path or name!r}: ...}}, or a function that makes the module."
            )
            raise ModelError(msg)
        if expected is not None and abs(own.z(expected)) <= LIMIT:
            return Variance(name, fan_in, times * expected, source, own.z(expected))
        fit = recognized(tensor, fan_in, own, LIMIT - 1)
        if fit is not None:
            return Variance(name, fan_in, times * fit[1], f"recognized: {fit[0]}", own.z(fit[1]))
        made = "of several constructions" if name in self.sampled else "of the tensor"
        return Variance(name, fan_in, times * own.second, f"measured, {made}", 0.0)


def sampled_from(modules: list[nn.Module]) -> dict[str, Sampled]:
    """Moments of every parameter over several constructions of a module."""
    names = [name for name, _ in modules[0].named_parameters()]
    parameters: list[dict[str, Tensor]] = [dict(module.named_parameters()) for module in modules]
    return {name: Sampled.of([one[name] for one in parameters]) for name in names}
