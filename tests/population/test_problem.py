import pytest
import torch
from cases import CASE, CASES, Case, X, Y, every, fingerprint, mlp
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import DataError, ModelError, UsageError
from thalweg.evaluation import evaluate
from thalweg.population import Batch, Problem, derivatives
from thalweg.population.binding import call

MLP = CASE["mlp"]


def _used(module: nn.Module) -> nn.Module:
    """A module as a user has it: with hooks, in a mode of its own."""
    module.register_forward_hook(lambda *_: None)
    return module.train(False)


@every(CASES)
def test_the_users_module_is_untouched_by_every_call(case: Case) -> None:
    module = _used(case.model())
    before = fingerprint(module)
    for problem in (
        case.problem(model=module),
        case.problem(model=lambda: module),
        case.problem(model=lambda: module, dtype=torch.float64),
    ):
        population = problem.population(module)
        evaluate(problem, population)
        tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=2, batch_size=4), seeds=2)
        tw.train(problem, tw.Recipe(tw.optim.Nesterov(0.1), steps=2), start=population)
        vectors = torch.ones_like(population.theta)
        derivatives.jacobian_product(problem, population, vectors, Batch.range(problem.data.train, 0, 4))
        tw.curvature.hessian(problem, population)(vectors)
    assert fingerprint(module) == before


def test_the_users_module_is_untouched_by_calls_that_fail() -> None:
    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))

        def forward(self, x: Tensor) -> Tensor:
            if self.training and len(x) > 8:  # not seen by the preflight
                msg = "broken on purpose"
                raise RuntimeError(msg)
            return self.inner(x)

    module = _used(Fragile())
    before = fingerprint(module)
    problem = Problem(lambda: module, (X, Y))
    with pytest.raises(ModelError, match="broken on purpose"):
        tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=2), start=problem.population(module))
    with pytest.raises(ModelError, match="cannot be called"):
        Problem(lambda: module, (X[:, :3], Y))
    assert fingerprint(module) == before


@every(CASES)
def test_randomness_of_the_process_is_untouched(case: Case) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    problem = case.problem()
    population = problem.initialize(2)
    evaluate(problem, population)
    tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=2, batch_size=4), seeds=2)
    assert torch.equal(torch.get_rng_state(), before)


@every(CASES)
def test_models_that_draw_random_numbers_are_found(case: Case) -> None:
    assert case.problem().draws(training=True) is case.stochastic


def test_functional_dropout_is_found_too() -> None:
    class Functional(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.dropout(super().forward(x), 0.5, self.training)

    assert Problem(lambda: Functional(4, 3), (X, Y)).draws(training=True)


def test_inputs_are_passed_by_their_form() -> None:
    x, y = torch.ones(2), torch.zeros(2)
    assert call(lambda a: a, x) is x
    assert call(lambda a, b: (b, a), (x, y)) == (y, x)
    assert call(lambda *, a, b: (b, a), {"a": x, "b": y}) == (y, x)


def test_a_module_as_model_is_where_every_member_starts() -> None:
    module = mlp()
    theta = Problem(module, (X, Y)).initialize(3).theta
    assert torch.equal(theta, torch.nn.utils.parameters_to_vector(module.parameters()).expand(3, -1))


def test_data_takes_the_models_dtype() -> None:
    problem = MLP.problem(dtype=torch.float64)
    assert problem.initialize(1).theta.dtype == problem.data.train.inputs.dtype == torch.float64
    assert problem.data.train.targets.dtype == torch.int64


def test_non_finite_data_names_the_example() -> None:
    bad = X.clone()
    bad[17, 2] = torch.nan
    with pytest.raises(DataError, match=r"1 of 24 examples; the first is example 17 \(nan\)"):
        Problem(mlp, (bad, Y))


@pytest.mark.parametrize(
    ("targets", "loss", "sentence"),
    [
        (X, "cross_entropy", r"the model returned \(8, 3\) for targets \(8, 4\) of torch.float32"),
        (Y.float(), "cross_entropy", r"the model returned \(8, 3\) for targets \(8,\) of torch.float32"),
        (Y + 1, "cross_entropy", "Targets run from 1 to 3, but the model returned 3 classes"),
        (X[:, :2], "squared_error", r"one shape; the model returned \(8, 3\) for targets \(8, 2\)"),
        (Y.float(), "logistic", r"one shape; the model returned \(8, 3\) for targets \(8,\)"),
    ],
)
def test_outputs_that_do_not_fit_the_loss_show_both_shapes(targets: Tensor, loss: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        Problem(mlp, (X, targets), loss)


def test_labels_past_the_classes_are_found_wherever_they_are() -> None:
    late = Y.clone()
    late[20] = 3  # beyond the examples that the preflight runs the model on
    with pytest.raises(ModelError, match="Targets run from 0 to 3, but the model returned 3 classes"):
        Problem(mlp, (X, late))


def test_a_named_loss_needs_one_tensor() -> None:
    with pytest.raises(ModelError, match="takes one tensor, but the model returned tuple; pass loss=lambda"):
        CASE["two outputs"].problem(loss="squared_error")


def _sum(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output, target, reduction="sum")


def test_a_loss_that_adds_up_is_refused_with_its_remedy() -> None:
    with pytest.raises(ModelError, match=r"'_sum' is not a mean over the batch but a sum: .* Divide by the batch size"):
        Problem(mlp, (X, Y), _sum)


def test_losses_that_cannot_be_called_say_with_what() -> None:
    with pytest.raises(ModelError, match=r"cannot take outputs float32 \(8, 3\) and targets int64 \(8,\)"):
        Problem(mlp, (X, Y), lambda output, target: output @ target)
    with pytest.raises(ModelError, match="returned float; it must return a tensor"):
        Problem(mlp, (X, Y), lambda output, target: 1.0)
    with pytest.raises(UsageError, match=r"no loss 'cross_entrop'. Did you mean 'cross_entropy'"):
        Problem(mlp, (X, Y), "cross_entrop")


def test_models_that_are_none() -> None:
    with pytest.raises(UsageError, match=r"must be a function that returns an nn.Module, or an nn.Module; got str"):
        Problem("mlp", (X, Y))
    with pytest.raises(UsageError, match=r"model\(\) returned Tensor; it must return a fresh nn.Module"):
        Problem(lambda: X, (X, Y))
    with pytest.raises(ModelError, match=r"cannot be called on the training inputs float32 \(8, 4\)"):
        Problem(nn.Linear(3, 3), (X, Y))


def test_an_unknown_device_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(UsageError, match="torch sees no CUDA device here; it can use cpu"):
        Problem(mlp, (X, Y), device="cuda")
    with pytest.raises(UsageError, match="There is no device 'gpu'"):
        Problem(mlp, (X, Y), device="gpu")
    if not torch.backends.mps.is_available():
        with pytest.raises(UsageError, match="'mps', which torch cannot use here; it can use cpu"):
            Problem(mlp, (X, Y), device="mps")


def test_members_of_another_architecture_are_refused() -> None:
    problem = MLP.problem()
    other = Problem(nn.Linear(4, 3), (X, Y))
    sentence = r"'0.weight' \(5, 4\) against 'weight' \(3, 4\)"
    with pytest.raises(UsageError, match=sentence):
        problem.population(nn.Linear(4, 3))
    with pytest.raises(UsageError, match=sentence):
        evaluate(problem, other.initialize(2))
    with pytest.raises(UsageError, match=sentence):
        derivatives.gradient(problem, other.initialize(2), Batch.range(problem.data.train, 0, 4))
    with pytest.raises(UsageError, match=sentence):
        tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=1), start=other.initialize(1))
