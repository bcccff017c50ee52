"""What surrounds a call changes none of its numbers."""

import functools
import importlib.util
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import thalweg as tw
from thalweg.arguments import in_words
from thalweg.guard import guarded
from thalweg.randomness import global_states

DRAWN = torch.Generator().manual_seed(0)
INPUTS, CLASSES = torch.randn(64, 5, generator=DRAWN), torch.randint(3, (64,), generator=DRAWN)
RECIPE = tw.Recipe(tw.optim.AdamW(0.01), steps=6, batch_size=16, evaluate=3)


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(mode=True)
    yield
    torch.use_deterministic_algorithms(mode=False)


AROUND: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "default dtype": lambda: default(torch.float64),
    "default device": lambda: torch.device("meta"),
    "deterministic algorithms": deterministic,
    "anomaly detection": torch.autograd.detect_anomaly,
}


class Scaled(nn.Module):
    """Makes a tensor in forward, whose dtype and device are torch's defaults; statistics; dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.norm, self.out = nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        thirds = torch.full((8,), 1 / 3)
        return self.out(torch.tanh(self.norm(self.hidden(x)) * thirds).to(x.dtype))


def measured(problem: tw.Problem) -> list[np.ndarray]:
    run = tw.train(problem, RECIPE, seeds=2, plan="looped", progress=None)
    hessian = tw.curvature.hessian(problem, run.final)
    top = tw.spectra.top_eigenvalues(hessian, 1, progress=None)
    line = tw.landscape.line(problem, run.final, resolution=3, plan="looped", progress=None)
    product = hessian(torch.ones_like(run.final.theta))
    tensors = [run.final.theta, product, tw.evaluate(problem, run.final, plan="looped")["loss"]]
    return [*(one.numpy() for one in tensors), run.history["train_loss"], top["eigenvalue"], line["loss"]]


def a_problem() -> tw.Problem:
    return tw.Problem(Scaled, (INPUTS, CLASSES))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("made_inside", [False, True])
def test_modes_around_a_call_change_no_bit(around: str, made_inside: bool) -> None:
    if made_inside and around == "default dtype":
        pytest.skip("then the model is another: in double precision")
    plain, problem = measured(a_problem()), a_problem()
    with AROUND[around]():
        found = measured(a_problem() if made_inside else problem)
    assert [np.array_equal(one, other) for one, other in zip(plain, found, strict=True)] == [True] * 6


def test_a_model_made_in_double_precision_stays_so() -> None:
    with default(torch.float64):
        problem = tw.Problem(Scaled, (INPUTS.double(), CLASSES))
        inside = measured(problem)
    assert problem.dtype is torch.float64
    outside = measured(problem)
    assert [np.array_equal(one, other) for one, other in zip(inside, outside, strict=True)] == [True] * 6


def test_a_verb_without_a_problem_keeps_the_default_dtype_around_it() -> None:
    class Rows(Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, row: int) -> tuple[Tensor, int]:
            return torch.tensor([row / 3, 1 / 7]), row % 2

    wanted = torch.tensor([[row / 3, 1 / 7] for row in range(4)], dtype=torch.float64)
    with default(torch.float64):
        read = tw.data.from_user(Rows()).train.inputs
        within = tw.Problem(lambda: nn.Linear(2, 2), Rows()).data.train.inputs
    assert torch.equal(read, wanted)
    assert torch.equal(within, wanted)
    assert tw.data.from_user(Rows()).train.inputs.dtype is torch.float32


def test_a_problem_sets_its_default_dtype_wherever_it_stands() -> None:
    @guarded
    def verb(path: str, problem: tw.Problem) -> torch.dtype:
        return torch.zeros(1).dtype

    problem = a_problem()
    with default(torch.float64):
        assert verb("here", problem) is torch.float32
        assert verb("here", problem=problem) is torch.float32


def test_data_made_in_inference_mode_are_data() -> None:
    with torch.inference_mode():
        inputs, model = INPUTS + 0, Scaled()
        problem = tw.Problem(model, (inputs, CLASSES))
        found = tw.train(problem, RECIPE, progress=None)
    assert torch.equal(found.final.theta, tw.train(problem, RECIPE, progress=None).final.theta)


def test_autocast_around_a_call_is_refused_with_the_remedy() -> None:
    problem = a_problem()
    with torch.autocast("cpu", torch.bfloat16):
        for call in (lambda: tw.train(problem, RECIPE), a_problem, lambda: problem.initialize(1)):
            with pytest.raises(tw.UsageError, match=r"inside torch\.autocast would compute in torch.bfloat16.*outside"):
                call()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_a_member_that_diverges_does_so_also_where_anomalies_are_looked_for() -> None:
    problem = tw.Problem(lambda: nn.Linear(5, 1), (INPUTS, INPUTS[:, :1]), "squared_error")
    with torch.autograd.detect_anomaly():
        run = tw.train(problem, tw.Recipe(tw.optim.SGD(1e30), steps=6, batch_size=16), progress=None)
    assert run.diverged_at[0] >= 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda: np.random.randn(3, 5),  # noqa: NPY002
        lambda: [[random.random()] * 5] * 3,
    ],
)
def test_a_factory_that_draws_elsewhere_follows_the_seed(draw: Callable[[], object]) -> None:
    class Drawn(nn.Linear):
        def __init__(self) -> None:
            super().__init__(5, 3)
            self.weight.data = torch.as_tensor(np.asarray(draw()), dtype=torch.float32)

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = global_states()
    problem = tw.Problem(Drawn, (INPUTS, CLASSES))
    first, second = problem.initialize(2).theta, problem.initialize(2).theta
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert global_states() == before


def _dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 3))


def test_trainings_in_threads_are_those_one_after_another() -> None:
    cases = [(_dropout, "looped"), (_dropout, "looped"), (Scaled, "stacked"), (Scaled, "looped")]
    recipe = tw.Recipe(tw.optim.AdamW(0.01), steps=30, batch_size=16, evaluate=10)

    def trained(number: int) -> Tensor:
        model, plan = cases[number]
        seeds = [number, number + 10]
        return tw.train(tw.Problem(model, (INPUTS, CLASSES)), recipe, seeds, plan=plan, progress=None).final.theta

    in_a_row = [trained(number) for number in range(4)]
    found: dict[int, Tensor] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: trained(n)})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[number], in_a_row[number]) for number in range(4))


def test_workers_of_a_loader_do_not_read_an_iterable_again() -> None:
    class Rows(IterableDataset):
        def __iter__(self) -> Iterator[tuple[Tensor, int]]:
            return ((torch.full((5,), float(row)), row % 3) for row in range(60))

    assert len(tw.data.from_user(DataLoader(Rows(), 16, num_workers=2)).train) == 60


def test_what_is_passed_in_place_of_a_population_is_said_with_what_to_write() -> None:
    problem = a_problem()
    wrong = {
        r"got a Linear: write problem\.population\(model\)": (problem, nn.Linear(5, 3)),
        r"got an OrderedDict: write problem\.load": (problem, Scaled().state_dict()),
        r"must be a Problem; got a Linear: write Problem\(model, data, loss\)": (
            nn.Linear(5, 3),
            problem.initialize(1),
        ),
    }
    for sentence, (first, second) in wrong.items():
        with pytest.raises(tw.UsageError, match=sentence):
            tw.evaluate(first, second)  # type: ignore[arg-type]


def test_what_was_made_before_or_after_a_module_was_reloaded_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """As %autoreload does it: a class of the same name that is another."""
    spec = importlib.util.find_spec("thalweg.population.problem")
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    problem = a_problem()
    other = again.Problem(nn.Linear(5, 3), problem.data)
    population = problem.initialize(1)
    before = "is from before Problem was reloaded; make it anew, or restart Python"
    after = "is from after Problem was reloaded, and this function was not; restart Python"
    with pytest.raises(tw.UsageError, match=f"^evaluate problem {before}"):
        tw.evaluate(other, population)
    monkeypatch.setattr("thalweg.population.problem.Problem", again.Problem)
    with pytest.raises(tw.UsageError, match=f"^train problem {after}"):
        tw.train(other, RECIPE)

    @in_words
    def of_a_problem(problem: tw.Problem | None) -> object:
        return problem.nothing

    with pytest.raises(tw.UsageError, match=f"problem {after}"):
        of_a_problem(other)


def test_arguments_that_a_verb_does_not_take_are_refused_in_words() -> None:
    problem = a_problem()
    with pytest.raises(tw.UsageError, match=r"no argument of train 'epochs'\. .*Known: .*seeds"):
        tw.train(problem, RECIPE, epochs=3)  # type: ignore[call-arg]
    with pytest.raises(tw.UsageError, match=r"evaluate: missing a required argument: 'population'; it is"):
        tw.evaluate(problem)  # type: ignore[call-arg]


def test_a_type_error_of_the_users_own_stays_as_it_is() -> None:
    def observe(step: int, population: tw.Population) -> None:
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        tw.train(a_problem(), RECIPE, observe=observe, progress=None)


def test_a_torch_optimizer_is_answered_with_its_adapter() -> None:
    given = torch.optim.RAdam([torch.zeros(1, requires_grad=True)])
    with pytest.raises(tw.UsageError, match=r"optim\.TorchOptimizer\(1e-3, lambda p: torch\.optim\.RAdam\(p\)\)"):
        tw.Recipe(given, steps=3, batch_size=4)  # type: ignore[arg-type]
    partial = functools.partial(torch.optim.AdamW, lr=1e-3)
    with pytest.raises(tw.UsageError, match=r"lambda p: torch\.optim\.AdamW\(p\)"):
        tw.Recipe(partial, steps=3, batch_size=4)  # type: ignore[arg-type]
