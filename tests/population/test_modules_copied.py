"""What modules hold beside tensors: hooks, closures, locks, activations; and the user's own stays as it is."""

import io
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.utils.prune as prune
from population.foreign import RECIPE, Foreign, X, Y, assert_as_plain, double, snapshot  # noqa: F401
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.population import Batch, Problem, derivatives
from thalweg.population.copying import copied, in_mode
from thalweg.population.holdings import is_plain, places


def body() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


class Keeping(nn.Module):
    """Keeps its activations as an attribute and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out, self.log = nn.Linear(4, 6), nn.Linear(6, 3), []

    def forward(self, x: Tensor) -> Tensor:
        self.hidden = torch.tanh(self.first(x))
        self.log.append({"hidden": self.hidden})
        return self.out(self.hidden)


class Featured(nn.Module):
    """Computes with what a hook of its own puts into its dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out, self.features = nn.Linear(4, 6), nn.Linear(6, 3), {}
        self.first.register_forward_hook(lambda module, inputs, output: self.features.update(first=output))

    def forward(self, x: Tensor) -> Tensor:
        self.first(x)
        return self.out(torch.tanh(self.features["first"]))


class Calling(nn.Module):
    """Calls itself through functions that it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.body = body()
        self.steps = [lambda x: self.body[0](x), torch.tanh, self.last]

    def last(self, x: Tensor) -> Tensor:
        return self.body[2](x)

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


class Locked(nn.Module):
    """Holds what Python does not copy and needs no copy of."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.lock, self.again = body(), threading.Lock(), threading.RLock()
        self.changed, self.own, self.torch = threading.Condition(), threading.local(), torch
        self.draw, self.file = torch.Generator().manual_seed(0), io.StringIO()

    def forward(self, x: Tensor) -> Tensor:
        with self.lock, self.again, self.changed:
            return self.body(x)


class Half(nn.Module):
    """A frozen body that was left in evaluation mode, under a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.out = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)), nn.Linear(6, 3)
        self.body.eval().requires_grad_(requires_grad=False)
        self.body[1].running_mean.add_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x))


def called(module: nn.Module) -> nn.Module:
    module(X[:3])
    return module


def pruned() -> nn.Module:
    module = body()
    prune.l1_unstructured(module[0], "weight", 0.5)
    return module


def normed() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 6)), nn.Tanh(), nn.Linear(6, 3))


def patched() -> nn.Module:
    """A module whose `forward` was exchanged for a function around it."""
    module = body()
    inner = module.forward
    module.forward = lambda x: 2 * inner(x)
    return module


CASES = {
    "keeps activations": Foreign(Keeping),
    "was called before": Foreign(lambda: called(Keeping())),
    "features by a hook": Foreign(Featured),
    "features, called before": Foreign(lambda: called(Featured())),
    "functions that close over it": Foreign(Calling),
    "forward exchanged": Foreign(patched),
    "locks and files": Foreign(Locked),
    "a part in evaluation mode": Foreign(Half),
    "pruned": Foreign(pruned),
    "weight_norm": Foreign(normed, matrices=False),  # whose second derivative torch has wrong
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_module_holds_changes_nothing(case: Foreign) -> None:
    assert_as_plain(case)


@pytest.mark.parametrize("name", ["was called before", "features, called before", "locks and files", "pruned"])
def test_a_module_that_is_given_stays_as_it_is(name: str) -> None:
    module = CASES[name].make()
    before, features = snapshot(module), dict(getattr(module, "features", {}))
    problem = CASES[name].problem(module)
    tw.train(problem, RECIPE, seeds=2)
    population = problem.population(module)
    derivatives.gradient(problem, population, Batch(X, Y, shared=True))
    tw.curvature.hessian(problem, population)(population.theta)
    assert snapshot(module) == before
    assert all(kept is features[key] for key, kept in getattr(module, "features", {}).items())


def test_hooks_write_into_the_copy_of_what_they_close_over() -> None:
    module, seen, count = body(), {}, [0]

    def note(part: nn.Module, inputs: Any, output: Tensor) -> None:
        seen["output"] = output
        count[0] += 1
        module[2].bias.data.add_(0.0)

    module[0].register_forward_hook(note)
    problem = Problem(module, (X, Y))
    run = tw.train(problem, RECIPE)
    assert (seen, count) == ({}, [0])
    run.final.module(0)(X)
    assert (seen, count) == ({}, [0])
    module(X)
    assert count == [1]


def test_copies_of_copies_share_nothing() -> None:
    first = Featured()
    second = copied(copied(first))
    with torch.no_grad():
        second.out.weight.zero_()
        second.out.bias.zero_()
    assert not second(X).any()
    assert first.features == {}
    calling = copied(Calling())
    twin = copied(calling)
    assert twin.steps[0].__closure__[0].cell_contents is twin
    assert twin.steps[2].__self__ is twin


def test_functions_that_share_a_variable_share_it_in_the_copy() -> None:
    def counting() -> nn.Module:
        module, calls = body(), []
        module[0].register_forward_hook(lambda part, inputs, output: calls.append(len(inputs[0])))
        module.calls = lambda: calls
        return module

    first = counting()
    twin = copied(first)
    twin(X)
    assert (first.calls(), twin.calls()) == ([], [24])


def test_what_cannot_be_copied_is_named() -> None:
    class Endless(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 3)
            self.state = {"numbers": [(i for i in range(3))]}

    with pytest.raises(ModelError, match=r"holds \"state\['numbers'\]\[0\]\", a generator .*__deepcopy__"):
        Problem(Endless, (X, Y))


class Stale(nn.Module):
    """Computes with what was made of its parameters before."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 4), nn.Linear(4, 3)
        self.made = made(self.first.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(x @ self.made))


@pytest.mark.parametrize("made", [lambda w: w.data, lambda w: w.t(), lambda w: 2 * w, lambda w: w.data[:]])
def test_a_view_of_a_parameter_or_a_result_that_is_kept_is_refused(made: Any) -> None:
    with pytest.raises(ModelError, match="computes with 'made', which was made of its parameters before"):
        Problem(lambda: Stale(made), (X, Y))


class Validating(Stale):
    """It says itself what it cannot compute with."""

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)
        if not bool(outputs.isfinite().all()):
            raise ValueError("numbers that are not finite")
        return outputs


def test_a_model_that_checks_its_numbers_is_refused_in_the_same_words() -> None:
    with pytest.raises(ModelError, match="computes with 'made', which was made of its parameters before"):
        Problem(lambda: Validating(lambda w: 2 * w), (X, Y))


def test_parts_that_were_left_in_evaluation_mode_stay_there() -> None:
    module = Half()
    assert [part.training for part in in_mode(copied(module), training=True).children()] == [False, True]
    assert in_mode(copied(module).eval(), training=True).body.training
    problem = Problem(Half, (X, Y))
    run = tw.train(problem, RECIPE, seeds=2)
    for name, buffer in run.final.buffers.items():
        assert torch.equal(buffer, problem.initialize(2).buffers[name])
    assert tw.evaluation.running_statistics.renewed_layers(module) == set()


def test_places_are_named_as_one_would_write_them() -> None:
    module = Featured()
    module.kept = [(module.out.weight, {"deep": module.out.bias})]
    found = {place.path for place in places(module) if isinstance(place.value, nn.Parameter)}
    assert {"first.weight", "out.bias", "kept[0][0]", "kept[0][1]['deep']"} <= found


def test_functions_that_know_the_module_by_a_global_name_know_the_copy() -> None:
    """As hooks in scripts and notebooks do, where the model is a global variable."""
    scope: dict[str, Any] = {"nn": nn, "torch": torch, "X": X}
    script = """
def note(module, inputs, output):
    helper(net.part.log)
net = nn.Sequential()
net.part = nn.Linear(4, 3)
net.part.log = []
net.part.register_forward_hook(note)
def helper(log):
    log.append(1.0)
"""
    exec(script, scope)
    net = scope["net"]
    twin = copied(net)
    twin(X)
    assert (net.part.log, twin.part.log) == ([], [1.0])
    net(X)
    assert (net.part.log, twin.part.log) == ([1.0], [1.0])


def by_default() -> nn.Module:
    """A module that finds its weights as the default of a function's argument."""
    module = nn.Linear(4, 3)
    module.forward = lambda x, weight=module.weight: x @ weight.T
    return module


def test_defaults_of_functions_are_copied_too() -> None:
    module = by_default()
    twin = copied(module)
    with torch.no_grad():
        twin.weight.zero_()
    assert not twin(X).any()
    assert module(X).any()


class Tupled(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 3)
        self.held = (self.weight,)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.held[0].T


@pytest.mark.parametrize(("make", "where"), [(Tupled, r"held\[0\]"), (by_default, "forward's default")])
def test_parameters_that_cannot_be_exchanged_are_named(make: Any, where: str) -> None:
    problem = Problem(make, (X, Y))
    with pytest.raises(ModelError, match=f"its parameter 'weight' at ['\"]{where}['\"] too.*use self.weight"):
        tw.train(problem, RECIPE, seeds=2)


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = self.again = nn.Linear(2, 3)
        self.sizes = self.same = [1, 2]
        self.register_buffer("kept", torch.ones(2), persistent=False)


@pytest.mark.parametrize("build", [_Tied, lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Embedding(4, 3))])
def test_plain_modules_are_copied_attribute_by_attribute(build: Callable[[], nn.Module]) -> None:
    module = build()
    assert is_plain(module)
    twin = copied(module)
    for part, own in zip(module.modules(), twin.modules(), strict=True):
        assert type(part) is type(own)
        assert list(vars(part)) == list(vars(own))
        assert part is not own
    assert not {id(one) for one in module.parameters()} & {id(one) for one in twin.parameters()}
    assert {n: t.tolist() for n, t in module.state_dict().items()} == {
        n: t.tolist() for n, t in twin.state_dict().items()
    }
    if isinstance(twin, _Tied):
        assert twin.first is twin.again
        assert twin.sizes is twin.same
        assert twin.sizes is not module.sizes
