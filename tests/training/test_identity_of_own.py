"""`train(store=)` tells runs apart by what is the user's own: layers, losses, rules and schedules."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.randomness import generator
from thalweg.training.declared import Declared

DRAW = generator(0, "test identity of own")
X, Y = torch.randn(60, 10, generator=DRAW), torch.randint(0, 3, (60,), generator=DRAW)
LATE = torch.cat([torch.zeros(8, dtype=torch.long), Y[8:]])  # the first eight are of one class


class Net(nn.Module):
    """Dropout as an attribute, as nanoGPT and many others have it: it is not in the print of the module."""

    def __init__(self, rate):
        super().__init__()
        self.rate, self.first, self.last = rate, nn.Linear(10, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(F.dropout(F.relu(self.first(x)), self.rate, self.training))


class Hidden(Net):
    """The same in a place that only the behavior in training mode shows."""

    def __init__(self, rate):
        super().__init__(0.0)
        self.rates = [rate]

    def forward(self, x):
        return self.last(F.dropout(F.relu(self.first(x)), self.rates[0], self.training))


class Attentive(nn.Module):
    """Attention, which prints nothing of its dropout."""

    def __init__(self, rate):
        super().__init__()
        self.mix, self.last = nn.MultiheadAttention(5, 1, dropout=rate, batch_first=True), nn.Linear(10, 3)

    def forward(self, x):
        parts = x.unflatten(1, (2, 5))
        return self.last(self.mix(parts, parts, parts, need_weights=False)[0].flatten(1))


class Gated(Net):
    """A branch that is closed at the start: no loss and no gradient of the start says how it computes."""

    def __init__(self, sign):
        super().__init__(0.0)
        self.gate, self.sign = nn.Parameter(torch.zeros(1)), sign

    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden + self.gate**2 * self.sign * hidden.sin())


class Mine(tw.schedules.Schedule):
    """A schedule that is no dataclass."""

    def __init__(self, factor):
        object.__setattr__(self, "factor", factor)

    def __call__(self, step, steps):
        return self.factor * np.ones_like(np.asarray(step, dtype=float))


class Slotted(tw.schedules.Schedule):
    """One whose number is only seen by what it does."""

    __slots__ = ("_get",)

    def __init__(self, factor):
        object.__setattr__(self, "_get", [lambda: factor].__getitem__)

    def __call__(self, step, steps):
        return self._get(0)() * np.ones_like(np.asarray(step, dtype=float))


@dataclasses.dataclass(frozen=True)
class Rule(tw.optim.SGD):
    """A rule with a number that is no field."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "turned", self.lr == 0.125)


class Holding(tw.schedules.Schedule):
    """One that holds what says nothing of itself."""

    def __init__(self, held):
        object.__setattr__(self, "held", held)

    def __call__(self, step, steps):
        return np.ones_like(np.asarray(step, dtype=float))


def weighted(weight):
    return lambda output, target: F.cross_entropy(
        output, target, weight=torch.tensor([1.0, 1.0, weight]), reduction="none"
    )


def clipped(most):
    """Two that agree at every start, where no loss is as large."""
    return lambda output, target: F.cross_entropy(output, target, reduction="none").clamp(max=most)


def hooked(scale):
    net = nn.Linear(10, 3)
    net.register_forward_hook(lambda module, given, output: output * scale if module.training else output)
    return net


def linear():
    return nn.Linear(10, 3)


def recipe(**more):
    return tw.Recipe(tw.optim.SGD(0.1), 6, 20, evaluate=0, **more)


PAIRS = {
    "dropout as an attribute": [
        lambda rate=rate: (lambda: Net(rate), Y, "cross_entropy", recipe()) for rate in (0, 0.9)
    ],
    "dropout, nearly the same": [
        lambda rate=rate: (lambda: Net(rate), Y, "cross_entropy", recipe()) for rate in (0.1, 0.1001)
    ],
    "dropout in a list": [lambda rate=rate: (lambda: Hidden(rate), Y, "cross_entropy", recipe()) for rate in (0, 0.9)],
    "attention's own dropout": [
        lambda rate=rate: (lambda: Attentive(rate), Y, "cross_entropy", recipe()) for rate in (0.1, 0.1001)
    ],
    "a loss of torch's": [
        lambda smooth=smooth: (linear, Y, nn.CrossEntropyLoss(label_smoothing=smooth), recipe())
        for smooth in (0.1, 0.100001)
    ],
    "a closed branch": [lambda sign=sign: (lambda: Gated(sign), Y, "cross_entropy", recipe()) for sign in (1, -1)],
    "a hook in training mode": [
        lambda scale=scale: (lambda: hooked(scale), Y, "cross_entropy", recipe()) for scale in (1, 2)
    ],
    "class weights": [lambda weight=weight: (linear, LATE, weighted(weight), recipe()) for weight in (1.0, 50.0)],
    "a loss clipped where no start is": [lambda most=most: (linear, Y, clipped(most), recipe()) for most in (50, 60)],
    "a schedule, no dataclass": [
        lambda factor=factor: (linear, Y, "cross_entropy", recipe(schedule=Mine(factor))) for factor in (1.0, 0.5)
    ],
    "a schedule within one of ours": [
        lambda factor=factor: (linear, Y, "cross_entropy", recipe(schedule=Mine(factor).warmed_up(2)))
        for factor in (1.0, 0.5)
    ],
    "a schedule that shows nothing": [
        lambda factor=factor: (linear, Y, "cross_entropy", recipe(schedule=Slotted(factor))) for factor in (1.0, 0.5)
    ],
    "the transformer's dropout": [
        lambda rate=rate: (
            lambda: tw.nets.transformer(11, 8, width=8, heads=2, depth=1, dropout=rate),
            None,
            "cross_entropy",
            recipe(),
        )
        for rate in (0.1, 0.5)
    ],
}


def problem(model, targets, loss):
    if targets is None:
        tokens = torch.randint(11, (60, 8), generator=generator(0, "tokens"))
        return tw.Problem(model, (tokens, tokens), loss)
    return tw.Problem(model, (X, targets), loss)


@pytest.mark.parametrize("name", PAIRS)
def test_two_runs_that_differ_are_two_and_each_is_found_again(tmp_path, name):
    made, trained = [], []
    for make in (*PAIRS[name], *PAIRS[name]):
        model, targets, loss, how = make()
        count = len(made)
        steps = lambda step, _: made.append(step)  # noqa: E731
        tw.train(problem(model, targets, loss), how, store=tmp_path, plan="looped", observe=steps)
        trained.append(len(made) - count)
    assert trained == [7, 7, 0, 0]
    assert len(tw.Store(tmp_path).list("run")) == 2


def test_a_rule_of_ones_own_is_known_by_its_code(tmp_path):
    def turned(sign):
        class Turned(Rule):
            def update(self, theta, gradient, state, h, scratch):
                theta.sub_(gradient, alpha=sign * h.lr)

        return Turned(0.1)

    for sign in (1, -1, 1):
        tw.train(problem(linear, Y, "cross_entropy"), tw.Recipe(turned(sign), 3, 20), store=tmp_path, plan="looped")
    assert len(tw.Store(tmp_path).list("run")) == 2


@pytest.mark.parametrize("held", [object(), threading.Lock(), torch.Generator()])
def test_what_says_nothing_of_itself_needs_a_name(tmp_path, held):
    own = recipe(schedule=Holding(held))
    with pytest.raises(UsageError, match=rf"holds a {type(held).__name__}, .*write train\(\.\.\., name=\.\.\.\)"):
        tw.train(problem(linear, Y, "cross_entropy"), own, store=tmp_path)
    tw.train(problem(linear, Y, "cross_entropy"), own, store=tmp_path, name="mine", plan="looped")
    assert [record.key for record in tw.Store(tmp_path).list("run")] == ["mine"]


def test_a_count_of_calls_is_no_part_of_it(tmp_path):
    calls, seen = 0, []

    def counted(output, target):
        nonlocal calls
        calls += 1
        seen.append(calls)
        return F.cross_entropy(output, target, reduction="none")

    for _ in range(2):
        tw.train(problem(linear, Y, counted), recipe(), store=tmp_path, plan="looped")
    assert len(tw.Store(tmp_path).list("run")) == 1


def test_the_recipe_is_as_it_was_declared():
    schedule = tw.schedules.Cosine(warmup=np.int64(2), final=np.float32(0.5))
    assert recipe(schedule=schedule).describe()["schedule"]["warmup"] == 2
    assert recipe(schedule=Holding(object())).describe()["schedule"] == {"is": "Holding"}
    with pytest.raises(UsageError, match="warmup is a number or a sweep, and no tensor; write 2"):
        tw.schedules.Cosine(warmup=torch.tensor(2))


def test_the_order_in_which_a_process_keeps_a_set_says_nothing():
    """That of words follows the process; that of numbers which collide, their order in the source."""
    one, same, other = (eval(f"lambda x: (x in {{{words}}}, 1)") for words in ("0, 8", "8, 0", "0, 7"))
    said = [Declared().of(function) for function in (one, same, other)]
    assert repr(one.__code__.co_consts) != repr(same.__code__.co_consts)
    assert said[0] == said[1] != said[2]
