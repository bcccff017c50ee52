"""Scores against finite differences, conservation laws, and planted supports."""

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import Global, Policy, Units, prune, prune_in_rounds, scores


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    """A net of 17 parameters without kinks, so that differences converge."""
    draw = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(20, 3, generator=draw).double(), torch.randint(0, 2, (20,), generator=draw)
    return tw.Problem(lambda: tw.nets.mlp(3, 2, 3, activation="tanh").double(), (inputs, targets))


def _loss(problem: tw.Problem, population: tw.Population, theta: Tensor) -> Tensor:
    return tw.evaluate(problem, population.with_theta(theta), on="train", plan="looped")["loss"]


def _gradient(problem: tw.Problem, population: tw.Population) -> Tensor:
    return tw.population.gradient(problem, population, tw.population.Batch.range(problem.data.train, 0, 20))


def test_snip_is_the_derivative_in_the_mask(problem: tw.Problem) -> None:
    population = problem.initialize(2)
    found, theta, h = scores.snip(problem, population), population.theta, 1e-5
    for column in range(theta.shape[1]):
        up, down = theta.clone(), theta.clone()
        up[:, column] *= 1 + h
        down[:, column] *= 1 - h
        change = (_loss(problem, population, up) - _loss(problem, population, down)) / (2 * h)
        assert found[:, column].numpy() == pytest.approx(change.abs().numpy(), rel=1e-6, abs=1e-9)
    assert torch.allclose(scores.taylor(problem, population), found.square())


def test_grasp_is_half_what_the_squared_gradient_loses(problem: tw.Problem) -> None:
    population = problem.initialize(2)
    found, theta, h = scores.grasp(problem, population), population.theta, 1e-5
    for column in range(theta.shape[1]):
        squares = []
        for sign in (1, -1):
            moved = theta.clone()
            moved[:, column] *= 1 + sign * h
            squares.append(_gradient(problem, population.with_theta(moved)).square().sum(1))
        change = (squares[0] - squares[1]) / (2 * h) / 2
        assert found[:, column].numpy() == pytest.approx(change.numpy(), rel=1e-5, abs=1e-9)


def test_scores_of_batches_are_those_of_the_whole() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), dtype=torch.float64)
    population, whole = problem.initialize(1), len(problem.data.train)
    batch = tw.population.Batch.range(problem.data.train, 0, whole)
    wanted = (tw.population.gradient(problem, population, batch) * population.theta).abs()
    assert torch.allclose(scores.snip(problem, population), wanted, rtol=1e-9, atol=1e-15)


def test_synflow_is_conserved_at_every_unit() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 12, 10), tw.data.digits())
    population = problem.initialize(2)
    views = problem.layout.views(scores.synflow(problem, population))
    for here, there in (("hidden1", "hidden2"), ("hidden2", "output")):
        written = views[f"{here}.weight"].sum(2) + views[f"{here}.bias"]
        assert torch.allclose(written, views[f"{there}.weight"].sum(1), rtol=1e-10, atol=0)


def test_synflow_empties_no_layer_at_the_last_percents() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 40, 40, 40, 10, bias=False), tw.data.digits())
    population = problem.initialize(1)
    mask = prune_in_rounds(problem, population, lambda left: scores.synflow(problem, left), 0.002, rounds=100)
    assert int(mask.sum()) == round(0.002 * problem.layout.parameters)
    assert all(view.any() for view in problem.layout.views(mask).values())


def test_synflow_leaves_the_population_alone_and_takes_tokens() -> None:
    tokens = torch.randint(0, 5, (8, 3))
    model = lambda: nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 3))  # noqa: E731
    problem = tw.Problem(model, (tokens, torch.randint(0, 3, (8,))))
    population = problem.initialize(1)
    before = population.theta.clone()
    assert scores.synflow(problem, population).isfinite().all()
    assert torch.equal(population.theta, before)


def test_gamma_prunes_channels_with_all_that_is_theirs() -> None:
    problem = tw.Problem(lambda: tw.nets.resnet(4), tw.data.digits(image=True).subset(train=40, test=40))
    population = problem.initialize(1)
    draw = torch.rand(population.theta.shape, generator=torch.Generator().manual_seed(0))
    norms = problem.layout.where("norm")
    theta = torch.where(norms, draw + 0.1, population.theta)
    population = population.with_theta(theta)
    mask = prune(problem, scores.gamma(population), 0.5, allocation=Units())
    masked = population.with_mask(mask)
    views, kept = problem.layout.views(masked.theta), problem.layout.views(mask)
    for group in problem.structure.groups:
        if group.kind == "channels":
            scale = next(one.tensor for one in group.written if problem.layout[one.tensor].kind == "norm")
            assert int(kept[scale].sum()) == group.units // 2
            assert views[scale][kept[scale]].min() >= views[scale].abs()[kept[scale]].min()
    with pytest.raises(UsageError, match="none"):
        scores.gamma(tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits()).initialize(1))


def _planted(seed: int, share: float = 0.2) -> tuple[tw.Problem, tw.Population, Tensor]:
    """A linear regression whose true weights have a known support, and its network after training."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randn(2, 40, generator=draw).double()
    support = torch.rand(2, 40, generator=draw).argsort(1) < share * 40
    truth = torch.where(support, truth.sign() * (truth.abs() + 0.5), 0)
    inputs = torch.randn(400, 40, generator=draw).double()
    problem = tw.Problem(lambda: tw.nets.mlp(40, 2, bias=False).double(), (inputs, inputs @ truth.T), "squared_error")
    trained = problem.initialize([seed]).with_theta(truth.reshape(1, -1) + 0.01 * torch.randn(1, 80, generator=draw))
    return problem, trained, support.reshape(1, -1)


def test_planted_tickets_are_found_where_their_weights_score_highest_and_at_chance_at_random() -> None:
    by_magnitude, by_chance = [], []
    for seed in range(40):
        problem, trained, support = _planted(seed)
        share = int(support.sum()) / 80
        for recalls, values in (
            (by_magnitude, scores.magnitude(trained)),
            (by_chance, scores.random(trained, [seed])),
        ):
            mask = prune(problem, values, share, allocation=Global())
            recalls.append(float((mask & support).sum() / support.sum()))
    assert by_magnitude == [1.0] * 40
    chance = torch.tensor(by_chance)
    # hypergeometric: 16 of 80 drawn, 16 planted
    error = (0.2 * 0.8 * (64 / 79) / 16) ** 0.5 / 40**0.5
    assert abs(float(chance.mean()) - 0.2) < 4 * error


# Of 16 planted weights of 80, the mean share that each score finds, over 20 seeds: of the network that it is meant for,
# which is the trained one beside its initialization, or the initialization itself.
RECALL = {
    "magnitude": 1.0,
    "movement": 1.0,
    "magnitude_increase": 1.0,
    "large_same_sign": 0.51,
    "taylor": 0.95,
    "snip": 0.71,
    "grasp": 0.36,
    "synflow": 0.22,
    "random": 0.19,
}


def _scored(name: str, problem: tw.Problem, trained: tw.Population, first: tw.Population, seed: int) -> Tensor:
    if name in ("movement", "magnitude_increase", "large_same_sign"):
        return getattr(scores, name)(trained, first)
    if name == "random":
        return scores.random(first, [seed])
    if name == "magnitude":
        return scores.magnitude(trained)
    return getattr(scores, name)(problem, trained if name == "taylor" else first)


def _recall(values: Tensor, problem: tw.Problem, support: Tensor) -> float:
    mask = prune(problem, values, 0.2, allocation=Global(), policy=Policy())
    return float((mask & support).sum() / support.sum())


@pytest.mark.parametrize("name", RECALL)
def test_what_each_score_finds_of_a_planted_ticket(name: str) -> None:
    recalls = []
    for seed in range(20):
        problem, trained, support = _planted(seed)
        first = problem.initialize([seed])
        recalls.append(_recall(_scored(name, problem, trained, first, seed), problem, support))
    assert sum(recalls) / 20 == pytest.approx(RECALL[name], abs=0.02)


@pytest.mark.parametrize("name", [name for name in RECALL if name != "random"])
def test_a_score_finds_all_of_a_ticket_whose_weights_are_the_largest_by_it(name: str) -> None:
    """Inputs that are orthogonal, so that H is the identity but for a factor and g is theta - truth.

    The beginning is small, of one magnitude c, and of the opposite sign to the truth: scores of the loss are then
    c (c + |truth|) on the support and c^2 elsewhere. For `large_same_sign` and `synflow`, which look at no loss, it has
    the signs of the truth, or is the trained network itself.
    """
    for seed in range(5):
        _, trained, support = _planted(seed)
        truth = torch.where(support, trained.theta, 0)
        inputs = torch.linalg.qr(torch.randn(400, 40, generator=torch.Generator().manual_seed(seed)).double())[0] * 20
        data = inputs, inputs @ truth.view(2, 40).T
        problem = tw.Problem(lambda: tw.nets.mlp(40, 2, bias=False).double(), data, "squared_error")
        signs = torch.where(support, truth.sign(), 1)
        first = trained.with_theta(0.1 * (signs if name == "large_same_sign" else -signs))
        if name == "synflow":
            first = trained
        if name == "taylor":
            trained = first
        assert _recall(_scored(name, problem, trained, first, seed), problem, support) == 1.0


def test_scores_of_the_way_from_the_beginning() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(4, 2, bias=False), (torch.zeros(4, 4), torch.arange(4) % 2))
    first = problem.initialize(1).with_theta(torch.tensor([[1.0, -1, 2, 3, 0, 1, 1, 1]]))
    last = first.with_theta(torch.tensor([[2.0, 1, 1, -4, 1, 1, 0, 1]]))
    assert scores.movement(last, first)[0].tolist() == [1, 2, 1, 7, 1, 0, 1, 0]
    assert scores.magnitude_increase(last, first)[0].tolist() == [1, 0, -1, 1, 1, 0, -1, 0]
    assert scores.large_same_sign(last, first)[0].tolist() == [2, 0, 1, 0, 0, 1, 0, 1]
