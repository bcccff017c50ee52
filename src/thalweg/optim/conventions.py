"""The conventions a rule chose, in words, and the other conventions with which it goes the same way."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from thalweg.optim.rule import Rule, unscheduled
from thalweg.optim.schedule_free import ScheduleFreeSGD
from thalweg.optim.wrapper import Wrapper
from thalweg.schedules import Scheduled
from thalweg.sweep import Sweep, points_of


@dataclass(frozen=True)
class Convention:
    """One choice of a rule.

    Args:
        name: the field; `value` is what it was set to, as written.
        sentence: what that means.
        same: other settings that lead to the same path, such as "decay='constant', weight_decay=1e-05", for which the
            rate must be constant; with ranges in place of numbers that are swept.
    """

    name: str
    value: str
    sentence: str
    same: tuple[str, ...] = ()

    def __str__(self) -> str:
        same = [f"{other} {_when(self.value + other)}" for other in self.same]
        tail = f" The same path: {'; or '.join(same)}." if same else ""
        return f"{self.name} = {self.value}: {self.sentence}{tail}"


def spoken(value: Any) -> str:
    """A hyper-parameter as written; a sweep as its range."""
    if isinstance(value, Scheduled):
        return f"{spoken(value.value)} times {value.schedule}"
    if not isinstance(value, Sweep):
        return repr(value)
    return f"{min(value.points):g} to {max(value.points):g} ({len(value)} values)"


def _when(conventions: str) -> str:
    """When two conventions are the same."""
    fixed = "'constant'" in conventions or "lr_inside" in conventions
    return "while the rate is constant" if fixed else "under any schedule of the rate"


def conventions(rule: Rule | Wrapper) -> list[Convention]:
    """What a rule, or a wrapper of one, chose."""
    numbers = rule.hyper_parameters()
    found = []
    for one in fields(rule):
        value = getattr(rule, one.name)
        if one.name in numbers or isinstance(value, Rule | Wrapper) or not one.repr or value is None:
            continue
        key = value if isinstance(value, str | bool) else None
        meaning = _MEANINGS.get((one.name, key), _MEANINGS.get((one.name, None), ""))
        sentence = meaning(rule) if callable(meaning) else meaning
        same = _same(rule, one.name) if isinstance(rule, Rule) else ()
        found.append(Convention(one.name, repr(value), sentence or "as the rule's documentation says.", same))
    return found


def _same(rule: Rule, name: str) -> tuple[str, ...]:
    """Other conventions with which the rule goes the same way."""
    if any(isinstance(value, Scheduled) for value in rule.hyper_parameters().values()):
        return ()
    if name == "decay" and any(points_of("weight_decay", rule.weight_decay)):
        return _same_decay(rule)
    if name == "form" and (rule.form, getattr(rule, "start", "zero")) != ("ema", "first_gradient"):  # type: ignore[attr-defined]
        return _same_form(rule)
    return ()


def _same_decay(rule: Rule) -> tuple[str, ...]:
    times, over = (lambda lr, decay: lr * decay), (lambda lr, decay: decay / lr)
    others: dict[str, dict[str, Callable[..., float] | None]] = {
        "l2": {"lr_coupled": None, "schedule_coupled": times, "constant": times}
        if type(rule).__name__ == "SGD"
        else {},
        "lr_coupled": {"schedule_coupled": times, "constant": times},
        "schedule_coupled": {"lr_coupled": over, "constant": None},
        "constant": {"lr_coupled": over, "schedule_coupled": None},
    }
    if over in others[rule.decay].values() and not all(points_of("lr", rule.lr)):
        return ()
    return tuple(
        f"decay={other!r}, weight_decay={_together(change, rule.lr, rule.weight_decay)}"
        for other, change in others[rule.decay].items()
    )


def _same_form(rule: Any) -> tuple[str, ...]:
    if getattr(rule, "look", "") == "reformulated":
        return ()
    to = (lambda beta, lr: lr / (1 - beta)) if rule.form != "ema" else (lambda beta, lr: lr * (1 - beta))
    back = (lambda beta, decay: decay * (1 - beta)) if rule.form != "ema" else (lambda beta, decay: decay / (1 - beta))
    decays = rule.decay == "lr_coupled" and any(points_of("weight_decay", rule.weight_decay))
    with_rate = f"lr={_together(to, rule.beta, rule.lr)}"
    with_rate += f", weight_decay={_together(back, rule.beta, rule.weight_decay)}" if decays else ""
    if rule.form == "ema":
        return f"form='sum', {with_rate}", f"form='lr_inside', {with_rate}"
    zero = ", start='zero'" if getattr(rule, "start", "zero") != "zero" else ""
    return f"form='ema', {with_rate}{zero}", f"form={'lr_inside' if rule.form == 'sum' else 'sum'!r}"


def _together(change: Callable[..., float] | None, first: Any, second: Any) -> str:
    """A number that comes of two, or the range of what comes of two sweeps."""
    if change is None:
        return spoken(second)
    sweeps = unscheduled(first), unscheduled(second)
    one, other = (points_of("value", sweep) for sweep in sweeps)
    along = all(isinstance(s, Sweep) for s in sweeps) and sweeps[0].axis == sweeps[1].axis is not None
    along = along and len(one) == len(other)
    pairs = list(zip(one, other, strict=True)) if along else [(a, b) for a in one for b in other]
    results = [float(f"{change(a, b):.15g}") for a, b in pairs]
    return repr(results[0]) if len(results) == 1 else f"{min(results):g} to {max(results):g}"


def _range(change: Callable[..., float], *values: Any) -> str:
    first, second = values if len(values) == 2 else (values[0], 0.0)
    text = _together(lambda a, b: change(a, b) if len(values) == 2 else change(a), first, second)
    return " to ".join(f"{float(part):.3g}" for part in text.split(" to "))


def _decay(rule: Rule) -> str:
    if rule.decay == "l2":
        says = "the gradient becomes g + weight_decay theta, before anything else sees it."
    else:
        share, of = {
            "lr_coupled": ("lr_t weight_decay", "torch, optax"),
            "schedule_coupled": ("s_t weight_decay", "Loshchilov & Hutter; s_t is the schedule's multiplier"),
            "constant": ("weight_decay", "whatever the rate"),
        }[rule.decay]
        free = isinstance(rule, ScheduleFreeSGD)
        says = f"z loses {share} y ({of})." if free else f"theta shrinks by 1 - {share} before the step ({of})."
    return says if rule.weight_decay != 0 else f"{says} Here weight_decay is 0."


_MEANINGS: dict[tuple[str, Any], str | Callable[[Any], str]] = {
    ("decay", None): _decay,
    ("decay_on", None): "only tensors of these kinds decay.",
    ("form", "sum"): "v <- beta v + g, and theta moves by -lr v (torch, optax).",
    ("form", "ema"): "v <- beta v + (1 - beta) g, a mean of gradients.",
    ("form", "lr_inside"): "v <- beta v + lr g, and theta moves by -v; after a change of rate v holds the old one.",
    ("start", "zero"): "the velocity starts at zero.",
    ("start", "first_gradient"): "with form = 'ema' the first velocity is the whole first gradient "
    "(torch's dampening); other forms start at zero.",
    ("look", "beta"): "the gradient is taken at theta - lr beta v, where theta would be without it.",
    (
        "look",
        "full",
    ): "the gradient is taken at theta - lr v, 1/beta too far; stable up to lr h = 2 (1 + beta) / 3 only.",
    (
        "look",
        "reformulated",
    ): "the gradient is taken at theta, and the step is g + beta v (torch, optax): this theta is "
    "theta - lr beta v of the rule with look = 'beta'.",
    ("eps_place", "outside"): "eps is added to the root of the corrected second moment (torch, optax).",
    ("eps_place", "inside"): lambda rule: (
        f"sqrt(v_hat + eps), whose floor is sqrt(eps) = {_range(math.sqrt, rule.eps)}."
    ),
    ("eps_place", "uncorrected"): lambda rule: (
        "sqrt(v) + eps before the correction; at the first step as an eps outside of eps / sqrt(1 - beta2) = "
        f"{_range(lambda eps, beta2: eps / math.sqrt(1 - beta2), rule.eps, rule.beta2)}."
    ),
    ("eps_inside", True): lambda rule: f"sqrt(v + eps), whose floor is sqrt(eps) = {_range(math.sqrt, rule.eps)}.",
    ("eps_inside", False): "eps is added to the root of v (torch).",
    ("bias_correction", True): "moments are divided by 1 - beta^t, so the first step is the rate.",
    ("bias_correction", False): lambda rule: (
        "moments start at zero and stay too small, so the first step is (1 - beta1) / sqrt(1 - beta2) = "
        f"{_range(lambda a, b: (1 - a) / math.sqrt(1 - b), rule.beta1, rule.beta2)} rates."
    ),
    ("largest_of", "uncorrected"): "the maximum is that of v, corrected afterwards (torch).",
    ("largest_of", "corrected"): "the maximum is that of the corrected second moment (optax).",
    ("nesterov", True): "the direction is (1 - beta) g + beta m.",
    ("nesterov", False): "the direction is m.",
    ("scale", "spectral"): "steps are sqrt(max(1, rows/columns)) lr long in every direction (torch's 'original').",
    ("scale", "rms"): "steps are 0.2 sqrt(max(rows, columns)) lr long in every direction, the size of an AdamW step "
    "(torch's 'match_rms_adamw').",
    ("every", None): "the bases turn once in this many steps.",
    ("largest", None): "matrices with a larger side follow the fallback.",
    ("adaptive", True): "the step up is scaled by |theta| (ASAM); rho is about 40 times as large.",
    ("adaptive", False): "the step up has the length rho.",
    ("over", "member"): "theta is one vector.",
    ("over", "tensor"): "every tensor is a vector of its own.",
    ("what", None): "the optimizer that is stepped.",
}
