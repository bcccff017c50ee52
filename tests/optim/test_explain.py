"""Explanations, whose calls are executed and whose conversions are followed."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thalweg import optim, sweep
from thalweg.errors import UsageError
from thalweg.optim import Rule, StepHyperparameters, Updater, explain
from thalweg.population.layout import Entry, Layout
from thalweg.schedules import Cosine, Scheduled

STEPS = 20
LAYOUT = Layout((Entry("matrix", (3, 4), 0, "hidden"), Entry("vector", (5,), 12, "bias")))
Multiplier = Callable[[int], float]


def _falling(step: int) -> float:
    return 1 - 0.04 * step


def _constant(step: int) -> float:
    return 1.0


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


START, CURVATURES = 2 * _random(17), 0.2 + _random(17, seed=1).abs()


def _gradient(theta: Tensor, step: int) -> Tensor:
    return CURVATURES * theta + torch.sin(3 * theta) + 0.3 * _random(17, seed=100 + step)


def _by_rule(rule: Rule, multiplier: Multiplier = _constant) -> Tensor:
    theta = START[None].clone()
    updater, point = Updater(rule, theta, layout=LAYOUT), theta.clone()
    for step in range(1, STEPS + 1):
        numbers = rule.hyper_parameters()
        h = StepHyperparameters(numbers | {"lr": numbers["lr"] * multiplier(step), "schedule": multiplier(step)}, step)
        if rule.looks_ahead:
            updater.look_ahead(h, out=point)
        updater.step(_gradient((point if rule.looks_ahead else theta)[0], step)[None], h)
    return theta[0]


def _by_call(call: str, multiplier: Multiplier = _constant, **swept: float) -> Tensor:
    params = [nn.Parameter(START[:12].view(3, 4).clone()), nn.Parameter(START[12:].clone())]
    optimizer = eval(call, {"torch": torch, "params": params, **swept})
    rate = optimizer.param_groups[0]["lr"]
    for step in range(1, STEPS + 1):
        optimizer.param_groups[0]["lr"] = rate * multiplier(step)
        gradient = _gradient(torch.cat([p.detach().flatten() for p in params]), step)
        params[0].grad, params[1].grad = gradient[:12].view(3, 4), gradient[12:]
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in params])


def _off(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


@pytest.fixture(autouse=True)
def _exact_products() -> Any:
    """NAdam of torch's keeps a product in the default precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


DECAYS = ("l2", "lr_coupled", "schedule_coupled", "constant")


def _all_conventions() -> list[Rule]:
    kinds: list[tuple[Any, dict[str, Any]]] = [(kind, {}) for kind in optim.RULES.values()]
    kinds += [
        (optim.Momentum, {"form": f, "start": s}) for f in ("ema", "lr_inside") for s in ("zero", "first_gradient")
    ]
    kinds += [(optim.Momentum, {"beta": 0.0}), (optim.Nesterov, {"look": "reformulated"})]
    kinds += [(optim.Nesterov, {"look": "reformulated", "beta": 0.0}), (optim.RMSprop, {"eps_inside": True})]
    kinds += [(optim.Nesterov, {"look": look, "form": f}) for look in ("beta", "full") for f in ("ema", "lr_inside")]
    kinds += [
        (kind, {"eps_place": place, "bias_correction": corrected, "eps": eps})
        for kind in (optim.Adam, optim.AdamW)
        for place in ("outside", "inside", "uncorrected")
        for corrected in (True, False)
        for eps in (1e-3, 0.0)
    ]
    kinds += [(optim.AMSGrad, {"largest_of": "corrected"}), (optim.NAdam, {"momentum_decay": 0.1})]
    kinds += [(optim.Adagrad, {"rate_decay": 0.1, "initial": 0.2}), (optim.Adafactor, {"clip": 2.0, "c": 0.6})]
    kinds += [(optim.Adafactor, {"clip": 0.5})]
    decays = [{"weight_decay": 0.0}, *({"weight_decay": 0.03, "decay": decay} for decay in DECAYS)]
    return [kind(0.05, **options, **decay) for kind, options in kinds for decay in decays]


RULES = _all_conventions()
NAMED = [rule for rule in RULES if explain(rule).torch]


@pytest.mark.parametrize("rule", NAMED, ids=str)
def test_the_call_goes_the_same_way(rule: Rule) -> None:
    found = explain(rule)
    assert found.torch is not None
    assert _off(_by_call(found.torch), _by_rule(rule)) < 1e-10
    falling = _off(_by_call(found.torch, _falling), _by_rule(rule, _falling))
    if "while the rate is constant" in found.remark:
        assert falling > 1e-6
    else:
        assert falling < 1e-10


def test_a_call_over_swept_momentum_goes_the_same_way_where_that_is_0() -> None:
    call = explain(optim.Nesterov(0.05, [0.0, 0.9], look="reformulated")).torch
    assert call == "torch.optim.SGD(params, lr=0.05, momentum=beta, nesterov=beta > 0)"
    for beta in (0.0, 0.9):
        assert _off(_by_call(call, beta=beta), _by_rule(optim.Nesterov(0.05, beta, look="reformulated"))) < 1e-10


def test_which_rules_have_a_call() -> None:
    assert len(NAMED) > 80
    named = {type(rule) for rule in NAMED}
    missing = {optim.Lion, optim.Muon, optim.SOAP, optim.ScheduleFreeSGD, optim.ScheduleFreeAdamW}
    assert named == set(optim.RULES.values()) - missing
    for rule in RULES:
        assert explain(rule).torch or len(explain(rule).remark) > 20, rule


def test_the_call_as_it_is_written() -> None:
    assert explain(optim.AdamW()).torch == (
        "torch.optim.AdamW(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)"
    )
    assert explain(optim.SGD(0.1)).torch == "torch.optim.SGD(params, lr=0.1)"
    dampened = optim.Momentum(0.1, form="ema", start="first_gradient")
    assert explain(dampened).torch == "torch.optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.9)"


def test_a_sweep_is_a_name_in_the_call_and_a_range_among_the_values() -> None:
    rates, shares = [0.01, 0.02, 0.05], [0.1, 0.2, 0.3]
    rule = optim.AdamW(rates, beta1=[0.5, 0.6, 0.7], weight_decay=shares, decay="constant")
    found = explain(rule)
    assert found.values["lr"] == "0.01 to 0.05 (3 values)"
    assert found.torch is not None
    for lr, beta1, weight_decay in zip(rates, [0.5, 0.6, 0.7], shares, strict=True):
        one = optim.AdamW(lr, beta1=beta1, weight_decay=weight_decay, decay="constant")
        got = _by_call(found.torch, lr=lr, beta1=beta1, weight_decay=weight_decay)
        assert _off(got, _by_rule(one)) < 1e-10
    momentum = explain(optim.Momentum(sweep.log(0.01, 0.1, 3), sweep.values([0.5, 0.9]), form="ema"))
    assert momentum.torch == "torch.optim.SGD(params, lr=lr * (1 - beta), momentum=beta)"
    crossed = next(one for one in momentum.conventions if one.name == "form")
    assert crossed.same[0] == "form='sum', lr=0.001 to 0.05"
    decay = next(one for one in found.conventions if one.name == "decay")
    assert decay.same[0] == "decay='lr_coupled', weight_decay=6 to 10"  # value by value: they share an axis


def _conversions() -> list[tuple[Rule, str, str]]:
    tensors = [optim.SOAP(0.02, weight_decay=0.1), optim.Muon(0.02, weight_decay=0.1)]
    return [
        (rule, one.value, other)
        for rule in (*RULES, *tensors)
        for one in explain(rule).conventions
        for other in one.same
    ]


CONVERSIONS = _conversions()


def test_conventions_that_are_said_to_be_the_same_are() -> None:
    assert len(CONVERSIONS) > 150
    assert {type(rule) for rule, _, _ in CONVERSIONS} == set(optim.RULES.values())
    for rule, value, other in CONVERSIONS:
        twin = replace(rule, **eval(f"dict({other})"))
        assert twin != rule
        fixed = "'constant'" in value + other or "lr_inside" in value + other
        for multiplier in (_constant,) if fixed else (_constant, _falling):
            assert _off(_by_rule(twin, multiplier), _by_rule(rule, multiplier)) < 1e-9, f"{rule} {other}"


def test_conversions_that_hold_while_the_rate_is_constant_say_so() -> None:
    text = str(explain(optim.AdamW(weight_decay=0.01)))
    text = " ".join(text.split())
    assert "decay='schedule_coupled', weight_decay=1e-05 under any schedule of the rate" in text
    assert "decay='constant', weight_decay=1e-05 while the rate is constant" in text


def test_every_convention_of_every_rule_has_a_sentence() -> None:
    for rule in RULES:
        for one in explain(rule).conventions:
            assert "documentation" not in one.sentence, one
    sentences = {str(one) for rule in RULES for one in explain(rule).conventions}
    assert any("floor is sqrt(eps) = 0.0316" in one for one in sentences)
    assert any("= 3.16 rates" in one for one in sentences)


@pytest.mark.parametrize("kind", [*optim.RULES.values(), optim.SAM, optim.Averaged, optim.Centralized, optim.Grokfast])
def test_every_rule_has_a_formula_and_a_paper(kind: Any) -> None:
    found = explain(kind(optim.SGD(0.1)) if issubclass(kind, optim.Wrapper) else kind(0.1))
    assert found.formula
    assert all("<-" in line or " = " in line for line in found.formula)
    assert found.papers
    assert all(re.search(r"\b(19|20)\d\d\b", paper) for paper in found.papers)
    document = " ".join(" ".join(base.__doc__ or "" for base in kind.__mro__).split())
    for line in (*found.formula, *found.papers):
        assert " ".join(line.split()) in document


def test_what_a_rule_changes_of_another_takes_its_place() -> None:
    lines = explain(optim.AdamW()).formula
    assert [line.split()[0] for line in lines] == ["m", "v", "theta"]
    assert lines[-1].startswith("theta <- (1 - lr_t weight_decay) theta")
    assert [line.split()[0] for line in explain(optim.ScheduleFreeAdamW()).formula] == ["y", "v", "x"]


def test_wrappings_are_explained_from_the_outside_in() -> None:
    rule = optim.SAM(optim.Averaged(optim.Centralized(optim.AdamW())), rho=[0.1, 0.2])
    found, names = explain(rule), []
    each = found
    while each is not None:
        names.append(each.name)
        each = each.inside
    assert names == ["SAM", "Averaged", "Centralized", "AdamW"]
    assert found.torch is None
    text = str(found)
    assert [text.index(f"{name}\n") for name in names] == sorted(text.index(f"{name}\n") for name in names)
    assert text.count("\nwraps ") == 3
    assert "rho = 0.1 to 0.2 (2 values)" in text
    muon = explain(optim.Muon(fallback=optim.SGD(0.1)))
    assert muon.inside is not None
    assert muon.inside.torch == "torch.optim.SGD(params, lr=0.1)"
    assert "and for all other tensors SGD" in str(muon)


def test_torchs_average_is_the_one_that_is_named() -> None:
    model = nn.Linear(3, 2)
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8))
    assert "get_ema_multi_avg_fn(keep)" in explain(optim.Averaged(optim.SGD(0.1))).remark
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])[None].clone()
    rule = optim.Averaged(optim.SGD(0.1), keep=0.8)
    updater, peer = Updater(rule, theta), torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(1, 6):
        gradient = _random(8, seed=step)
        model.weight.grad, model.bias.grad = gradient[:6].view(2, 3), gradient[6:]
        peer.step()
        averaged.update_parameters(model)
        updater.step(gradient[None].clone(), StepHyperparameters(rule.hyper_parameters() | {"schedule": 1.0}, step))
    got = torch.cat([p.detach().flatten() for p in averaged.module.parameters()])
    torch.testing.assert_close(updater.state["average"][0], got, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (optim.Lion(1e-4), "optax.lion"),
        (optim.Muon(), "torch.optim.Muon is the same formula for matrices alone, iterated in bfloat16"),
        (optim.Nesterov(0.1), "Torch takes no gradient away from theta"),
        (optim.Adam(eps_place="inside"), "adds eps to the root of the corrected second moment"),
        (optim.Momentum(0.1, weight_decay=0.1, decay="constant"), "decays by L2 regularization only"),
        (optim.AdamW(decay_on="hidden"), "two parameter groups"),
        (optim.AdamW(0.0, decay="constant"), "by the rate, which is 0"),
        (optim.AdamW(Scheduled(1e-3, Cosine())), "Torch has no schedule for lr"),
        (optim.TorchOptimizer(1e-3, lambda p: torch.optim.RAdam(p)), "already"),
    ],
    ids=str,
)
def test_why_torch_has_none(rule: Rule, sentence: str) -> None:
    assert explain(rule).torch is None
    assert sentence in explain(rule).remark


def test_the_text_fits_and_has_every_part() -> None:
    rules = [*RULES, optim.AdamW(Scheduled(1e-3, Cosine()), weight_decay=[0.1, 0.2])]
    for rule in rules:
        lines = str(explain(rule)).splitlines()
        assert max(map(len, lines)) <= 120
        titles = [line.strip() for line in lines if re.match(r"  \S", line)]
        assert titles[:1] == ["formula"]
        assert {"conventions", "values", "in torch"} <= set(titles)


class Mine(Rule):
    """A rule of one's own, without a formula."""

    def update(self, theta: Tensor, gradient: Tensor, state: Any, h: Any, scratch: Tensor) -> None:
        theta.sub_(h.lr * gradient)


def test_a_rule_of_ones_own_is_explained_as_far_as_it_is_known() -> None:
    found = explain(Mine(0.1))
    assert (found.formula, found.papers, found.torch) == ((), (), None)
    assert found.remark == "Torch has no Mine."


def test_what_is_no_rule() -> None:
    with pytest.raises(UsageError, match="explain rule must be a rule such as"):
        explain(torch.optim.SGD)  # type: ignore[arg-type]
