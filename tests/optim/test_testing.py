"""The ladder: what it lets pass, and a planted fault for every rung of it."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from optim.reference import RULES as FORMULAS
from torch import Tensor

from thalweg import optim
from thalweg.errors import UsageError
from thalweg.optim.testing import LAWS, RUNGS, Claims, LadderError, Report, check

T = torch.optim


def _failed(report: Report) -> set[str]:
    return {rung.name for rung in report.failed}


CONVENTIONS: dict[str, optim.Rule | optim.Around] = {
    "heavy ball, ema": optim.Momentum(0.1, form="ema"),
    "heavy ball, dampened": optim.Momentum(0.1, 0.5, form="ema", start="first_gradient"),
    "heavy ball, lr inside": optim.Momentum(0.1, 0.8, form="lr_inside", weight_decay=0.1, decay="constant"),
    "nesterov, full": optim.Nesterov(0.01, 0.5, look="full", form="ema"),
    "nesterov, reformulated": optim.Nesterov(0.01, look="reformulated"),
    "rmsprop, eps inside": optim.RMSprop(0.01, eps=1e-3, eps_inside=True),
    "adam, eps inside": optim.Adam(0.01, eps=1e-3, eps_place="inside"),
    "adam, eps uncorrected": optim.Adam(0.01, eps=1e-3, eps_place="uncorrected"),
    "adam, uncorrected": optim.Adam(0.01, eps=1e-3, bias_correction=False),
    "amsgrad, corrected": optim.AMSGrad(0.01, largest_of="corrected"),
    "adamw, the paper's decay": optim.AdamW(1e-3, decay="schedule_coupled"),
    "adamw, constant decay": optim.AdamW(1e-3, decay="constant"),
    "adagrad with all": optim.Adagrad(0.1, rate_decay=0.1, initial=0.3, eps=1e-3),
    "adafactor, clipped": optim.Adafactor(0.1, clip=0.5),
    "muon": optim.Muon(nesterov=False, scale="rms"),
    "sam": optim.SAM(optim.SGD(0.1), rho=0.2),
    "asam": optim.SAM(optim.SGD(0.1), adaptive=True),
    "averaged": optim.Averaged(optim.Adam(0.01)),
    "grokfast": optim.Grokfast(optim.Adam(0.01)),
    "filters": optim.Orthogonal(optim.Centralized(optim.SGD(0.1))),
    "torch's": optim.Torch(1e-3, lambda p: T.RAdam(p)),
}
SHIPPED = {name: rule(0.01) for name, rule in optim.RULES.items()} | CONVENTIONS


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_rules_pass(name: str) -> None:
    report = check(SHIPPED[name])
    report.raise_if_failed()
    assert report["determinism"].verdict == report["resuming"].verdict == "passed"


@pytest.mark.parametrize("name", FORMULAS)
def test_shipped_rules_equal_formulas(name: str) -> None:
    report = check(getattr(optim, name)(0.01), reference=FORMULAS[name])
    assert report["reference"].verdict == "passed", report


MAKERS: dict[str, tuple[Callable[[Any], T.Optimizer], Any]] = {
    "sgd": (lambda p: T.SGD(p, lr=0.1), optim.SGD(0.1)),
    "momentum": (lambda p: T.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1), optim.Momentum(0.1, weight_decay=0.1)),
    "dampened": (lambda p: T.SGD(p, lr=0.1, momentum=0.9, dampening=0.5), None),
    "nesterov": (
        lambda p: T.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        optim.Nesterov(0.1, look="reformulated"),
    ),
    "adam": (lambda p: T.Adam(p, lr=1e-2), optim.Adam(1e-2)),
    "adamw": (lambda p: T.AdamW(p, lr=1e-2), optim.AdamW(1e-2)),
    "amsgrad": (lambda p: T.Adam(p, lr=1e-2, amsgrad=True), optim.AMSGrad(1e-2)),
    "rmsprop": (lambda p: T.RMSprop(p, lr=1e-2), optim.RMSprop(1e-2)),
    "rmsprop, centered": (lambda p: T.RMSprop(p, lr=1e-2, centered=True), None),
    "adagrad": (lambda p: T.Adagrad(p, lr=1e-2), optim.Adagrad(1e-2)),
    "adafactor": (lambda p: T.Adafactor(p, lr=1e-2), optim.Adafactor(1e-2)),
    "radam": (lambda p: T.RAdam(p), lambda p: T.RAdam(p, foreach=True)),
    "muon": (lambda p: T.Muon(p, lr=0.1), None),
}


@pytest.mark.parametrize("name", MAKERS)
def test_torchs_optimizers_pass_and_equal_the_rules(name: str) -> None:
    make, reference = MAKERS[name]
    report = check(make, reference=reference)
    report.raise_if_failed()
    assert report["gradients kept"].verdict == "passed"
    assert report["reference"].verdict == ("passed" if reference else "not applicable")


def test_torchs_nadam_keeps_a_product_in_float32_and_resumes_in_another_precision() -> None:
    make = lambda p: T.NAdam(p, lr=1e-2)  # noqa: E731
    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    parameter.grad, optimizer = torch.ones_like(parameter), make([parameter])
    optimizer.step()
    kept = optimizer.state[parameter]["mu_product"].dtype
    report = check(make, reference=optim.NAdam(1e-2))
    if kept == torch.float32:
        assert _failed(report) == {"resuming", "first step", "constant gradient", "reference"}
    else:
        report.raise_if_failed()
    torch.set_default_dtype(torch.float64)
    try:
        check(make, reference=optim.NAdam(1e-2)).raise_if_failed()
    finally:
        torch.set_default_dtype(torch.float32)


def test_torchs_muon_loses_its_momentum_in_bfloat16_without_nesterov() -> None:
    gradient = (8 * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))).bfloat16()
    parameter = torch.nn.Parameter(torch.zeros(4, 4, dtype=torch.bfloat16))
    optimizer = T.Muon([parameter], lr=0.1, nesterov=False)
    parameter.grad = gradient.clone()
    optimizer.step()
    kept = float(optimizer.state[parameter]["momentum_buffer"].float().norm())
    due = 0.05 * float(gradient.float().norm())
    report = check(lambda p: T.Muon(p, lr=0.1, nesterov=False))
    if kept == pytest.approx(due, rel=0.02):  # a torch that has mended it
        report.raise_if_failed()
    else:
        assert kept == pytest.approx(1, rel=0.02)
        assert _failed(report) == {"bfloat16"}
    check(lambda p: T.Muon(p, lr=0.1, nesterov=True)).raise_if_failed()


def test_torchs_fused_sgd_skips_full_vectors_in_bfloat16() -> None:
    parameter = torch.nn.Parameter(torch.zeros(64, dtype=torch.bfloat16))
    parameter.grad = torch.ones_like(parameter)
    T.SGD([parameter], lr=1.0, fused=True).step()
    report = check(lambda p: T.SGD(p, lr=0.1, momentum=0.9, fused=True))
    if bool((parameter == -1).all()):  # a torch that has mended it
        report.raise_if_failed()
    else:
        assert {"bfloat16, wide"} <= _failed(report) <= {"bfloat16", "bfloat16, wide"}


class Written(T.Optimizer):
    """An optimizer of a few lines: `change` gets a parameter, its gradient, its state and its group."""

    def __init__(self, parameters: Any, change: Callable[..., Any], **numbers: Any) -> None:
        self.change, self.outside = change, 0
        super().__init__(parameters, {"lr": 0.01, "weight_decay": 0.0} | numbers)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.outside += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["step"] = state.get("step", 0) + 1
                self.change(parameter, parameter.grad, state, group | {"outside": self.outside})


def _written(change: Callable[..., Any], **numbers: Any) -> Callable[[Any], T.Optimizer]:
    return lambda p: Written(p, change, **numbers)


def _adam(
    correct: Callable[[float, int], float] = lambda beta, t: 1 - beta**t,
    eps: Callable[[float], float] = lambda eps: eps,
    late: bool = False,
    least: float = 0.0,
) -> Callable[[Any], T.Optimizer]:
    """Adam with a fault."""

    def change(p: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        (b1, b2), t = (max(beta, least) for beta in group["betas"]), state["step"]
        m, before = state.get("m", torch.zeros_like(p)), state.get("v", torch.zeros_like(p))
        state["m"], state["v"] = b1 * m + (1 - b1) * g, b2 * before + (1 - b2) * g * g
        v = before if late and t > 1 else state["v"]
        root = (v / correct(b2, max(1, t - 1) if late else t)).sqrt() + eps(group["eps"])
        p.sub_(group["lr"] * state["m"] / correct(b1, t) / root)

    return _written(change, betas=(0.9, 0.999), eps=1e-8)


ADAM = Claims("adam", {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})


def test_adam_written_by_hand_passes() -> None:
    report = check(_adam(), claims=ADAM)
    assert _failed(report) == {"decay as gradient"}  # it has none
    assert report["step bound"].verdict == "passed"


def test_a_doubled_bias_correction_is_caught_without_a_reference() -> None:
    doubled = _adam(correct=lambda beta, t: (1 - beta**t) ** 2)
    failed = _failed(check(doubled, claims=ADAM))
    assert {"first step", "constant gradient"} <= failed
    only_first = _adam(correct=lambda beta, t: (1 - beta**t) ** (2 if beta == 0.9 else 1))
    assert {"first step", "constant gradient"} <= _failed(check(only_first, claims=ADAM))


def _noisy(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] * (g + torch.randn(g.shape)))


def _uphill(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.add_(group["lr"] * g)


def _by_place(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] * g * torch.arange(1, g.numel() + 1).view(g.shape))


def _by_tensor(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] * g / g.norm())


def _spoiling(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(g.mul_(group["lr"]))


def _remembering_parameters(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    state["last"] = p.data
    p.sub_(group["lr"] * g)


def _remembering_gradients(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] * (g + state.get("last", 0 * g)))
    state["last"] = g


def _remembering_rough_gradients(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] * (g + state.get("last", 0 * g)))
    state["last"] = g.bfloat16()


def _normalizing_what_it_keeps(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    state["v"] = 0.9 * state.get("v", 0 * g) + 0.1 * g
    p.sub_(group["lr"] * state["v"].bfloat16().div_(state["v"].norm()))


def _counting_outside(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] / group["outside"] * g)


class WideAdam(optim.Adam):
    """A kernel that forgets half of the rate."""

    def update_fused(self, theta: Any, gradient: Any, state: Any, h: Any) -> None:
        super().update_fused(theta, gradient, state, replace(h, numbers=h.numbers | {"lr": h.lr / 2}))


class RoughAdam(optim.Adam):
    """Does nothing in sixteen bits where there is much to do."""

    def update(self, theta: Tensor, gradient: Tensor, state: Any, h: Any, scratch: Tensor) -> None:
        if theta.dtype != torch.bfloat16 or theta.shape[1] < 8_192:
            super().update(theta, gradient, state, h, scratch)


class HalfMuon(optim.Muon):
    """The momentum's own direction in place of an orthogonal one."""

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: Any, h: Any) -> None:
        theta.sub_(h.lr * gradient / gradient.norm(dim=(1, 2), keepdim=True))


class SignMuon(optim.Muon):
    """Signs in place of an orthogonal matrix."""

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: Any, h: Any) -> None:
        theta.sub_(h.lr * gradient.sign())


class EarlySOAP(optim.SOAP):
    """Corrections that count the first step, too."""

    def update_matrix(self, theta: Tensor, gradient: Tensor, state: Any, h: Any) -> None:
        before = theta.clone()
        super().update_matrix(theta, gradient, state, h)
        late = max(1, h.step - 1)
        of = lambda t: (1 - h.beta2**t) ** 0.5 / (1 - h.beta1**t)  # noqa: E731
        theta.copy_(before + (theta - before) * of(h.step) / of(late))


class SoftLion(optim.Lion):
    """Lion without its sign."""

    def update(self, theta: Tensor, gradient: Tensor, state: Any, h: Any, scratch: Tensor) -> None:
        theta.sub_(h.lr * gradient.tanh())


class FarSAM(optim.SAM):
    """A step up of the wrong length."""

    def ascend(self, theta: Tensor, gradient: Tensor, h: Any, out: Tensor) -> None:
        out.copy_(theta + gradient)


class NearScheduleFree(optim.ScheduleFreeSGD):
    """An average that forgets."""

    def share(self, state: Any, h: Any) -> Any:
        return 1.0 if h.step == 1 else 0.5


def _claimed(law: str, **settings: Any) -> Claims:
    return Claims(law, {"lr": 0.1, "beta": 0.9} | settings, consumes=True)


PLAIN = Claims("sgd", {"lr": 0.01})
NOTHING = Claims(settings={"lr": 0.01})
FAULTS: list[tuple[str, Any, Claims | None]] = [
    ("determinism", _written(_noisy), NOTHING),
    ("direction", _written(_uphill), NOTHING),
    ("order", _written(_by_place), NOTHING),
    ("splitting", _written(_by_tensor), NOTHING),
    ("width", WideAdam(0.01), None),
    ("width", lambda p: T.SGD(p, lr=0.1 / p[0].numel()), None),
    ("gradients kept", _written(_spoiling), NOTHING),
    ("memory", _written(_remembering_parameters), NOTHING),
    ("memory", _written(_remembering_gradients), NOTHING),
    ("reused gradients", _written(_remembering_gradients), NOTHING),
    ("reused gradients, bfloat16", _written(_remembering_rough_gradients), NOTHING),
    ("bfloat16", _written(_normalizing_what_it_keeps), Claims(elementwise=False)),
    ("bfloat16, wide", RoughAdam(0.01), None),
    ("resuming", _written(_counting_outside), NOTHING),
    ("stability limit", optim.Nesterov(0.1, look="full"), _claimed("nesterov", look="beta")),
    ("stability limit", lambda p: T.SGD(p, lr=0.1, momentum=0.9, nesterov=True), _claimed("momentum")),
    ("stability limit", optim.SGD(0.101), _claimed("sgd")),
    ("rate", optim.Momentum(0.1, 0.91), _claimed("momentum")),
    ("rate", optim.Adam(0.1), _claimed("momentum")),
    ("stationary variance", optim.Momentum(0.1, 0.91), _claimed("momentum")),
    ("stationary variance", optim.SGD(0.105), _claimed("sgd")),
    ("first step", optim.Momentum(0.1), _claimed("momentum", form="ema")),
    ("first step", optim.Adam(0.01, eps_place="uncorrected"), ADAM),
    ("first step", optim.Adam(0.01, eps_place="inside"), ADAM),
    ("first step", optim.Adam(0.01, bias_correction=False), ADAM),
    ("first step", optim.RMSprop(0.01, 0.9), Claims("rmsprop", {"lr": 0.01, "alpha": 0.99, "eps": 1e-8})),
    ("first step", optim.Adafactor(0.1, floor=10.0), Claims("adafactor", {"lr": 0.1}, elementwise=False)),
    ("constant gradient", _adam(correct=lambda beta, t: 1 - beta ** min(t, 9)), ADAM),
    ("constant gradient", optim.Adagrad(0.1, rate_decay=0.1), Claims("adagrad", {"lr": 0.1, "eps": 1e-10})),
    ("scale of the loss", _adam(eps=lambda eps: 1e-6), ADAM),
    ("sign descent", _adam(least=0.1), ADAM),
    ("step bound", _adam(late=True), ADAM),
    ("step size", SoftLion(0.1), None),
    ("decay alone", optim.AdamW(0.1, decay="constant"), Claims("adam", {**ADAM.settings, "decay": "lr_coupled"})),
    ("decay as gradient", optim.AdamW(0.01), ADAM),
    ("decay as gradient", lambda p: T.AdamW(p, lr=0.01), ADAM),
    ("decay at rest", optim.AdamW(0.1, decay="constant"), Claims("adam", {**ADAM.settings, "decay": "lr_coupled"})),
    ("singular values", HalfMuon(0.1), None),
    ("iteration", SignMuon(0.1), None),
    ("equivariance", SignMuon(0.1), None),
    ("identity bases", EarlySOAP(0.1), None),
    ("two-cycle", FarSAM(optim.SGD(0.1)), None),
    ("mean of the path", NearScheduleFree(0.1), None),
]


@pytest.mark.parametrize(("name", "subject", "claims"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_every_rung_catches_a_planted_fault(name: str, subject: Any, claims: Claims | None) -> None:
    report = check(subject, claims=claims)
    assert report[name].verdict == "failed", report


def test_no_rung_is_without_a_fault() -> None:
    assert {one.name for one in RUNGS} == {fault[0] for fault in FAULTS}
    assert {law for one in RUNGS for law in one.laws} == set(LAWS)


@pytest.mark.parametrize(
    ("name", "failing"),
    [
        ("memory", {"memory"}),
        ("reused gradients", {"memory", "reused gradients", "reused gradients, bfloat16"}),
        ("reused gradients, bfloat16", {"memory", "reused gradients, bfloat16"}),
        ("bfloat16", {"bfloat16"}),
        ("resuming", {"resuming"}),
        ("width", {"width", "bfloat16, wide"}),  # in 16 bits no kernel is used, so the two paths differ
        ("bfloat16, wide", {"bfloat16, wide"}),
        ("gradients kept", {"gradients kept"}),
        ("sign descent", {"sign descent", "decay as gradient"}),
        (
            "scale of the loss",
            {"first step", "constant gradient", "scale of the loss", "sign descent", "decay as gradient"},
        ),
    ],
)
def test_a_fault_fails_at_its_own_rungs_alone(name: str, failing: set[str]) -> None:
    _, subject, claims = next(fault for fault in FAULTS if fault[0] == name)
    assert _failed(check(subject, claims=claims)) <= failing


def test_another_optimizer_is_told_from_its_reference() -> None:
    report = check(optim.Adam(0.01), reference=lambda p: T.Adam(p, lr=0.01, eps=1e-7))
    assert _failed(report) == {"reference"}
    assert "reference" in _failed(check(optim.Momentum(0.1), reference=FORMULAS["Nesterov"]))


def test_a_report_is_a_table_and_raises() -> None:
    good, bad = check(optim.RMSprop(0.1)), check(optim.SGD(0.1), claims=_claimed("sgd", lr=0.2))
    good.raise_if_failed()
    assert good.passed
    assert str(good).splitlines()[0] == "RMSprop(lr=0.1): 15 passed, 0 failed, 3 not applicable"
    assert max(map(len, str(bad).splitlines())) <= 120
    assert "the path" not in str(good)
    with pytest.raises(LadderError, match="Broken:\n") as raised:
        bad.raise_if_failed()
    assert "first step: The first step has the size that the formula gives" in str(raised.value)
    assert check(optim.Muon(fallback=optim.SGD(0.1))).subject == "Muon(lr=0.02, fallback=SGD(lr=0.1))"


def test_an_exception_is_a_failure_with_its_text() -> None:
    def change(*_: Any) -> None:
        raise ZeroDivisionError("no rate")

    report = check(_written(change), claims=NOTHING)
    assert report["determinism"].measured == "raised ZeroDivisionError: no rate"
    assert not report.passed


def test_settings_that_cannot_be_changed_leave_their_laws_out() -> None:
    class Fixed(T.Optimizer):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, {})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for parameter in self.param_groups[0]["params"]:
                parameter.sub_(0.01 * parameter.grad)

    report = check(Fixed, claims=PLAIN)
    report.raise_if_failed()
    assert report["decay as gradient"].measured == "its weight_decay cannot be set"
    decaying = check(Fixed, claims=Claims("sgd", {"lr": 0.01, "weight_decay": 0.1}))
    assert decaying["first step"].measured == "its weight decay cannot be taken away"
    slow = check(optim.Momentum(0.1, 0.999))
    assert slow["stationary variance"].verdict == "not applicable"
    assert math.isclose(float(slow["rate"].measured.split()[1]), math.sqrt(0.999), rel_tol=1e-5)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: check(optim.SGD([0.1, 0.2])), "check takes one value a hyper-parameter; SGD lr is Sweep"),
        (lambda: check("adam"), "check takes a rule such as optim.Adam"),
        (lambda: check(lambda p: 3), "must return a torch.optim.Optimizer"),
        (lambda: check(lambda p: T.SGD(p, lr=0.1, maximize=True)), "give SGD without maximize=True"),
        (lambda: check(optim.SGD(0.1), claims=Claims("best")), "Claims law is one of sgd, momentum"),
    ],
)
def test_what_cannot_be_meant(build: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()
