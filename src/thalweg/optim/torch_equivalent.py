"""The call of torch's that goes the same way as a rule, if there is one."""

from collections.abc import Callable, Mapping
from typing import Any

from thalweg.optim.adafactor import Adafactor
from thalweg.optim.adagrad import Adagrad
from thalweg.optim.adam import Adam, AdamW
from thalweg.optim.amsgrad import AMSGrad
from thalweg.optim.average import Averaged
from thalweg.optim.frozen_norm import FrozenNorm
from thalweg.optim.gradient_transforms import Centralized, Grokfast, Orthogonal
from thalweg.optim.lion import Lion
from thalweg.optim.momentum import Momentum, Nesterov
from thalweg.optim.muon import Muon
from thalweg.optim.nadam import NAdam
from thalweg.optim.rmsprop import RMSprop
from thalweg.optim.rule import Rule
from thalweg.optim.sam import SAM
from thalweg.optim.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from thalweg.optim.sgd import SGD
from thalweg.optim.slimming import Slimming
from thalweg.optim.soap import SOAP
from thalweg.optim.torch_optimizer import TorchOptimizer
from thalweg.optim.wrapper import Wrapper
from thalweg.schedules import Scheduled
from thalweg.sweep import Sweep, points_of

_RATE = "Equal while the rate is constant."


class Absent(Exception):
    """Torch has no such call; the text says why."""


class Written(str):
    """An expression of what is swept, by name."""


def torch_equivalent(rule: Rule | Wrapper) -> tuple[str | None, str]:
    """The call, with `params` for the parameters, or None; and why there is none, or where it differs."""
    if isinstance(rule, Wrapper):
        return None, _OF_WRAPPERS.get(type(rule), "Torch has no such wrapper of an optimizer.")
    try:
        _check(rule)
        write = next((write for kind, write in _CALLS if type(rule) is kind), None)
        if write is None:
            return None, _ABSENT.get(type(rule), f"Torch has no {type(rule).__name__}.")
        name, arguments, remark = write(rule)
    except Absent as reason:
        return None, str(reason)
    return f"torch.optim.{name}(params, {', '.join(f'{k}={_text(v)}' for k, v in arguments.items())})", remark


Call = tuple[str, Mapping[str, Any], str]


def _check(rule: Rule) -> None:
    scheduled = [name for name, value in rule.hyper_parameters().items() if isinstance(value, Scheduled)]
    if scheduled:
        msg = f"Torch has no schedule for {', '.join(scheduled)}; change optimizer.param_groups before every step."
        raise Absent(msg)
    if rule.decay_on is not None and rule.weight_decay != 0 and not isinstance(rule, tuple(_ABSENT)):
        msg = "Torch has no kinds of tensors; give it two parameter groups, one of them with weight_decay=0."
        raise Absent(msg)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return str(value) if isinstance(value, Written) else repr(value)


def _of(rule: Rule, name: str) -> Any:
    """A hyper-parameter, or its name where it is swept."""
    value = getattr(rule, name)
    return Written(name) if isinstance(value, Sweep) else value


def _made(change: Callable[..., float], written: str, rule: Rule, *names: str) -> Any:
    """What is computed from hyper-parameters, or how it is written where one is swept."""
    values = [_of(rule, name) for name in names]
    if any(isinstance(value, Written) for value in values):
        return Written(written.format(*map(_text, values)))
    return float(f"{change(*values):.15g}")


def _l2(rule: Rule, name: str) -> dict[str, Any]:
    """The weight decay of an optimizer that knows L2 alone."""
    if rule.weight_decay != 0 and rule.decay != "l2":
        msg = f'torch.optim.{name} decays by L2 regularization only, and this rule by decay="{rule.decay}".'
        raise Absent(msg)
    return _decay(rule)


def _decay(rule: Rule) -> dict[str, Any]:
    return {} if rule.weight_decay == 0 else {"weight_decay": _of(rule, "weight_decay")}


def _decoupled(rule: Rule) -> tuple[dict[str, Any], str]:
    """The weight decay of an optimizer that multiplies it by the rate, and a remark."""
    if rule.decay == "lr_coupled" or rule.weight_decay == 0:
        return {"weight_decay": _of(rule, "weight_decay")}, ""
    if rule.lr == 0:
        msg = "Torch multiplies weight decay by the rate, which is 0."
        raise Absent(msg)
    share = _made(lambda decay, lr: decay / lr, "{} / {}", rule, "weight_decay", "lr")
    return {"weight_decay": share}, _RATE if rule.decay == "constant" else ""


def _betas(rule: Rule) -> dict[str, Any]:
    return {"lr": _of(rule, "lr"), "betas": (_of(rule, "beta1"), _of(rule, "beta2")), "eps": _of(rule, "eps")}


def _sgd(rule: SGD) -> Call:
    if rule.decay in ("l2", "lr_coupled") or rule.weight_decay == 0:  # for plain descent these are one
        return "SGD", {"lr": _of(rule, "lr"), **_decay(rule)}, ""
    decay, remark = _decoupled(rule)
    return "SGD", {"lr": _of(rule, "lr"), **decay}, remark


def _momentum(rule: Momentum) -> Call:
    beta, decay = {"momentum": _of(rule, "beta")}, _l2(rule, "SGD")
    if rule.form == "ema" and rule.start == "first_gradient":
        return "SGD", {"lr": _of(rule, "lr"), **beta, "dampening": beta["momentum"], **decay}, ""
    if rule.form == "ema":
        rate = _made(lambda lr, beta: lr * (1 - beta), "{} * (1 - {})", rule, "lr", "beta")
        return "SGD", {"lr": rate, **beta, **decay}, ""
    return "SGD", {"lr": _of(rule, "lr"), **beta, **decay}, _RATE if rule.form == "lr_inside" else ""


def _nesterov(rule: Nesterov) -> Call:
    if rule.look != "reformulated":
        msg = (
            "Torch takes no gradient away from theta. With look = 'beta' and constant numbers, its "
            "SGD(nesterov=True) goes along the points at which this rule takes its gradients."
            if rule.look == "beta"
            else "Torch takes no gradient away from theta."
        )
        raise Absent(msg)
    decay = _l2(rule, "SGD")
    if rule.beta == 0:
        return "SGD", {"lr": _of(rule, "lr"), **decay}, ""
    # torch refuses nesterov without momentum, which one of the values may be.
    ahead = Written("beta > 0") if 0 in points_of("beta", rule.beta) else True
    return "SGD", {"lr": _of(rule, "lr"), "momentum": _of(rule, "beta"), "nesterov": ahead, **decay}, ""


def _rmsprop(rule: RMSprop) -> Call:
    if rule.eps_inside and rule.eps != 0:
        msg = "torch.optim.RMSprop adds eps outside of the root."
        raise Absent(msg)
    numbers = {name: _of(rule, name) for name in ("lr", "alpha", "eps")}
    return "RMSprop", {**numbers, **_l2(rule, "RMSprop")}, ""


def _adam(rule: Adam) -> Call:
    if not rule.bias_correction:
        msg = "torch.optim.Adam always corrects the bias of its moments."
        raise Absent(msg)
    if rule.eps_place != "outside" and rule.eps != 0:
        msg = "torch.optim.Adam adds eps to the root of the corrected second moment."
        raise Absent(msg)
    return _adam_or_adamw(rule, {})


def _adam_or_adamw(rule: Adam | AMSGrad, more: dict[str, Any]) -> Call:
    if rule.decay == "l2" or (rule.weight_decay == 0 and not isinstance(rule, AdamW)):
        return "Adam", {**_betas(rule), **_decay(rule), **more}, ""
    decay, remark = _decoupled(rule)
    return "AdamW", {**_betas(rule), **decay, **more}, remark


def _amsgrad(rule: AMSGrad) -> Call:
    if rule.largest_of == "corrected":
        msg = "torch.optim.Adam(amsgrad=True) takes the maximum of the uncorrected second moment."
        raise Absent(msg)
    return _adam_or_adamw(rule, {"amsgrad": True})


def _nadam(rule: NAdam) -> Call:
    decay, remark = (_decay(rule), "") if rule.decay == "l2" or rule.weight_decay == 0 else _decoupled(rule)
    more = {} if rule.decay == "l2" or not decay else {"decoupled_weight_decay": True}
    remark = f"Torch keeps the product of its momenta in torch.get_default_dtype(). {remark}".strip()
    return "NAdam", {**_betas(rule), "momentum_decay": _of(rule, "momentum_decay"), **decay, **more}, remark


def _adagrad(rule: Adagrad) -> Call:
    numbers = {
        "lr": _of(rule, "lr"),
        "lr_decay": _of(rule, "rate_decay"),
        "initial_accumulator_value": _of(rule, "initial"),
        "eps": _of(rule, "eps"),
    }
    return "Adagrad", {**numbers, **_l2(rule, "Adagrad")}, ""


def _adafactor(rule: Adafactor) -> Call:
    if rule.weight_decay != 0 and rule.decay == "l2":
        msg = "torch.optim.Adafactor decouples weight decay from the gradient."
        raise Absent(msg)
    if min(points_of("clip", rule.clip)) < 1:
        msg = "torch.optim.Adafactor clips at 1 or more."
        raise Absent(msg)
    decay, remark = _decoupled(rule) if rule.weight_decay != 0 else ({}, "")
    power = _made(lambda c: -c, "-{}", rule, "c")
    numbers = {"beta2_decay": power, "eps": (None, _of(rule, "floor")), "d": _of(rule, "clip")}
    remark = f"For vectors and matrices; of a convolution torch factors the kernel alone. {remark}".strip()
    return "Adafactor", {"lr": _of(rule, "lr"), **numbers, **decay}, remark


_CALLS: tuple[tuple[type[Rule], Callable[[Any], Call]], ...] = (
    (SGD, _sgd),
    (Momentum, _momentum),
    (Nesterov, _nesterov),
    (RMSprop, _rmsprop),
    (Adam, _adam),
    (AdamW, _adam),
    (AMSGrad, _amsgrad),
    (NAdam, _nadam),
    (Adagrad, _adagrad),
    (Adafactor, _adafactor),
)
_ABSENT: dict[type[Rule], str] = {
    Lion: "Torch has no Lion; optax.lion is equal, where decay is 'lr_coupled'.",
    Muon: "torch.optim.Muon is the same formula for matrices alone, iterated in bfloat16 whatever the parameters' "
    "precision, so paths agree to about a hundredth; all other tensors need a second optimizer.",
    SOAP: "Torch has no SOAP; pytorch_optimizer.SOAP is equal until the bases turn, but for decay after the step.",
    ScheduleFreeSGD: "Torch has no Schedule-Free; schedulefree.SGDScheduleFree has the same average.",
    ScheduleFreeAdamW: "Torch has no Schedule-Free; schedulefree.AdamWScheduleFree has the same average.",
    TorchOptimizer: "It is an optimizer of torch's interface already, one for each member.",
}
_OF_WRAPPERS: dict[type[Wrapper], str] = {
    SAM: "Torch has no SAM: it takes two gradients per step.",
    Averaged: "torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(keep)), updated after "
    "every step, keeps the same average beside the path.",
    Grokfast: "Torch has none; change the gradients between backward() and step().",
    Orthogonal: "Torch has none; change the gradients between backward() and step().",
    FrozenNorm: "Torch has none; scale every parameter back after step(), by its first norm / its norm.",
    Slimming: "Torch has none; add the penalty's gradient between backward() and step().",
    Centralized: "Torch has none; change the gradients between backward() and step().",
}
