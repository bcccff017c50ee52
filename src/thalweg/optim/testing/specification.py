"""What an optimizer is said to be, which decides the laws it is held to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any

import torch

from thalweg.errors import UsageError, check_choice, check_type, unknown_name
from thalweg.optim.adafactor import Adafactor
from thalweg.optim.adagrad import Adagrad
from thalweg.optim.adam import Adam
from thalweg.optim.amsgrad import AMSGrad
from thalweg.optim.average import Averaged
from thalweg.optim.gradient_transforms import Grokfast
from thalweg.optim.lion import Lion
from thalweg.optim.momentum import Momentum, Nesterov
from thalweg.optim.muon import Muon
from thalweg.optim.nadam import NAdam
from thalweg.optim.rmsprop import RMSprop
from thalweg.optim.rule import Rule, numeric
from thalweg.optim.sam import SAM
from thalweg.optim.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from thalweg.optim.sgd import SGD
from thalweg.optim.soap import SOAP
from thalweg.optim.wrapper import Wrapper
from thalweg.sweep import plain

LAWS = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "amsgrad", "nadam", "adagrad", "adafactor", "lion", "muon",
    "soap", "schedule_free", "schedule_free_adam", "sam",
)  # fmt: skip


@dataclass(frozen=True)
class Specification:
    """What an optimizer is held to: `Specification("adam", {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})`.

    Args:
        law: the family whose formula and closed forms it must obey (see `LAWS`); None: only what holds for every
            optimizer.
        settings: its hyper-parameters and conventions by the names of Thalweg's rule of that family. What can be left
            out, such as eps, weight_decay and conventions, is then 0 or as in torch.
        elementwise: whether every entry goes its own way, whatever tensor it lies in.
        consumes: whether it may change the gradient tensors it is given.
        bits: "bfloat16" where it computes its steps in that precision whatever the parameters' is.
        rounding: how far eight steps in bfloat16 may end off those in float64, as a share of the way; None: 0.05, but
            0.25 for Muon, whose steps are thirty rounded products, and Lion, where rounding turns whole steps round.

    Raises:
        UsageError: there is no such law or setting, or one is missing that the law needs.

    >>> import thalweg as tw
    >>> tw.optim.testing.Specification("momentum", {"lr": 0.1, "beta": 0.9}).rule
    Momentum(lr=0.1)
    """

    law: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    elementwise: bool = True
    consumes: bool = False
    bits: str = "float64"
    rounding: float | None = None

    def __post_init__(self) -> None:
        check_type("Specification settings", self.settings, Mapping, 'a mapping such as {"lr": 1e-3, "beta": 0.9}')
        check_choice("Specification bits", self.bits, ("float64", "bfloat16"))
        check_type("Specification rounding", self.rounding, (int, float, NoneType), "a share, or None for the law's")
        kept = {name: value if isinstance(value, list) else plain(value) for name, value in self.settings.items()}
        object.__setattr__(self, "settings", kept)
        if self.law is None:
            return
        check_choice("Specification law", self.law, LAWS)
        kind, known = f"setting of the law {self.law!r}", known_settings(self.law)
        for name in self.settings:
            if name not in known:
                raise unknown_name(kind, name, known)
        missing = [name for name in _numbers(self.law) if self[name] is None and name != "weight_decay"]
        if missing:
            too = ", ".join(missing)
            msg = f"Specification({self.law!r}) needs the settings {too}, too; got {dict(self.settings)}."
            raise UsageError(msg)
        for name in _numbers(self.law):
            check_type(f"Specification settings[{name!r}]", self[name] or 0.0, (int, float), "a number")
        self.rule  # noqa: B018  which refuses what its class refuses

    def __getitem__(self, name: str) -> Any:
        """A setting, or what is meant where it is not given."""
        return self.settings.get(name, _DEFAULTS.get(name))

    @property
    def share(self) -> float:
        """How far steps in bfloat16 may end off, as a share of the way."""
        if self.rounding is not None:
            return self.rounding
        return _ROUGHER if self.law in ("muon", "lion") else _ROUGH

    @property
    def rule(self) -> Rule | Wrapper | None:
        """Thalweg's rule of the law with these settings, without decay where none is given.

        None where there is no such rule, as for a dampening other than beta.
        """
        if self.law is None:
            return None
        given: dict[str, Any] = {"weight_decay": 0.0}
        given |= {name: self[name] for name in known_settings(self.law) if self[name] is not None}
        dampening = given.pop("dampening", 0.0)
        if dampening:
            given["form"] = "ema"
        if dampening not in (0.0, given.get("beta")):
            return None
        if self.law == "sam":
            rho, adaptive = given.pop("rho"), given.pop("adaptive")
            return SAM(SGD(**given), rho, adaptive)
        return KINDS[self.law](**given)


_ROUGH, _ROUGHER = 0.05, 0.25
_DEFAULTS: dict[str, Any] = {
    "form": "sum", "start": "zero", "look": "beta", "dampening": 0.0, "eps_place": "outside", "bias_correction": True,
    "eps_inside": False, "decay": "l2", "scale": "spectral", "nesterov": False, "adaptive": False, "initial": 0.0,
    "rate_decay": 0.0, "momentum_decay": 4e-3, "eps": 0.0, "clip": 1.0, "floor": 1e-3, "c": 0.8, "every": 10,
    "largest_of": "uncorrected",
}  # fmt: skip

KINDS: dict[str, type[Rule]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adam": Adam,
    "amsgrad": AMSGrad,
    "nadam": NAdam,
    "adagrad": Adagrad,
    "adafactor": Adafactor,
    "lion": Lion,
    "muon": Muon,
    "soap": SOAP,
    "schedule_free_adam": ScheduleFreeAdamW,  # ahead of what it inherits
    "schedule_free": ScheduleFreeSGD,
}


def known_settings(law: str) -> tuple[str, ...]:
    """The settings of a law by name: the fields of its rule, and what its relatives in torch have besides."""
    if law == "sam":
        return (*known_settings("sgd"), "rho", "adaptive")
    more = {"momentum": ("dampening",)}
    return (*(one.name for one in fields(KINDS[law]) if one.init), *more.get(law, ()))


def _numbers(law: str) -> list[str]:
    """The settings of a law that are numbers."""
    return [*_numbers("sgd"), "rho"] if law == "sam" else numeric(KINDS[law])


def specification_of_rule(rule: Rule | Wrapper) -> Specification:
    """The specification of a rule by its type; a wrapper keeps only the laws that it does not touch."""
    if isinstance(rule, Wrapper):
        inner = specification_of_rule(rule.rule)
        if isinstance(rule, Averaged):
            return inner
        law = "sam" if isinstance(rule, SAM) and inner.law == "sgd" else None
        own = {one.name: getattr(rule, one.name) for one in fields(rule) if one.name != "rule"}
        elementwise = isinstance(rule, Grokfast) and inner.elementwise
        return Specification(law, {**inner.settings, **own}, elementwise, inner.consumes, rounding=inner.share)
    law = next((law for law, kind in KINDS.items() if isinstance(rule, kind)), None)
    names = [one.name for one in fields(rule)] if law is None else known_settings(law)
    settings = {name: getattr(rule, name) for name in names if hasattr(rule, name)}
    elementwise = rule.elementwise and rule.decay_on is None
    return Specification(law, settings, elementwise, consumes=True)


def specification_of_torch(optimizer: torch.optim.Optimizer) -> Specification:
    """The specification of an optimizer of torch's by its type; others have no law and are not elementwise.

    Groups that differ in more than their weight decay obey no law together.
    """
    groups = optimizer.param_groups
    for kind, settings in _OF_TORCH:
        if isinstance(optimizer, kind):
            law, found = settings(groups[0])
            matrices = law in ("adafactor", "muon")
            bits = "bfloat16" if law == "muon" else "float64"
            every = [_common(group) | settings(group)[1] | {"weight_decay": 0.0} for group in groups]
            law = law if all(each == every[0] for each in every) else None
            given = _common(groups[0]) | found
            if law is not None:
                given = {name: value for name, value in given.items() if name in known_settings(law)}
            return Specification(law, given, not matrices and len(groups) == 1, bits=bits)
    return Specification(elementwise=False)


def _common(group: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: plain(group[name]) for name in ("lr", "eps", "weight_decay") if name in group}
    settings = {name: value for name, value in given.items() if isinstance(value, int | float)}
    if "betas" in group:
        settings |= {"beta1": plain(group["betas"][0]), "beta2": plain(group["betas"][1])}
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
