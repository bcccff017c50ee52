"""Every convention against formulas in NumPy, and what no convention may depend on."""

import functools
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from optim.reference import RULES as REFERENCES
from torch import Tensor

from thalweg import optim, sweep
from thalweg.errors import UsageError
from thalweg.optim import Rule, StepHyperparameters, Updater
from thalweg.optim import updater as updater_module

MEMBERS, PARAMETERS, STEPS = 5, 7, 50
DECAYED = {"weight_decay": np.array([0.0, 0.01, 0.1, 0.03, 0.2])}
BASE: dict[str, dict[str, Any]] = {
    "SGD": {"lr": np.array([0.02, 0.05, 0.1, 0.2, 0.3])},
    "Momentum": {"lr": np.array([0.02, 0.05, 0.1, 0.2, 0.3]), "beta": np.array([0.0, 0.5, 0.9, 0.95, 0.8])},
    "Nesterov": {"lr": np.array([0.02, 0.05, 0.1, 0.2, 0.03]), "beta": np.array([0.0, 0.5, 0.9, 0.7, 0.8])},
    "RMSprop": {
        "lr": np.array([0.01, 0.02, 0.03, 0.1, 0.2]),
        "alpha": np.array([0.0, 0.9, 0.99, 0.5, 0.95]),
        "eps": np.array([1e-8, 1e-2, 1e-4, 1e-6, 1e-1]),
    },
    "Adam": {
        "lr": np.array([0.01, 0.02, 0.03, 0.1, 0.2]),
        "beta1": np.array([0.0, 0.9, 0.5, 0.95, 0.8]),
        "beta2": np.array([0.0, 0.999, 0.9, 0.99, 0.95]),
        "eps": np.array([1e-8, 1e-2, 1e-4, 1e-6, 1e-1]),
    },
}
BASE["AdamW"] = BASE["AMSGrad"] = BASE["Adam"]
BASE["NAdam"] = BASE["Adam"] | {"momentum_decay": np.array([4e-3, 0.0, 0.1, 1.0, 0.02])}
BASE["Adagrad"] = {
    "lr": np.array([0.01, 0.02, 0.03, 0.1, 0.2]),
    "rate_decay": np.array([0.0, 0.1, 0.01, 1.0, 0.0]),
    "initial": np.array([0.0, 0.1, 1.0, 0.0, 0.01]),
    "eps": np.array([1e-8, 1e-2, 1e-4, 1e-6, 1e-1]),
}
BASE["Lion"] = {name: BASE["Adam"][name] for name in ("lr", "beta1", "beta2")}
LR_COUPLED = ("AdamW", "Lion")  # the decay they have when none is given
DECAYS = ("l2", "lr_coupled", "schedule_coupled", "constant")


def _conventions() -> list[tuple[str, dict[str, Any]]]:
    cases: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in BASE]
    cases += [(name, {"decay": decay, **DECAYED}) for name in BASE for decay in DECAYS]
    cases += [("Momentum", {"form": f, "start": s}) for f in ("ema", "lr_inside") for s in ("zero", "first_gradient")]
    cases += [("Nesterov", {"look": k, "form": f}) for k in ("beta", "full") for f in ("sum", "ema", "lr_inside")]
    cases += [("Nesterov", {"look": "reformulated"}), ("RMSprop", {"eps_inside": True})]
    cases += [("AMSGrad", {"largest_of": "corrected"})]
    cases += [
        ("Adam", {"eps_place": place, "bias_correction": corrected})
        for place in ("outside", "inside", "uncorrected")
        for corrected in (True, False)
    ]
    return cases


def _name(value: Any) -> str:
    return (
        value if isinstance(value, str) else "-".join(str(v) for v in value.values() if not isinstance(v, np.ndarray))
    )


conventions = pytest.mark.parametrize(("name", "options"), _conventions(), ids=_name)
CURVATURES = np.random.default_rng(1).uniform(0.1, 1.5, (MEMBERS, PARAMETERS))
START = np.random.default_rng(2).normal(size=(MEMBERS, PARAMETERS))


@functools.cache
def _noise(t: int) -> np.ndarray:
    return np.random.default_rng(1000 + t).normal(size=(MEMBERS, PARAMETERS))


def _gradient(theta: np.ndarray, t: int) -> np.ndarray:
    """A nonlinear landscape with noise, of each entry on its own."""
    return CURVATURES * theta + 0.3 * np.sin(3 * theta) + 0.5 * _noise(t)


def _multiplier(t: int) -> float:
    return 0.2 + 0.8 * abs(np.cos(t / 7))


def _rule(name: str, numbers: dict[str, Any], options: dict[str, Any]) -> Rule:
    chosen = {k: v for k, v in options.items() if not isinstance(v, np.ndarray)}
    return getattr(optim, name)(**{k: 0.1 for k in numbers if k == "lr"}, **chosen)


def _values(numbers: dict[str, Any], t: int, dtype: torch.dtype, rows: Any = slice(None)) -> StepHyperparameters:
    """The step's values; numbers of length 1 become floats, as in training."""
    chosen = {name: np.atleast_1d(value)[rows] for name, value in numbers.items()}
    chosen["lr"] = chosen["lr"] * _multiplier(t)
    columns = {
        k: torch.tensor(v, dtype=torch.float64)[:, None] if len(v) > 1 else float(v[0]) for k, v in chosen.items()
    }
    return StepHyperparameters({"weight_decay": 0.0} | columns | {"schedule": _multiplier(t)}, t)


def _path(
    name: str,
    options: dict[str, Any],
    dtype: torch.dtype = torch.float64,
    rows: Any = slice(None),
    columns: Any = slice(None),
    poison: int | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """theta after all steps, for some members and columns only where asked."""
    numbers = BASE[name] | {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
    rule = _rule(name, numbers, options)
    theta = torch.tensor(START[rows][:, columns], dtype=dtype)
    updater = Updater(rule, theta)
    point = theta.clone()
    for t in range(1, STEPS + 1):
        h = _values(numbers, t, dtype, rows)
        if rule.looks_ahead:
            updater.look_ahead(h, out=point)
        else:
            point.copy_(theta)
        full = np.zeros((MEMBERS, PARAMETERS))
        selected = np.arange(MEMBERS)[rows][:, None], np.arange(PARAMETERS)[columns]
        full[selected] = point.double().numpy()
        gradient = torch.tensor(_gradient(full, t)[selected], dtype=dtype)
        if poison is not None and t >= 10:
            gradient[poison] = torch.nan
        updater.step(gradient, h)
    return theta, updater.state


_WHOLE: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}


def _whole(name: str, options: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """The path of all members and parameters, walked once for all tests."""
    key = f"{name} {options}"
    if key not in _WHOLE:
        _WHOLE[key] = _path(name, options)
    return _WHOLE[key]


@conventions
def test_fifty_steps_equal_the_formulas(name: str, options: dict[str, Any]) -> None:
    got, _ = _whole(name, options)
    for member in range(MEMBERS):
        numbers = {k: float(v[member]) for k, v in (BASE[name] | options).items() if isinstance(v, np.ndarray)}
        flags = {k: v for k, v in options.items() if not isinstance(v, np.ndarray)}
        if name in LR_COUPLED:
            flags = {"decay": "lr_coupled"} | flags

        def gradient(theta: np.ndarray, t: int, member: int = member) -> np.ndarray:
            return CURVATURES[member] * theta + 0.3 * np.sin(3 * theta) + 0.5 * _noise(t)[member]

        if name == "AdamW" and "weight_decay" not in options:
            numbers["weight_decay"] = 0.0
        path = REFERENCES[name](START[member].copy(), gradient, _multiplier, numbers | flags)
        wanted = next(islice(path, STEPS - 1, None))
        np.testing.assert_allclose(got[member].numpy(), wanted, rtol=1e-12, atol=1e-13)


@conventions
def test_float32_follows_to_rounding(name: str, options: dict[str, Any]) -> None:
    exact, _ = _whole(name, options)
    got, _ = _path(name, options, torch.float32)
    torch.testing.assert_close(got.double(), exact, rtol=1e-4, atol=1e-4)


@conventions
def test_a_member_alone_goes_the_same_way(name: str, options: dict[str, Any]) -> None:
    together, _ = _whole(name, options)
    alone, _ = _path(name, options, rows=[4])
    torch.testing.assert_close(alone[0], together[4], rtol=1e-13, atol=1e-14)


@conventions
def test_order_of_members_and_parameters_and_splitting_change_no_bit(name: str, options: dict[str, Any]) -> None:
    together, _ = _whole(name, options)
    rows, columns = [3, 1, 4, 0, 2], [6, 2, 0, 5, 1, 3, 4]
    assert torch.equal(_path(name, options, rows=rows)[0], together[rows])
    assert torch.equal(_path(name, options, columns=columns)[0], together[:, columns])
    parts = [_path(name, options, columns=part)[0] for part in (slice(0, 3), slice(3, 7))]
    torch.testing.assert_close(torch.cat(parts, 1), together, rtol=1e-14, atol=1e-15)


@conventions
@pytest.mark.parametrize("size", [3, 16])
def test_blocks_change_nothing(name: str, options: dict[str, Any], size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, state = _whole(name, options)
    monkeypatch.setattr(updater_module, "_BLOCK", size)
    blocked, blocked_state = _path(name, options)
    torch.testing.assert_close(blocked, whole, rtol=1e-14, atol=1e-15)
    for slot, matrix in state.items():
        torch.testing.assert_close(blocked_state[slot], matrix, rtol=1e-14, atol=1e-15)


@conventions
def test_fused_kernels_equal_the_formulas(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, state = _whole(name, options)
    monkeypatch.setattr(updater_module, "_WIDE", 1)
    fused, fused_state = _path(name, options)
    torch.testing.assert_close(fused, whole, rtol=1e-12, atol=1e-13)
    for slot, matrix in state.items():
        torch.testing.assert_close(fused_state[slot], matrix, rtol=1e-12, atol=1e-13)


def test_rules_with_torchs_conventions_have_a_kernel() -> None:
    assert optim.Adam().fused
    assert optim.AdamW(decay="constant").fused
    assert not optim.Adam(eps_place="inside").fused
    assert not optim.AdamW(bias_correction=False).fused


@pytest.mark.parametrize("lr", [0.1, 0.0])
def test_a_shared_step_of_the_kernel_decays_also_at_rate_zero(lr: float, monkeypatch: pytest.MonkeyPatch) -> None:
    h = StepHyperparameters(
        {"lr": lr, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "schedule": 0.5}, 3
    )
    paths = []
    for wide in (1, 2**60):
        monkeypatch.setattr(updater_module, "_WIDE", wide)
        theta = torch.tensor(START)
        updater = Updater(optim.AdamW(lr, decay="schedule_coupled"), theta)
        assert updater.fused == (wide == 1)
        updater.step(torch.tensor(CURVATURES), h, torch.tensor([True, True, False, True, True]))
        paths.append(theta)
    torch.testing.assert_close(*paths, rtol=1e-14, atol=1e-15)
    assert torch.equal(paths[0][2], torch.tensor(START)[2])
    if lr == 0:
        torch.testing.assert_close(paths[0][0], torch.tensor(START)[0] * 0.95, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("members", "parameters", "size"), [(5, 7, 1), (5, 7, 6), (5, 7, 20), (3, 100, 33), (1, 1, 9)])
def test_blocks_cover_theta_once(members: int, parameters: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updater_module, "_BLOCK", size)
    theta = torch.zeros(members, parameters)
    blocks = Updater(optim.SGD(0.1), theta).blocks
    for block in blocks:
        assert block.theta.numel() <= max(size, 1)
        block.theta.add_(1)
    assert torch.equal(theta, torch.ones_like(theta))


@conventions
def test_a_member_that_is_not_finite_changes_no_other_bit(name: str, options: dict[str, Any]) -> None:
    healthy, _ = _whole(name, options)
    sick, _ = _path(name, options, poison=2)
    others = [0, 1, 3, 4]
    assert torch.equal(sick[others], healthy[others])
    if name != "Lion":  # the sign of NaN is 0: there it is the loop's look at gradients that finds it
        assert sick[2].isnan().all()


def test_members_that_are_not_active_keep_theta_and_state() -> None:
    theta = torch.tensor(START)
    updater = Updater(optim.AdamW(0.1), theta)
    h = StepHyperparameters(
        {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "schedule": 1.0}, 1
    )
    active = torch.tensor([True, False, True, True, False])
    gradient = torch.ones_like(theta)
    gradient[1] = torch.inf
    updater.step(gradient, h, active)
    assert torch.equal(theta[~active], torch.tensor(START)[~active])
    assert all(torch.equal(matrix[~active], torch.zeros(2, PARAMETERS).double()) for matrix in updater.state.values())
    assert (theta[active] != torch.tensor(START)[active]).all()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: optim.SGD(-0.1), "SGD lr must be finite and not negative; got -0.1"),
        (lambda: optim.SGD(float("nan")), "SGD lr must be finite and not negative; got nan"),
        (lambda: optim.SGD(sweep.values([0.1, -1])), "SGD lr must be finite and not negative; got -1"),
        (lambda: optim.AdamW("0.1"), "AdamW lr must be a number, a list of numbers or a sweep; got '0.1'"),
        (lambda: optim.AdamW([[0.1, 0.2]]), "A sweep takes a list of numbers"),
        (lambda: optim.SGD(0.1, weight_decay=None), "SGD weight_decay must be a number, a list of numbers or a sweep"),
        (lambda: optim.AdamW([0.1, -2]), "AdamW lr must be finite and not negative; got -2"),
        (lambda: optim.Adam(0.1, beta2=1.0), r"Adam beta2 must lie in \[0, 1\); got 1"),
        (lambda: optim.Momentum(0.1, beta=-0.1), r"Momentum beta must lie in \[0, 1\); got -0.1"),
        (lambda: optim.RMSprop(0.1, alpha=1.5), r"RMSprop alpha must lie in \[0, 1\); got 1.5"),
        (lambda: optim.SGD(0.1, weight_decay=-1), "SGD weight_decay must be finite and not negative; got -1"),
        (lambda: optim.Adam(0.1, eps=-1e-8), "Adam eps must be finite and not negative; got -1e-08"),
        (
            lambda: optim.SGD(0.1, decay="L2"),
            "decay is one of l2, lr_coupled, schedule_coupled, constant; got 'L2'",
        ),
        (
            lambda: optim.AdamW(1e-3, (0.9, 0.999)),
            r"AdamW beta1 must be a number, or a list .* the tuple \(0.9, 0.999\)",
        ),
        (lambda: optim.SGD(True), "SGD lr must be a number, a list of numbers or a sweep; got True"),
        (lambda: optim.SGD([True]), r"A sweep takes a list of numbers; got \[True\]"),
        (lambda: optim.SGD(10**400), "SGD lr must be finite and not negative; got inf"),
        (lambda: optim.SGD(0.1, decay_on=5), "SGD decay_on must be kinds of tensors: .*; got 5"),
        (lambda: optim.SGD(0.1, decay="constant", weight_decay=1.5), "SGD weight_decay must be at most 1 .*; got 1.5"),
        (lambda: optim.RMSprop(0.1, eps_inside="yes"), "RMSprop eps_inside must be True or False; got 'yes'"),
        (lambda: optim.Adam(0.1, bias_correction=1), "Adam bias_correction must be True or False; got 1"),
        (lambda: optim.Adam(0.1, beta2=1 - 1e-17), r"Adam beta2 must lie in \[0, 1\); got 1.0"),
        (lambda: optim.Momentum(0.1, form="mean"), "Momentum form is one of sum, ema, lr_inside; got 'mean'"),
        (lambda: optim.Momentum(0.1, start="one"), "Momentum start is one of zero, first_gradient; got 'one'"),
        (lambda: optim.Nesterov(0.1, look="far"), "Nesterov look is one of beta, full, reformulated; got 'far'"),
        (lambda: optim.Nesterov(0.1, form="Sum"), "Nesterov form is one of sum, ema, lr_inside; got 'Sum'"),
        (lambda: optim.Nesterov(0.1, look="reformulated", form="ema"), "is defined for form=\"sum\"; got form='ema'"),
        (
            lambda: optim.Adam(0.1, eps_place="under"),
            "eps_place is one of outside, inside, uncorrected; got 'under'",
        ),
    ],
)
def test_hyper_parameters_that_cannot_be_meant(build: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()


def test_lion_moves_every_parameter_by_its_rate() -> None:
    theta = torch.tensor(START)
    updater = Updater(optim.Lion(0.1), theta)
    for t in range(1, 6):
        before = theta.clone()
        updater.step(torch.tensor(_noise(t)), StepHyperparameters(BASE_LION | {"lr": 0.1}, t))
        torch.testing.assert_close((theta - before).abs(), torch.full_like(theta, 0.1), rtol=1e-13, atol=0)


BASE_LION = {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0, "schedule": 1.0}


def test_lion_equals_optax() -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        theirs, peer = jax.numpy.asarray(START), optax.lion(0.01, 0.8, 0.95, weight_decay=0.1)
        state = peer.init(theirs)
        theta = torch.tensor(START)
        updater = Updater(optim.Lion(0.01), theta)
        numbers = {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1, "schedule": 1.0}
        for t in range(1, 21):
            updater.step(torch.tensor(_noise(t)), StepHyperparameters(numbers, t))
            step, state = peer.update(jax.numpy.asarray(_noise(t)), state, theirs)
            theirs = optax.apply_updates(theirs, step)
        np.testing.assert_allclose(theta.numpy(), np.asarray(theirs), rtol=1e-12, atol=1e-13)


def test_every_rule_is_listed_under_its_name() -> None:
    assert all(rule.__name__.lower() == name.replace("-", "") for name, rule in optim.RULES.items())
    assert set(optim.RULES.values()) == {
        rule for rule in vars(optim).values() if isinstance(rule, type) and issubclass(rule, optim.Rule)
    } - {optim.Rule, optim.MatrixRule, optim.TorchOptimizer}
