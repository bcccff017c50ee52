"""Limits of stability against what the rules themselves do on quadratics."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from thalweg import optim, schedules, sweep
from thalweg.errors import UsageError
from thalweg.optim import (
    SGD,
    Adam,
    AdamW,
    AMSGrad,
    Averaged,
    Momentum,
    Nesterov,
    RMSprop,
    Rule,
    StepHyperparameters,
    Updater,
    preconditioner,
    stability_limit,
)
from thalweg.training import MemberGrid, Recipe

MEMORY = ("velocity", "first_moment")  # what enters a step linearly, beside theta
SIZE = 1e-100  # of theta, so that second moments do not notice its gradient
ROOT = 0.3  # of the second moment, which is held there


def _values(rule: Rule, step: int = 3) -> StepHyperparameters:
    return StepHyperparameters(rule.hyper_parameters() | {"schedule": 0.5, "lr": 0.5 * rule.lr}, step)


def _stepped(rule: Rule, theta: Tensor, memory: Tensor, curvature: Tensor, step: int = 3) -> tuple[Tensor, Tensor]:
    """theta and memory, (members, 1) each, after one step on curvature theta^2 / 2 from a second moment of ROOT^2."""
    h = _values(rule, step)
    theta, state = theta.clone(), {slot: torch.zeros_like(theta) for slot in rule.slots}
    for slot in {*MEMORY} & {*state}:
        state[slot] = memory.clone()
    if "second_moment" in state:
        state["second_moment"].fill_(ROOT**2 / (h.alpha if isinstance(rule, RMSprop) else h.beta2))
    if "largest" in state:
        state["largest"].fill_(ROOT**2 / (1 if rule.largest_of == "uncorrected" else 1 - h.beta2**step))
    updater = Updater(rule, theta, state)
    point = theta.clone()
    if rule.looks_ahead:
        updater.look_ahead(h, out=point)
    updater.step(curvature * point, h)
    kept = next((updater.state[slot] for slot in MEMORY if slot in state), torch.zeros_like(theta))
    return theta, kept


def _radius(rule: Rule, curvature: float, step: int = 3) -> float:
    """The largest factor by which a step multiplies (theta, memory): 1 at the limit of stability."""
    theta, memory = SIZE * torch.eye(2, dtype=torch.float64).unsqueeze(2)
    columns = _stepped(rule, theta, memory, torch.tensor(curvature, dtype=torch.float64), step)
    return float(np.abs(np.linalg.eigvals(torch.cat(columns, 1).T.numpy() / SIZE)).max())


def _decays(rule: type[Rule], *conventions: str, **options: object) -> list[Rule]:
    amounts = {"l2": 0.3, "lr_coupled": 0.4, "schedule_coupled": 0.2, "constant": 0.1}
    plain = rule(0.8, **options)
    return [plain, *(rule(0.8, weight_decay=amounts[c], decay=c, **options) for c in conventions)]


DECOUPLED = ("lr_coupled", "schedule_coupled", "constant")
EVERY = ("l2", *DECOUPLED)
RULES = [
    *_decays(SGD, *EVERY),
    *itertools.chain(*(_decays(Momentum, *EVERY, beta=beta, form=f) for beta in (0.0, 0.9) for f in ("sum", "ema"))),
    *_decays(Momentum, "l2", "lr_coupled", form="lr_inside"),
    *_decays(Momentum, form="ema", start="first_gradient"),
    *itertools.chain(*(_decays(Nesterov, *EVERY, beta=0.7, look=look) for look in ("beta", "full", "reformulated"))),
    *itertools.chain(*(_decays(Nesterov, "l2", "constant", form="ema", look=look) for look in ("beta", "full"))),
    *_decays(RMSprop, *DECOUPLED),
    *_decays(RMSprop, eps=0.1),
    *_decays(RMSprop, eps=0.1, eps_inside=True),
    *_decays(AdamW, *DECOUPLED),
    *_decays(Adam, "constant", beta1=0.5, bias_correction=False),
    *itertools.chain(*(_decays(Adam, eps=0.1, eps_place=place) for place in ("outside", "inside", "uncorrected"))),
    *itertools.chain(*(_decays(AMSGrad, "constant", eps=0.1, largest_of=of) for of in ("corrected", "uncorrected"))),
]
over_rules = pytest.mark.parametrize("rule", RULES, ids=[str(rule) for rule in RULES])


def _limit(rule: Rule, step: int = 3) -> float:
    """The limit in theta's own curvature: that of the preconditioned one times P."""
    h = _values(rule, step)
    state = {slot: torch.full((1, 1), ROOT**2, dtype=torch.float64) for slot in rule.slots}
    if "largest" in state and rule.largest_of == "corrected":
        state["largest"] /= 1 - h.beta2**step
    p = preconditioner(rule, state, h)
    return float(stability_limit(rule, h)) * (1.0 if p is None else float(p))


@over_rules
def test_bisection_finds_the_limit(rule: Rule) -> None:
    low, high = 0.0, 1e3
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _radius(rule, middle) < 1 else (low, middle)
    assert low == pytest.approx(_limit(rule), rel=1e-6)


@over_rules
def test_paths_shrink_just_below_the_limit_and_grow_just_above_it(rule: Rule) -> None:
    curvature = _limit(rule) * torch.tensor([[0.98], [1.02]], dtype=torch.float64)
    theta, memory = torch.full_like(curvature, SIZE), torch.zeros_like(curvature)
    for _ in range(150):
        theta, memory = _stepped(rule, theta, memory, curvature)
    below, above = (theta.abs() / SIZE).flatten().tolist()
    assert below < 0.1 < 10 < above


@pytest.mark.parametrize("step", [1, 50])
def test_bias_corrections_are_in_the_preconditioner(step: int) -> None:
    for rule in (Adam(0.1), Adam(0.1, bias_correction=False), AMSGrad(0.1)):
        limit = _limit(rule, step)
        assert _radius(rule, limit * (1 - 1e-6), step) < 1 < _radius(rule, limit * (1 + 1e-6), step)


def test_the_published_limits() -> None:
    assert stability_limit(SGD(0.01)) == pytest.approx(200)
    assert stability_limit(Momentum(0.01, 0.9)) == pytest.approx(380)
    assert stability_limit(Nesterov(0.01, 0.9)) == pytest.approx(3.8 / 2.8 / 0.01)
    assert stability_limit(RMSprop(0.01)) == pytest.approx(200)
    assert stability_limit(AdamW(0.01, weight_decay=0)) == pytest.approx(38 / 0.01)
    assert stability_limit(Averaged(Adam(0.01))) == pytest.approx(38 / 0.01)
    assert stability_limit(SGD(0.0)) == math.inf


def test_a_limit_a_member() -> None:
    rates = sweep.values([0.1, 0.5])
    np.testing.assert_allclose(stability_limit(SGD(rates)), [20, 4])
    together = Momentum([0.1, 0.5], [0.0, 0.5])
    np.testing.assert_allclose(stability_limit(together), [20, 6])
    crossed = Momentum(rates, sweep.values([0.0, 0.5]))
    with pytest.raises(
        UsageError, match=r"write stability_limit\(rule, training.MemberGrid\(recipe, seeds\).at\(step\)"
    ):
        stability_limit(crossed)
    h = MemberGrid(Recipe(crossed, 4, schedule=schedules.Linear()), [0]).at(2)
    assert h.schedule < 1
    np.testing.assert_allclose(stability_limit(crossed, h), np.array([20, 30, 4, 6]) / h.schedule)
    with pytest.raises(UsageError, match="follow schedules"):
        stability_limit(SGD(schedules.Scheduled(0.1, schedules.Linear())))


@pytest.mark.parametrize("convention", ["l2", "constant"])
@pytest.mark.parametrize("look", [None, "beta", "full", "reformulated"])
def test_where_only_some_parameters_decay_the_limit_is_a_bound(look: str | None, convention: str) -> None:
    options = {"weight_decay": 0.3, "decay": convention}
    rule = Momentum(0.8, 0.7, **options) if look is None else Nesterov(0.8, 0.7, look=look, **options)
    draw, size, where = np.random.default_rng(0), 3, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    h, largest = StepHyperparameters(rule.hyper_parameters() | {"schedule": 1.0}, 3), float(stability_limit(rule))
    rows = torch.eye(2 * size, dtype=torch.float64)
    for _ in range(50):
        turn = np.linalg.qr(draw.standard_normal((size, size)))[0]
        spectrum = largest * (1 - 1e-9) * np.array([1, *draw.uniform(0, 1, size - 1)])
        matrix = torch.tensor(turn * spectrum @ turn.T)
        theta, state = rows[:, :size].clone(), {"velocity": rows[:, size:].clone()}
        point = theta.clone()
        if rule.looks_ahead:
            rule.look_ahead(theta, state, h, point)
        gradient = point @ matrix
        rule.decayed(theta, gradient, state, h, where)
        rule.update(theta, gradient, state, h, torch.empty_like(theta))
        step = torch.cat([theta, state["velocity"]], 1).numpy()
        assert np.abs(np.linalg.eigvals(step)).max() < 1


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (optim.Lion(1e-3), "^Lion has no stability limit in closed form; SGD, Momentum, .* have"),
        (optim.SAM(SGD(0.1)), "^SAM of SGD has no"),
        (optim.Grokfast(AdamW(0.1)), "^Grokfast of AdamW has no"),
        (Adam(0.1, weight_decay=0.1), "^Adam, whose l2 decay goes through its moments, has no"),
    ],
)
def test_rules_without_a_closed_form_say_so(rule: Rule, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        stability_limit(rule)


def test_rules_that_do_not_divide_have_no_preconditioner() -> None:
    assert preconditioner(Momentum(0.1), {"velocity": torch.ones(1, 2)}, _values(Momentum(0.1))) is None
