"""Optimizers with a fault each, and the requirement that is to catch it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from thalweg import optim
from thalweg.optim.testing import Specification
from thalweg.optim.testing.specification import specification_of_rule

T = torch.optim


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


def written(change: Callable[..., Any], **numbers: Any) -> Callable[[Any], T.Optimizer]:
    return lambda p: Written(p, change, **numbers)


def adam(
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

    return written(change, betas=(0.9, 0.999), eps=1e-8)


ADAM = Specification("adam", {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})


def _noisy(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] * (g + torch.randn(g.shape)))


def _uphill(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.add_(group["lr"] * g)


def _spoiling_with_nothing(p: Tensor, g: Tensor, state: Any, group: Any) -> None:
    p.sub_(group["lr"] * g)
    g.fill_(torch.nan)


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


def specified(law: str, **settings: Any) -> Specification:
    beta = {} if law == "sgd" else {"beta": 0.9}
    return Specification(law, {"lr": 0.1} | beta | settings, consumes=True)


PLAIN = Specification("sgd", {"lr": 0.01})
NOTHING = Specification(settings={"lr": 0.01})
FAULTS: list[tuple[str, Any, Specification | None]] = [
    ("determinism", written(_noisy), NOTHING),
    ("direction", written(_uphill), NOTHING),
    ("order", written(_by_place), NOTHING),
    ("splitting", written(_by_tensor), NOTHING),
    ("width", WideAdam(0.01), None),
    ("width", lambda p: T.SGD(p, lr=0.1 / p[0].numel()), None),
    ("gradients kept", written(_spoiling), NOTHING),
    ("gradients kept", written(_spoiling_with_nothing), NOTHING),
    ("memory", written(_remembering_parameters), NOTHING),
    ("memory", written(_remembering_gradients), NOTHING),
    ("reused gradients", written(_remembering_gradients), NOTHING),
    ("reused gradients, bfloat16", written(_remembering_rough_gradients), NOTHING),
    ("bfloat16", written(_normalizing_what_it_keeps), Specification(elementwise=False)),
    ("bfloat16, wide", RoughAdam(0.01), None),
    ("resuming", written(_counting_outside), NOTHING),
    ("stability limit", optim.Nesterov(0.1, look="full"), specified("nesterov", look="beta")),
    ("stability limit", lambda p: T.SGD(p, lr=0.1, momentum=0.9, nesterov=True), specified("momentum")),
    ("stability limit", optim.SGD(0.101), specified("sgd")),
    ("rate", optim.Momentum(0.1, 0.91), specified("momentum")),
    ("rate", optim.Adam(0.1), specified("momentum")),
    ("stationary variance", optim.Momentum(0.1, 0.91), specified("momentum")),
    ("stationary variance", optim.SGD(0.105), specified("sgd")),
    ("first step", optim.Momentum(0.1), specified("momentum", form="ema")),
    ("first step", optim.Adam(0.01, eps_place="uncorrected"), ADAM),
    ("first step", optim.Adam(0.01, eps_place="inside"), ADAM),
    ("first step", optim.Adam(0.01, bias_correction=False), ADAM),
    ("first step", optim.RMSprop(0.01, 0.9), Specification("rmsprop", {"lr": 0.01, "alpha": 0.99, "eps": 1e-8})),
    ("first step", optim.Adafactor(0.1, floor=10.0), Specification("adafactor", {"lr": 0.1}, elementwise=False)),
    ("constant gradient", adam(correct=lambda beta, t: 1 - beta ** min(t, 9)), ADAM),
    ("constant gradient", optim.Adagrad(0.1, rate_decay=0.1), Specification("adagrad", {"lr": 0.1, "eps": 1e-10})),
    ("scale of the loss", adam(eps=lambda eps: 1e-6), ADAM),
    ("sign descent", adam(least=0.1), ADAM),
    ("step bound", adam(late=True), ADAM),
    ("step size", SoftLion(0.1), None),
    (
        "decay alone",
        optim.AdamW(0.1, decay="constant"),
        Specification("adam", {**ADAM.settings, "decay": "lr_coupled"}),
    ),
    ("decay as gradient", optim.AdamW(0.01), ADAM),
    ("decay as gradient", lambda p: T.AdamW(p, lr=0.01), ADAM),
    (
        "decay at rest",
        optim.AdamW(0.1, decay="constant"),
        Specification("adam", {**ADAM.settings, "decay": "lr_coupled"}),
    ),
    ("singular values", HalfMuon(0.1), None),
    ("iteration", SignMuon(0.1), None),
    ("equivariance", SignMuon(0.1), None),
    ("identity bases", EarlySOAP(0.1), None),
    ("two-cycle", FarSAM(optim.SGD(0.1)), None),
    ("mean of the path", NearScheduleFree(0.1), None),
    ("formula", optim.Adam(0.01), Specification("amsgrad", ADAM.settings, consumes=True)),
    ("formula", optim.Adam(0.01, 0.5), ADAM),
    (
        "formula",
        optim.Lion(0.01, 0.0, 0.0),
        Specification("lion", {"lr": 0.01, "beta1": 0.9, "beta2": 0.99}, consumes=True),
    ),
    ("formula", optim.Muon(0.02, beta=0.5, nesterov=False), specification_of_rule(optim.Muon(0.02))),
    ("formula", optim.Adafactor(0.01, 0.1), specification_of_rule(optim.Adafactor(0.01))),
    ("formula", optim.SOAP(0.01, beta_shampoo=0.1), specification_of_rule(optim.SOAP(0.01))),
    ("formula", optim.ScheduleFreeSGD(0.1, 0.5), specification_of_rule(optim.ScheduleFreeSGD(0.1))),
    ("formula", optim.ScheduleFreeAdamW(0.01, 0.5), specification_of_rule(optim.ScheduleFreeAdamW(0.01))),
    ("formula", optim.ScheduleFreeAdamW(0.01, beta2=0.9), specification_of_rule(optim.ScheduleFreeAdamW(0.01))),
    ("formula", optim.SAM(optim.SGD(0.1), 0.06), Specification("sam", {"lr": 0.1, "rho": 0.05}, consumes=True)),
]
