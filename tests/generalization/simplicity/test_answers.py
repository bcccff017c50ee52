"""The input Jacobian against loops, symmetries that are there by construction, and clones with known moments."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.generalization import simplicity


class Pooled(nn.Module):
    """Circular convolutions and a mean over places: the same answer wherever the signal is."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 6, 5, padding=2, padding_mode="circular")
        self.second = nn.Conv1d(6, 4, 5, padding=2, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x[:, None]).relu()).mean(2)


class Local(nn.Module):
    """One circular convolution: outputs roll with the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        return self.only(x[:, None])[:, 0]


def signals(classes: int = 4) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(60, 20, generator=draw), torch.randint(classes, (60,), generator=draw)


def test_the_jacobian_is_that_of_a_loop_over_examples_and_outputs() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(20, 8, 4), signals(), dtype=torch.float64)
    population = problem.initialize(2)
    found = simplicity.input_jacobian(problem, population, on="train")
    x, y = problem.data.train.slice(0, 60)
    for member in range(2):
        net = population.module(member)
        norms, margins = [], []
        for one, label in zip(x, y, strict=True):
            jacobian = torch.autograd.functional.jacobian(lambda point, net=net: net(point[None])[0], one)
            norms.append(float((jacobian - jacobian.mean(0)).norm()))
            z = net(one[None])[0].tolist()
            margins.append(z.pop(int(label)) - max(z))
        assert np.allclose(found["norm of example"][member], norms)
        assert found["norm"][member] == pytest.approx(np.mean(norms))
        assert found["margin"][member] == pytest.approx(np.median(margins))
        assert found.reading.standard_errors["norm"][member] == pytest.approx(np.std(norms, ddof=1) / 60**0.5)


def test_a_linear_net_has_the_norm_of_its_centered_weights_and_probes_find_it() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(20, 4), signals(), dtype=torch.float64)
    population = problem.initialize(1)
    weight = next(p for p in population.module(0).parameters() if p.ndim == 2).detach()
    size = float((weight - weight.mean(0)).norm())
    exact = simplicity.input_jacobian(problem, population, on="train")
    assert np.allclose(exact["norm of example"], size)
    many = tw.data.Examples(torch.randn(4_000, 20, dtype=torch.float64), torch.zeros(4_000, dtype=torch.int64))
    some = simplicity.input_jacobian(problem, population, on=many, probes=1)
    error = some.reading.standard_errors["mean square"][0]
    assert abs(some["mean square"][0] - size**2) < 4 * error < size**2
    full = simplicity.input_jacobian(problem, population, on="train", probes=3)
    assert np.allclose(full["norm of example"], size)


def test_numbers_as_targets_have_the_whole_jacobian() -> None:
    data = tw.data.gaussian_linear(30, 5)
    problem = tw.Problem(lambda: nn.Linear(5, 1), data, "squared_error")
    population = problem.initialize(1)
    found = simplicity.input_jacobian(problem, population, on="train")
    assert found["norm"][0] == pytest.approx(float(population.module(0).weight.detach().norm()), rel=1e-5)
    assert "margin" not in found.reading.arrays
    assert len(found.figure().panels) == 1


def test_a_pooled_circular_net_keeps_its_answers_under_rolls_and_a_perceptron_does_not() -> None:
    rolls = simplicity.rolls([0, 3, 11])
    for model, exact in ((Pooled, True), (lambda: tw.nets.mlp(20, 8, 4), False)):
        problem = tw.Problem(model, signals(), dtype=torch.float64)
        found = simplicity.symmetry(problem, problem.initialize(2), rolls, on="train")
        assert found["equivariance error"][:, 0].tolist() == [0.0, 0.0]
        assert (found["equivariance error"][:, 1:].max() < 1e-12) == exact
        assert (found["drop"] == 0).all() == exact
        assert (found["agreement"] == 1).all() == exact
        assert found.figure().panels[0].title == "Under transformations"


def test_outputs_that_roll_with_the_inputs_are_equivariant_and_not_invariant() -> None:
    x, _ = signals()
    problem = tw.Problem(Local, (x, x), "squared_error", dtype=torch.float64)
    rolls = simplicity.rolls([2, 5])
    population = problem.initialize(1)
    followed = simplicity.symmetry(problem, population, rolls, acting=rolls, on="train")
    assert followed["equivariance error"].max() < 1e-12
    assert simplicity.symmetry(problem, population, rolls, on="train")["equivariance error"].min() > 0.5
    with pytest.raises(tw.UsageError, match="one function of each transformation"):
        simplicity.symmetry(problem, population, rolls, acting=simplicity.rolls([2]), on="train")


def test_accuracy_under_transformations_is_that_on_transformed_examples() -> None:
    data = tw.data.digits().subset(train=300)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), data)
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(lr=1e-2), steps=60, batch_size=100))
    shape = data.test.inputs.shape[1:]
    move = simplicity.permutation(shape[-1], seed=3)
    found = simplicity.symmetry(problem, run.final, {"permuted": move, "negative": lambda x: -x})
    x, y = data.test.slice(0, len(data.test))
    expected = tw.evaluate(problem, run.final, tw.data.Examples(move(x), y))["accuracy"].numpy()
    assert found["accuracy"][:, 0] == pytest.approx(expected)
    assert found["drop"][:, 0] == pytest.approx(found["accuracy as is"] - expected)
    with pytest.raises(tw.UsageError, match="must be a function from inputs"):
        simplicity.symmetry(problem, run.final, {"half": lambda x: x[..., ::2]})


def test_clones_have_the_moments_of_the_classes() -> None:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(2, (400,), generator=draw)
    x = torch.rand(400, 3, generator=draw, dtype=torch.float64).square() @ torch.tensor(
        [[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 2.0]], dtype=torch.float64
    )
    x[labels == 1] = 3 - 2 * x[labels == 1]
    examples = tw.data.Examples(x, labels)
    for kind in ("means", "covariances"):
        clone = simplicity.gaussian_clone(examples, 60_000, kind=kind, seed=2)
        assert abs(float(clone.targets.double().mean() - labels.double().mean())) < 0.01
        for label in (0, 1):
            mine, theirs = clone.inputs[clone.targets == label], x[labels == label]
            assert torch.allclose(mine.mean(0), theirs.mean(0), atol=0.03)
            if kind == "covariances":
                assert torch.allclose(mine.T.cov(), theirs.T.cov(), atol=0.05)
            else:
                assert torch.allclose(mine.T.cov(), mine.T.cov().diagonal().mean() * torch.eye(3).double(), atol=0.06)


def test_a_network_does_not_part_from_clones_of_gaussian_data() -> None:
    draw = torch.Generator().manual_seed(5)

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        y = torch.randint(3, (count,), generator=draw)
        return torch.randn(count, 6, generator=draw) + 1.5 * torch.nn.functional.one_hot(y, 6), y

    problem = tw.Problem(lambda: tw.nets.mlp(6, 16, 3), tw.data.from_user(drawn(3_000), drawn(3_000)))
    recipe = tw.Recipe(tw.optim.Adam(lr=3e-3), steps=200, batch_size=100, snapshot=(0, 50, 200))
    found = simplicity.distributional(problem, tw.train(problem, recipe), clones=3_000)
    assert np.abs(found["gap"][..., -1]).max() < 0.05
    assert (found["accuracy"][0, :, -1] > 0.6).all()


def test_a_network_parts_from_clones_where_classes_differ_in_nothing_they_have() -> None:
    draw = torch.Generator().manual_seed(6)

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        """Equal means; class 1 has a variance that is larger: "means" knows nothing, "covariances" everything."""
        y = torch.randint(2, (count,), generator=draw)
        return torch.randn(count, 8, generator=draw) * (1 + 2 * y[:, None]), y

    problem = tw.Problem(lambda: tw.nets.mlp(8, 32, 2), tw.data.from_user(drawn(2_000), drawn(2_000)))
    recipe = tw.Recipe(tw.optim.Adam(lr=1e-2), steps=200, batch_size=100, snapshot=(0, 100, 200))
    found = simplicity.distributional(problem, tw.train(problem, recipe), clones=2_000)
    assert np.isfinite(found["parting"][0]).tolist() == [False, True, False]
    assert len(found.figure().panels) == 1
