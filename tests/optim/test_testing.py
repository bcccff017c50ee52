"""What the requirements let pass, and a planted fault for each of them."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import pytorch_optimizer
import torch
from optim.faulty import ADAM, FAULTS, NOTHING, PLAIN, adam, specified, written
from optim.reference import RULES as FORMULAS

from thalweg import optim
from thalweg.errors import UsageError
from thalweg.optim.testing import LAWS, REQUIREMENTS, Report, RequirementError, Specification, check

T = torch.optim


def _failed(report: Report) -> set[str]:
    return {outcome.name for outcome in report.failed}


CONVENTIONS: dict[str, optim.Rule | optim.Wrapper] = {
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
    "slimming": optim.Slimming(optim.Momentum(0.1), 0.5),
    "filters": optim.Orthogonal(optim.Centralized(optim.SGD(0.1))),
    "torch's": optim.TorchOptimizer(1e-3, lambda p: T.RAdam(p)),
    "nesterov, full, without memory": optim.Nesterov(0.1, 0.0, look="full"),
    "adamw without eps": optim.AdamW(0.01, eps=0.0),
    "rmsprop without eps": optim.RMSprop(0.01, eps=0.0, decay="constant"),
    "centralized muon": optim.Centralized(optim.Muon()),
    "lion with a long lead": optim.Lion(0.01, beta1=0.99, beta2=0.9),
    "adamw on some tensors": optim.AdamW(0.01, decay_on=("embedding", "hidden", "output")),
    "adamw on biases": optim.AdamW(0.01, decay_on="bias"),
    "sgd on some tensors": optim.SGD(0.1, decay_on=("hidden",)),
    "momentum on no tensors": optim.Momentum(0.1, decay_on="embedding"),
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
    "adamw on matrices": (lambda p: T.AdamW(_grouped(p, {"weight_decay": 0.3}, {"weight_decay": 0.0}), lr=1e-2), None),
    "adamw at two rates": (lambda p: T.AdamW(_grouped(p, {"lr": 1e-2}, {"lr": 1e-3})), None),
    "adamw at a rate of torch's": (lambda p: T.AdamW(p, lr=torch.tensor(1e-2)), None),
    "momentum at a rate of torch's": (lambda p: T.SGD(p, lr=torch.tensor(1e-2), momentum=0.9), None),
    "ema": (
        lambda p: T.SGD(p, lr=0.1, momentum=0.9, dampening=0.9),
        optim.Momentum(0.1, form="ema", start="first_gradient"),
    ),
}


def _grouped(parameters: Any, matrices: dict[str, Any], others: dict[str, Any]) -> list[dict[str, Any]]:
    """Two groups, matrices and all else, with settings of their own."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], **matrices},
        {"params": [p for p in parameters if p.ndim < 2], **others},
    ]


@pytest.mark.parametrize("name", MAKERS)
def test_torchs_optimizers_pass_and_equal_the_rules(name: str) -> None:
    make, reference = MAKERS[name]
    report = check(make, reference=reference)
    report.raise_if_failed()
    assert report["gradients kept"].verdict == "passed"
    assert report["reference"].verdict == ("passed" if reference else "not applicable")


def test_groups_that_differ_in_more_than_decay_obey_no_law() -> None:
    several = check(MAKERS["adamw on matrices"][0]), check(MAKERS["adamw at two rates"][0])
    assert [report.law for report in several] == ["adam", None]
    assert several[0]["formula"].verdict == "passed"
    assert [report["splitting"].verdict for report in several] == ["not applicable"] * 2


def test_what_is_specified_of_anothers_optimizer_passes_up_to_its_rounding() -> None:
    lion = Specification("lion", {"lr": 1e-2, "beta1": 0.9, "beta2": 0.99, "decay": "lr_coupled"})
    check(lambda p: pytorch_optimizer.Lion(p, lr=1e-2), specification=lion).raise_if_failed()
    numbers = {"lr": 3e-3, "beta1": 0.95, "beta2": 0.95, "beta_shampoo": 0.95, "eps": 1e-8}
    soap = lambda p: pytorch_optimizer.SOAP(p, lr=3e-3, betas=(0.95, 0.95), weight_decay=0.0)  # noqa: E731
    report = check(soap, specification=Specification("soap", {**numbers, "decay": "lr_coupled"}, elementwise=False))
    assert report["formula"].verdict == report["scale of the loss"].verdict == "passed", report


def test_torchs_nadam_keeps_a_product_in_float32_and_resumes_in_another_precision() -> None:
    make = lambda p: T.NAdam(p, lr=1e-2)  # noqa: E731
    parameter = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    parameter.grad, optimizer = torch.ones_like(parameter), make([parameter])
    optimizer.step()
    kept = optimizer.state[parameter]["mu_product"].dtype
    report = check(make, reference=optim.NAdam(1e-2))
    if kept == torch.float32:
        assert _failed(report) == {"resuming", "first step", "constant gradient", "formula", "reference"}
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


def test_adam_written_by_hand_passes() -> None:
    report = check(adam(), specification=ADAM)
    assert _failed(report) == {"decay as gradient"}  # it has none
    assert report["step bound"].verdict == "passed"


def test_a_doubled_bias_correction_is_caught_without_a_reference() -> None:
    doubled = adam(correct=lambda beta, t: (1 - beta**t) ** 2)
    failed = _failed(check(doubled, specification=ADAM))
    assert {"first step", "constant gradient"} <= failed
    only_first = adam(correct=lambda beta, t: (1 - beta**t) ** (2 if beta == 0.9 else 1))
    assert {"first step", "constant gradient"} <= _failed(check(only_first, specification=ADAM))


@pytest.mark.parametrize(("name", "subject", "specification"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_every_requirement_catches_a_planted_fault(
    name: str, subject: Any, specification: Specification | None
) -> None:
    report = check(subject, specification=specification)
    assert report[name].verdict == "failed", report


def test_no_requirement_is_without_a_fault() -> None:
    assert {one.name for one in REQUIREMENTS} == {fault[0] for fault in FAULTS}
    assert {law for one in REQUIREMENTS if one.name != "formula" for law in one.laws} == set(LAWS)


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
            {"first step", "constant gradient", "scale of the loss", "sign descent", "decay as gradient", "formula"},
        ),
    ],
)
def test_a_fault_fails_at_its_own_requirements_alone(name: str, failing: set[str]) -> None:
    _, subject, specification = next(fault for fault in FAULTS if fault[0] == name)
    assert _failed(check(subject, specification=specification)) <= failing


def test_another_optimizer_is_told_from_its_reference() -> None:
    report = check(optim.Adam(0.01), reference=lambda p: T.Adam(p, lr=0.01, eps=1e-7))
    assert _failed(report) == {"reference"}
    assert "reference" in _failed(check(optim.Momentum(0.1), reference=FORMULAS["Nesterov"]))


def test_a_report_is_a_table_and_raises() -> None:
    good, bad = check(optim.RMSprop(0.1)), check(optim.SGD(0.1), specification=specified("sgd", lr=0.2))
    good.raise_if_failed()
    assert good.passed
    assert str(good).splitlines()[0] == "RMSprop(lr=0.1): 16 passed, 0 failed, 3 not applicable"
    assert str(good).splitlines()[1] == "Held to the law 'rmsprop'."
    assert max(map(len, str(bad).splitlines())) <= 120
    assert "the path" not in str(good)
    with pytest.raises(RequirementError, match="Broken:\n") as raised:
        bad.raise_if_failed()
    assert "first step: The first step has the size that the formula gives" in str(raised.value)
    assert check(optim.Muon(fallback=optim.SGD(0.1))).subject == "Muon(lr=0.02, fallback=SGD(lr=0.1))"


def test_a_report_says_that_nothing_is_specified() -> None:
    doubled = adam(correct=lambda beta, t: (1 - beta**t) ** 2)
    report = check(doubled)
    assert report.passed
    assert report.law is None
    assert "Held to no law but what holds for every optimizer, so its formula is unchecked" in str(report)
    assert max(map(len, str(report).splitlines())) <= 120
    assert not check(doubled, specification=ADAM).passed
    with pytest.raises(UsageError, match="There is no requirement 'frist step'"):
        check(optim.SGD(0.1))["frist step"]


def test_a_formula_may_be_wrapped() -> None:
    formula = FORMULAS["Momentum"]
    reference = lambda theta, gradient, multiplier, h: formula(theta, gradient, multiplier, h)  # noqa: E731
    assert check(optim.Momentum(0.1), reference=reference)["reference"].verdict == "passed"
    assert check(optim.Momentum(0.2), reference=partial(_short_formula, steps=50))["reference"].verdict == "failed"


def _short_formula(theta: Any, gradient: Any, multiplier: Any, h: Any, steps: int = 10) -> Any:
    for _ in range(steps):
        yield theta


def _failing_formula(theta: Any, gradient: Any, multiplier: Any, h: Any) -> Any:
    yield theta * h["nothing"]


def test_an_exception_is_a_failure_with_its_text() -> None:
    def change(*_: Any) -> None:
        raise ZeroDivisionError("no rate")

    report = check(written(change), specification=NOTHING)
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

    report = check(Fixed, specification=PLAIN)
    report.raise_if_failed()
    assert report["decay as gradient"].measured == "its weight_decay cannot be set"
    decaying = check(Fixed, specification=Specification("sgd", {"lr": 0.01, "weight_decay": 0.1}))
    assert decaying["first step"].measured == "its weight decay cannot be taken away"
    slow = check(optim.Momentum(0.1, 0.999))
    assert slow["stationary variance"].verdict == "not applicable"
    assert math.isclose(float(slow["rate"].measured.split()[1]), math.sqrt(0.999), rel_tol=1e-5)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: check(optim.SGD([0.1, 0.2])), "check takes one value per hyper-parameter; SGD lr is Sweep"),
        (lambda: check("adam"), "check's subject is a rule such as optim.Adam.*got 'adam'"),
        (lambda: check(optim.Adam), "check's subject is a rule such as optim.Adam.*got <class"),
        (lambda: check(lambda p: T.LBFGS(p)), "LBFGS cannot step without a closure"),
        (lambda: check(optim.Adam(0.1), specification="adam"), r"check specification must be such as Specification\("),
        (lambda: Specification("adam", {"lr": 0.01}), r"Specification\('adam'\) needs the settings beta1, beta2, too"),
        (
            lambda: Specification("adam", {"betas": (0.9, 0.999)}),
            "no setting of the law 'adam' 'betas'. Did you mean 'beta2'",
        ),
        (lambda: Specification("sgd", {"lr": "0.1"}), r"Specification settings\['lr'\] must be a number; got '0.1'"),
        (lambda: Specification("sgd", [0.1]), "Specification settings must be a mapping"),
        (lambda: Specification("adam", {**ADAM.settings, "eps_place": "beside"}), "Adam eps_place is one of"),
        (lambda: check(optim.Adam(0.1), reference=T.SGD([torch.ones(1)])), "check's reference is a rule .*got SGD"),
        (
            lambda: check(optim.Adam(0.1), reference=optim.Adam([1e-3, 1e-2])),
            "check takes one value per hyper-parameter",
        ),
        (lambda: check(optim.Adam(0.1), reference=optim.Adam), "check's reference is a rule .*got <class"),
        (
            lambda: check(optim.Adam(0.1), reference=_short_formula),
            r"after each of 50 steps; got 10 of",
        ),
        (
            lambda: check(optim.Adam(0.1), reference=_failing_formula),
            "reference, a formula, raised KeyError: 'nothing'",
        ),
        (lambda: check(optim.SGD(0.0)), "SGD has the learning rate 0; give it one such as 1e-3"),
        (lambda: check(lambda p: T.Adam(p, lr=0.0)), "Adam has the learning rate 0"),
        (lambda: check(lambda p: 3), "must return a torch.optim.Optimizer"),
        (lambda: check(lambda p: T.SGD(p, lr=0.1, maximize=True)), "give SGD without maximize=True"),
        (
            lambda: check(optim.SGD(0.1), specification=Specification("best")),
            "Specification law is one of sgd, momentum",
        ),
    ],
)
def test_what_cannot_be_meant(build: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()
