"""What an optimizer claims to be, which decides the laws it is held to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from thalweg import optim
from thalweg.errors import check_choice
from thalweg.optim.around import Around
from thalweg.optim.rule import Rule

LAWS = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "amsgrad", "nadam", "adagrad", "adafactor", "lion", "muon",
    "soap", "schedule_free", "schedule_free_adam", "sam",
)  # fmt: skip


@dataclass(frozen=True)
class Claims:
    """What an optimizer is held to: `Claims("adam", {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})`.

    Args:
        law: the family whose closed forms it must obey (see `LAWS`); None: only what holds for every optimizer.
        settings: its hyper-parameters and conventions by the names of Thalweg's rule of that family.
        elementwise: whether every entry goes its own way, whatever tensor it lies in.
        consumes: whether it may change the gradient tensors it is given.
        bits: "bfloat16" where it computes its steps in that precision whatever the parameters' is.

    Raises:
        UsageError: there is no such law.
    """

    law: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    elementwise: bool = True
    consumes: bool = False
    bits: str = "float64"

    def __post_init__(self) -> None:
        if self.law is not None:
            check_choice("Claims law", self.law, LAWS)

    def __getitem__(self, name: str) -> Any:
        """A setting, or what is meant where it is not given."""
        return self.settings.get(name, _DEFAULTS.get(name))


_DEFAULTS: dict[str, Any] = {
    "form": "sum", "start": "zero", "look": "beta", "dampening": 0.0, "eps_place": "outside", "bias_correction": True,
    "eps_inside": False, "decay": "l2", "scale": "spectral", "nesterov": False, "adaptive": False, "initial": 0.0,
    "rate_decay": 0.0, "momentum_decay": 4e-3, "eps": 0.0, "clip": 1.0, "floor": 1e-3,
}  # fmt: skip

_OF_RULES: tuple[tuple[type[Rule], str], ...] = (
    (optim.SGD, "sgd"),
    (optim.Momentum, "momentum"),
    (optim.Nesterov, "nesterov"),
    (optim.RMSprop, "rmsprop"),
    (optim.Adam, "adam"),
    (optim.AMSGrad, "amsgrad"),
    (optim.NAdam, "nadam"),
    (optim.Adagrad, "adagrad"),
    (optim.Adafactor, "adafactor"),
    (optim.Lion, "lion"),
    (optim.Muon, "muon"),
    (optim.SOAP, "soap"),
    (optim.ScheduleFreeAdamW, "schedule_free_adam"),
    (optim.ScheduleFreeSGD, "schedule_free"),
)


def claims_of_rule(rule: Rule | Around) -> Claims:
    """What a rule claims by its type; what is around it leaves only the laws that it does not touch."""
    if isinstance(rule, Around):
        inner = claims_of_rule(rule.rule)
        if isinstance(rule, optim.Averaged):
            return inner
        law = "sam" if isinstance(rule, optim.SAM) and inner.law == "sgd" else None
        own = {one.name: getattr(rule, one.name) for one in fields(rule) if one.name != "rule"}
        elementwise = isinstance(rule, optim.Grokfast) and inner.elementwise
        return Claims(law, {**inner.settings, **own}, elementwise, inner.consumes)
    law = next((law for kind, law in _OF_RULES if isinstance(rule, kind)), None)
    settings = {one.name: getattr(rule, one.name) for one in fields(rule)}
    elementwise = not rule.takes_tensors and not isinstance(rule, optim.Torch) and rule.decay_on is None
    return Claims(law, settings, elementwise, consumes=True)


def claims_of_torch(optimizer: torch.optim.Optimizer) -> Claims:
    """What an optimizer of torch's claims by its type and first group; others claim nothing and are not elementwise."""
    group = optimizer.param_groups[0]
    for kind, settings in _OF_TORCH:
        if isinstance(optimizer, kind):
            law, found = settings(group)
            matrices = law in ("adafactor", "muon")
            bits = "bfloat16" if law == "muon" else "float64"
            return Claims(law, _common(group) | found, not matrices, bits=bits)
    return Claims(elementwise=False)


def _common(group: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: group[name] for name in ("lr", "eps", "weight_decay") if isinstance(group.get(name), int | float)}
    if "betas" in group:
        settings |= {"beta1": group["betas"][0], "beta2": group["betas"][1]}
    return settings | {"decay": "lr_coupled" if group.get("decoupled_weight_decay") else "l2"}


def _sgd(group: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if group["momentum"] == 0:
        return "sgd", {}
    if group["nesterov"]:
        return "nesterov", {"beta": group["momentum"], "look": "reformulated"}
    return "momentum", {"beta": group["momentum"], "dampening": group["dampening"], "start": "first_gradient"}


def _rmsprop(group: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    plain = group["momentum"] == 0 and not group["centered"]
    return "rmsprop" if plain else None, {"alpha": group["alpha"]}


def _adafactor(group: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    floor = {"floor": group["eps"][1], "clip": group["d"], "c": -group["beta2_decay"]}
    return "adafactor", floor | {"decay": "lr_coupled"}


def _muon(group: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    scale = "rms" if group["adjust_lr_fn"] == "match_rms_adamw" else "spectral"
    kept = {"beta": group["momentum"], "nesterov": group["nesterov"], "scale": scale, "decay": "lr_coupled"}
    return "muon", kept


_OF_TORCH: tuple[tuple[type, Callable[[Mapping[str, Any]], tuple[str | None, dict[str, Any]]]], ...] = (
    (torch.optim.SGD, _sgd),
    (torch.optim.RMSprop, _rmsprop),
    (torch.optim.Adam, lambda group: ("amsgrad" if group["amsgrad"] else "adam", {})),
    (torch.optim.NAdam, lambda group: ("nadam", {"momentum_decay": group["momentum_decay"]})),
    (
        torch.optim.Adagrad,
        lambda group: (
            "adagrad",
            {"rate_decay": group["lr_decay"], "initial": group["initial_accumulator_value"]},
        ),
    ),
    (torch.optim.Adafactor, _adafactor),
    (torch.optim.Muon, _muon),
)
