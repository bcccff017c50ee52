"""The delay law, linear grokking, arms and other networks, against what is planted."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization import grokking


def test_a_planted_delay_law_is_found_and_predicts() -> None:
    products = np.array([0.001, 0.002, 0.004, 0.016])
    delays = np.stack([80 + 2 / products, 50 + 3 / products], axis=1)
    law = grokking.delay_law(products, delays, fitted=[0, 3])
    np.testing.assert_allclose(law["a"], [80, 50])
    np.testing.assert_allclose(law["b"], [2, 3])
    assert law.error.high < 1e-9
    np.testing.assert_allclose(law.at(0.008), 65 + 2.5 / 0.008)
    law.figure()
    bent = grokking.delay_law(products, delays * np.array([[1.0], [1.3], [0.8], [1.0]]), fitted=[0, 3])
    assert bent.error.estimate == pytest.approx(np.mean([0.3 / 1.3, 0.2 / 0.8]))


def test_a_delay_that_is_not_known_is_not_fitted() -> None:
    delays = [[900.0, np.inf], [500.0, 480.0], [300.0, 290.0]]
    law = grokking.delay_law([0.001, 0.002, 0.004], delays, fitted=[0, 1])
    assert np.isfinite(law["a"]).tolist() == [True, False]
    assert not law.error.known
    for products, table, cells, sentence in (
        ([0.0, 0.1], [[1.0], [1.0]], [0, 1], "without decay there is no law"),
        ([0.1, 0.1], [[1.0], [1.0]], [0, 1], "different lr x decay"),
        ([0.1, 0.2], [1.0, 1.0], [0, 1], "a row of delays"),
        ([0.1, 0.2], [[1.0], [1.0]], [0, 2], "of 0 to 1"),
    ):
        with pytest.raises(UsageError, match=sentence):
            grokking.delay_law(products, table, fitted=cells)


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_linear_grokking_is_gradient_descent_step_by_step(decay: float) -> None:
    draw = np.random.default_rng(1)
    x, target = draw.normal(size=(40, 30)), draw.normal(size=30)
    (train, test), start = ((part, part @ target) for part in (x[:20], x[20:])), draw.normal(size=30)
    found = grokking.linear(train, test, start, lr=0.1, decay=decay, steps=300)
    w = start.copy()
    for step in range(301):
        for name, (inputs, answers) in (("train", train), ("test", test)):
            error = ((inputs @ w - answers) ** 2).mean() / 2
            assert found[name][step] == pytest.approx(error, rel=1e-9, abs=1e-14)
        last = w.copy()
        w = w - 0.1 * (train[0].T @ (train[0] @ w - train[1]) / 20 + decay * w)
    np.testing.assert_allclose(found["weights"], last, atol=1e-12)
    found.figure()


def test_linear_grokking_is_late_by_the_inverse_of_rate_times_decay_and_never_without() -> None:
    draw = np.random.default_rng(0)
    scale = np.r_[np.ones(5), np.full(95, 0.1)]  # five features that matter, and 95 small ones that do not
    x, target = draw.normal(size=(600, 100)) * scale, np.r_[np.ones(5), np.zeros(95)]
    train, test = ((part, part @ target) for part in (x[:60], x[60:]))
    start = target + np.r_[np.zeros(5), 5 * draw.normal(size=95)]
    delays = []
    for decay in (0.002, 0.001):
        found = grokking.linear(train, test, start, lr=0.5, decay=decay, steps=20_000, tolerance=0.05)
        assert found["memorized"] < found["generalized"] < np.inf
        delays.append(float(found["generalized"] - found["memorized"]))
    assert delays[1] / delays[0] == pytest.approx(2, rel=0.15)
    never = grokking.linear(train, test, start, lr=0.5, decay=0.0, steps=20_000, tolerance=0.05)
    assert np.isfinite(never["memorized"])
    assert np.isinf(never["generalized"])
    with pytest.raises(UsageError, match="lr below"):
        grokking.linear(train, test, start, lr=50.0, decay=0.0, steps=2)
    with pytest.raises(UsageError, match="as many weights as features"):
        grokking.linear(train, test, start[:3], lr=0.1, decay=0.0, steps=2)


def test_frozen_norms_stay_where_each_member_began_and_others_do_not() -> None:
    data = tw.data.modular(7, encoding="tokens")
    problem = tw.Problem(lambda: tw.nets.modular_mlp(7, 16), data, dtype=torch.float64)
    arms = grokking.arms(0.05, 0.4)
    before = problem.layout.views(problem.initialize(2).theta)
    for name, kept in (("frozen norm", True), ("AdamW", False)):
        after = tw.train(problem, tw.Recipe(arms[name].optimizer, steps=20), seeds=2).final
        for tensor, view in problem.layout.views(after.theta).items():
            same = torch.allclose(view.norm(dim=(1, 2)), before[tensor].norm(dim=(1, 2)), rtol=1e-12)
            assert same == kept
    run = tw.train(problem, tw.Recipe(tw.optim.AdamW(0.05), steps=9, snapshot=(5,), snapshot_state=True), seeds=2)
    start = run.at(5)
    zeros = torch.zeros_like(start.population.theta)
    held = tw.training.Start(start.population, {**start.state, "frozen_norm": zeros}, 5, start.order)
    frozen = tw.train(problem, tw.Recipe(arms["frozen norm"].optimizer, steps=9), seeds=2, start=held, paired=True)
    for tensor, view in problem.layout.views(frozen.final.theta).items():
        at_five = problem.layout.views(start.population.theta)[tensor]
        torch.testing.assert_close(view.norm(dim=(1, 2)), at_five.norm(dim=(1, 2)))


def test_stablemax_is_the_papers_formula_and_its_gradient_does_not_vanish() -> None:
    outputs = torch.tensor([[400.0, -3.0, 0.0], [-0.5, 2.0, 1.5]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 2])
    s = torch.where(outputs >= 0, outputs + 1, 1 / (1 - outputs))
    wanted = -(s[torch.arange(2), target] / s.sum(1)).log()
    loss = tw.losses.StableMax()
    torch.testing.assert_close(loss(outputs, target), wanted)
    torch.testing.assert_close(
        torch.autograd.grad(loss(outputs, target).sum(), outputs)[0], torch.autograd.grad(wanted.sum(), outputs)[0]
    )
    single = outputs.detach().float().requires_grad_()
    for kind, vanishes in ((tw.losses.CrossEntropy(), True), (loss, False)):
        (gradient,) = torch.autograd.grad(kind(single, target)[0], single)
        assert bool((gradient[0] == 0).all()) == vanishes


@pytest.mark.parametrize(
    "model",
    [lambda: tw.nets.modular_mlp(7, 32, activation="square"), lambda: tw.nets.modular_transformer(7, 16)],
    ids=["quadratic", "transformer"],
)
def test_other_networks_are_trained_timed_and_restricted(model: object) -> None:
    problem = tw.Problem(model, tw.data.modular(7, "-", train_fraction=0.8, encoding="tokens"))
    run = tw.train(problem, tw.Recipe(tw.optim.AdamW(0.01, beta2=0.98, weight_decay=0.5), 150, evaluate=60), seeds=1)
    assert np.isfinite(grokking.times(run)["memorized"]).all()
    found = grokking.restricted(problem, run.final, "-")
    assert np.isfinite(found["loss"]).all()
    bare = grokking.plateau(problem, run)
    assert bare.answer == "cannot tell"  # no snapshots
    np.testing.assert_allclose(bare["accuracy"][-1], run.history["test_accuracy"][-1])


def test_a_product_is_analyzed_by_logarithms() -> None:
    data = tw.data.modular(23, "*", train_fraction=0.8, seed=500, encoding="tokens")
    problem = tw.Problem(lambda: tw.nets.modular_mlp(23, 128), data)
    run = tw.train(problem, tw.Recipe(tw.optim.AdamW(1e-2, beta2=0.98, weight_decay=1.0), 400, evaluate=0), seeds=[500])
    by_logarithm, by_token = (grokking.fourier(run.final, 23, operation) for operation in ("*", "+"))
    assert by_logarithm["one frequency"][0] > 3 * by_token["one frequency"][0]
    assert by_logarithm["phase rule"][0] > 0.9
    assert abs(by_token["phase rule"][0]) < 0.5


def test_sparse_parity_is_grokked() -> None:
    table = tw.data.parity(1_000, bits=40, relevant=3, seed=500, test=1_000)
    problem = tw.Problem(lambda: tw.nets.mlp(40, 200, 2), table)
    rule = tw.optim.SGD(0.1, weight_decay=0.01)
    recipe = tw.Recipe(rule, steps=9_000, batch_size=32, evaluate=(*range(0, 9_001, 100),))
    found = grokking.times(tw.train(problem, recipe, seeds=[501], progress=None))
    assert found["generalized"][0] > 3 * found["memorized"][0] > 0
    assert found["generalized"][0] < 9_000
    assert found["before"][0] < 0.6  # chance is one half
