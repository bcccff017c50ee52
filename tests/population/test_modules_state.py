"""Modules whose numbers are not all in parameters and buffers as they were built: made, folded, counted, shared."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from population.foreign import RECIPE, TOKENS, Foreign, X, Y, assert_as_plain, double  # noqa: F401
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError, StorageError, UsageError
from thalweg.population import Batch, Problem, derivatives
from thalweg.storage import save_state_file

LONE = ("auto", "looped")


class Scaled(nn.Module):
    """Has parameters without dimensions, as CLIP's logit_scale and ReZero's gates."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(6, 3)
        self.gate, self.logit_scale = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(1.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.logit_scale.exp() * self.out(self.gate * torch.tanh(self.first(x)))


class Making(nn.Linear):
    """Makes buffers in its first call, or anew where its inputs have another size."""

    def __init__(self, how: str) -> None:
        super().__init__(4, 3)
        self.how, self.length = how, 0
        if how == "none":
            self.register_buffer("cosines", None, persistent=False)
        if how == "sized":
            self.register_buffer("cosines", torch.zeros(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "registered" and self.length == 0:
            self.register_buffer("cosines", torch.arange(4.0).cos(), persistent=False)
            self.length = 4
        if self.how == "none" and (self.cosines is None or self.length < 4):
            self.cosines, self.length = torch.arange(4.0).cos(), 4
        if self.how == "sized" and len(self.cosines) != len(x):
            self.cosines = torch.ones(len(x), 1) * torch.arange(4.0).cos()
        return super().forward(x * self.cosines)


class Averaging(nn.Linear):
    """Replaces a buffer by a new tensor while it is trained."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return super().forward(x - self.mean)


class Listed(nn.Module):
    """Finds its parameters in a list and in a variable of a function."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 4), nn.Linear(4, 3)
        weight = self.first.weight
        self.weights, self.also = [weight], lambda x: x @ weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.first(x)) + x @ self.weights[0] + self.also(x))


class Rotated(nn.Module):
    """Has complex numbers in a buffer, as rotary embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 3)
        self.register_buffer("turns", torch.polar(torch.ones(2), torch.arange(2.0)))

    def forward(self, x: Tensor) -> Tensor:
        turned = torch.view_as_complex(x.reshape(-1, 2, 2)) * self.turns
        return self.out(torch.view_as_real(turned).flatten(1))


class Extra(nn.Module):
    """Saves what is no tensor in its state dict."""

    def __init__(self, factor: Any = 3) -> None:
        super().__init__()
        self.body, self.factor = nn.Linear(4, 3), factor

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * torch.as_tensor(self.factor).sum()

    def get_extra_state(self) -> Any:
        return {"factor": self.factor} if isinstance(self.factor, int) else self.factor

    def set_extra_state(self, state: Any) -> None:
        self.factor = state["factor"] if isinstance(state, dict) else state


class Two(nn.Module):
    """Two matrices that are views of one tensor, without an element in common."""

    def __init__(self) -> None:
        super().__init__()
        whole = torch.randn(4, 8)
        self.u, self.v, self.out = nn.Parameter(whole[:, :4]), nn.Parameter(whole[:, 4:]), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(x @ self.u) + x @ self.v)


class Logging(nn.Linear):
    """Writes numbers to attributes that nobody computes with."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.calls, self.scale = 0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        self.calls, self.size = self.calls + 1, float(x.detach().norm())
        return super().forward(x)


CASES = {
    "parameters without dimensions": Foreign(Scaled),
    "a buffer that was None": Foreign(lambda: Making("none"), plans=LONE),
    "a buffer that was registered": Foreign(lambda: Making("registered"), plans=LONE),
    "a buffer of the size of the batch": Foreign(lambda: Making("sized"), plans=LONE),
    "a buffer that is replaced": Foreign(Averaging, plans=LONE),
    "parameters in a list": Foreign(Listed, plans=LONE),
    "a complex buffer": Foreign(Rotated),
    "extra state": Foreign(Extra),
    "extra state, a tensor": Foreign(lambda: Extra(torch.tensor([1.0, 2.0]))),
    "parts of one tensor": Foreign(Two),
    "calls that are counted": Foreign(Logging, plans=LONE),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_state_beside_parameters_changes_nothing(case: Foreign) -> None:
    problem = assert_as_plain(case)
    if case.plans == LONE and case.make is not Averaging and case.make is not Logging:
        with pytest.raises(UsageError, match=r'Members cannot be stacked: .*; write plan="looped"'):
            tw.train(problem, RECIPE, seeds=2, plan="stacked")


def test_a_complex_buffer_keeps_its_imaginary_part_in_every_precision() -> None:
    for dtype, kept in ((torch.float32, torch.complex64), (torch.float64, torch.complex128)):
        problem = Problem(Rotated, (X, Y), dtype=dtype)
        population = problem.initialize(2).to(dtype=dtype)
        assert problem.template.turns.dtype == population.buffers["turns"].dtype == kept
        assert population.buffers["turns"].imag.any()


def test_extra_state_of_other_members_is_refused() -> None:
    problem = Problem(Extra, (X, Y))
    states = [Extra(factor).state_dict() for factor in (3, 4)]
    assert len(problem.load(states[:1])) == 1
    with pytest.raises(StorageError, match="State dict 1 has another '_extra_state' than the model"):
        problem.load(states)


class Bounded(nn.Module):
    """Makes rows of its embedding shorter where they are looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(6, 4, max_norm=0.7), nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.embed(tokens).mean(1))


class ActNorm(nn.Module):
    """Starts from the statistics of its first batch, as Glow does: in training mode, or in any."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.log_scale, self.shift, self.out = (
            nn.Parameter(torch.zeros(4)),
            nn.Parameter(torch.zeros(4)),
            nn.Linear(4, 3),
        )
        self.always = always
        self.register_buffer("started", torch.tensor(data=False))

    def forward(self, x: Tensor) -> Tensor:
        if not self.started and (self.training or self.always):
            self.log_scale.data = -x.std(0).log()
            self.shift.data = -(x / x.std(0)).mean(0)
            self.started.data = torch.tensor(data=True)
        return self.out(x * self.log_scale.exp() + self.shift)


class Merging(nn.Linear):
    """Adds a product of low rank to its frozen weights in evaluation mode, as loralib's layers do."""

    def __init__(self, merges: bool = True) -> None:
        super().__init__(4, 3)
        self.a, self.b = nn.Parameter(torch.randn(2, 4)), nn.Parameter(torch.zeros(3, 2))
        self.merges, self.merged = merges, False
        self.weight.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if self.merges and self.merged == mode:
            self.weight.data += (-1 if mode else 1) * self.b.data @ self.a.data
            self.merged = not mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.merged else super().forward(x) + x @ self.a.T @ self.b.T


class Clamped(nn.Linear):
    """Keeps its weights small where it is called in training mode."""

    def __init__(self) -> None:
        super().__init__(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.weight.data.clamp_(-0.2, 0.2)
        return super().forward(x)


def started(always: bool) -> nn.Module:
    module = ActNorm(always)
    module(3 * X + 1)
    return module


@pytest.mark.parametrize(
    ("make", "inputs", "said"),
    [
        (Bounded, TOKENS, "'embed.weight' in .*bring the rows to that norm"),
        (lambda: ActNorm(always=False), X, "'log_scale' in training mode.*may call it once on data and then return it"),
        (lambda: ActNorm(always=True), X, "'log_scale' in evaluation mode.*may call it once on data"),
        (Merging, X, r"'weight' when it is set to evaluation mode.*merge_weights=False"),
        (Clamped, X, "'weight' in training mode"),
    ],
)
def test_models_that_write_into_their_parameters_are_refused_before_any_number(
    make: Any, inputs: Tensor, said: str
) -> None:
    for plan in ("auto", "looped", "stacked"):
        with pytest.raises(ModelError, match=f"The model writes into its parameter {said}"):
            tw.train(Problem(make, (inputs, Y)), RECIPE, seeds=2, plan=plan)


@pytest.mark.parametrize("make", [lambda: started(False), lambda: started(True), lambda: Merging(merges=False)])
def test_what_is_advised_instead_works(make: Any) -> None:
    assert_as_plain(Foreign(make, plans=LONE))


class Folding(nn.Module):
    """Adds two layers up where it is set to evaluation mode, as RepVGG does in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out, self.folded = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3), None

    def train(self, mode: bool = True) -> nn.Module:
        self.folded = None if mode else (self.a.weight + self.b.weight).detach().clone()
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.a(x) + self.b(x) if self.folded is None else F.linear(x, self.folded, self.a.bias + self.b.bias)
        return self.out(torch.tanh(hidden))


class Cached(nn.Linear):
    """Keeps the norm of its weights from its first call."""

    norm = None

    def __init__(self) -> None:
        super().__init__(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is None:
            self.norm = self.weight.detach().norm()
        return super().forward(x) / self.norm


class Warming(nn.Linear):
    """Behaves otherwise after its hundredth call."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * (1.0 if self.calls < 100 else 0.5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Folding, "does not compute with the parameters that it is given in evaluation mode"),
        (Cached, "does not compute with the parameters that it is given in"),
        (Warming, r"counts its calls in 'calls' and computes with the count.*register_buffer"),
    ],
)
def test_models_that_compute_with_numbers_of_before_are_refused(make: Any, said: str) -> None:
    problem = Problem(make, (X, Y))
    with pytest.raises(ModelError, match=said):
        tw.train(problem, RECIPE, seeds=2)
    with pytest.raises(ModelError, match=said):
        derivatives.gradient(problem, problem.initialize(2), Batch(X, Y, shared=True))


class Sharing(nn.Module):
    """Two layers whose weights are two tensors in one memory."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.b.weight = nn.Parameter(how(self.a.weight.data))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x)))))


class Kept(nn.Linear):
    """Keeps its weights as a buffer that follows them."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.register_buffer("kept", self.weight.data)


@pytest.mark.parametrize("how", [lambda w: w, lambda w: w.t(), lambda w: w.flip(0).flip(0).set_(w)])
def test_tensors_that_share_memory_are_refused(how: Any) -> None:
    with pytest.raises(ModelError, match=r"'a.weight' and 'b.weight' are two tensors that share memory.*tie them by"):
        Problem(lambda: Sharing(how), (X, Y))


def test_a_buffer_that_shares_memory_is_refused_and_a_copy_is_not() -> None:
    with pytest.raises(ModelError, match=r"'weight' and 'kept' are two tensors that share memory.*clone\(\)"):
        Problem(Kept, (X, Y))
    Problem(lambda: Sharing(torch.clone), (X, Y))


def test_saved_states_of_tied_models_are_loaded_with_one_name(tmp_path: Any) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.embed(tokens).mean(1))

    problem = Problem(Tied, (TOKENS, Y))
    population = problem.initialize(2)
    states = [dict(population.state_dict(seed)) for seed in range(2)]
    for seed, state in enumerate(states):  # as `save_pretrained` does, each tensor under one of its names
        del state[("out.weight", "embed.weight")[seed]]
        save_state_file(tmp_path / f"{seed}.safetensors", state)
    loaded = problem.load([tmp_path / "0.safetensors", tmp_path / "1.safetensors"])
    assert torch.equal(loaded.theta, population.theta)
