"""Networks of several sizes, each on a training set of its own."""

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization.dealt import own_sets
from thalweg.generalization.double_descent import over_depths, over_widths
from thalweg.generalization.double_descent.over_networks import brier


def test_a_network_is_what_training_on_its_set_alone_makes() -> None:
    data, seeds = tw.data.digits(), [600, 601]
    curve = over_widths(data, [8], n=60, steps=30, batch_size=20, seeds=seeds, progress=None)
    sets, _, _ = own_sets(data, 60, 0.2, seeds)
    for place, (one, seed) in enumerate(zip(sets, seeds, strict=True)):
        problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.Data(one, classes=10))
        alone = tw.train(problem, tw.Recipe(tw.optim.Adam(5e-3), 30, 20), [seed])
        torch.testing.assert_close(curve.networks[0].theta[place], alone.final.theta[0], rtol=1e-3, atol=1e-4)


def test_curves_hold_what_their_networks_do() -> None:
    curve = over_widths(tw.data.digits(), [2, 16], n=100, steps=150, seeds=[600, 601], evaluate=5, progress=None)
    assert curve["wrong"].shape == (2, 5, 2)
    assert (curve.best <= curve.last).all()
    assert curve.at(16, "train wrong").mean() < curve.at(2, "train wrong").mean()
    sets, pool, tested = own_sets(tw.data.digits(), 100, 0.2, [600, 601])
    net = curve.networks[1].module(0)
    guesses = net(pool.inputs).argmax(1)
    assert curve.at(16)[0] == pytest.approx(float((guesses != pool.targets)[tested[0]].double().mean()))
    own = net(sets[0].inputs).argmax(1)
    assert curve.at(16, "train wrong")[0] == pytest.approx(float((own != sets[0].targets).double().mean()))
    assert curve.figure().panels[0].y.text == "wrong classes (%)"
    assert curve.over_time().panels[0].x.label == "step"
    with pytest.raises(UsageError, match="No network has the size 3"):
        curve.at(3)


def test_images_are_read_as_rows_of_numbers() -> None:
    settings = {"n": 50, "steps": 5, "batch_size": 25, "seeds": [600, 601], "progress": None}
    images = over_widths(tw.data.digits(image=True), [4], **settings)
    rows = over_widths(tw.data.digits(), [4], **settings)
    np.testing.assert_array_equal(images["wrong"], rows["wrong"])
    torch.testing.assert_close(images.networks[0].theta, rows.networks[0].theta)  # by whichever plan was faster


def test_networks_are_trained_on_the_device_that_is_given() -> None:
    for curve in (over_widths, over_depths):
        with pytest.raises(UsageError, match="There is no device 'nowhere'"):
            curve(tw.data.digits(), [1], n=10, device="nowhere")


def test_depths_have_as_many_layers() -> None:
    curve = over_depths(tw.data.digits(), [1, 3], n=50, width=4, steps=3, batch_size=25, seeds=[600], progress=None)
    assert curve["parameters"].tolist() == [64 * 4 + 4 + 4 * 10 + 10, 64 * 4 + 4 + 2 * (16 + 4) + 4 * 10 + 10]
    assert curve.reading.units["size"] == "depth"


def test_the_brier_score_is_the_squared_distance_of_probabilities() -> None:
    outputs = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    chances, classes = outputs.softmax(1), torch.tensor([1, 2])
    expected = ((chances - torch.eye(3)[classes]) ** 2).sum(1)
    torch.testing.assert_close(brier(outputs, classes), expected)


def test_bad_input_is_said() -> None:
    with pytest.raises(UsageError, match="numbers as targets"):
        over_widths(tw.data.gaussian_linear(50, 3), [4], n=10)
    with pytest.raises(UsageError, match="leave none to test on"):
        over_widths(tw.data.digits(), [4], n=1_797)
    with pytest.raises(UsageError, match="ascend"):
        over_widths(tw.data.digits(), [8, 4], n=10)
    with pytest.raises(UsageError, match="batch_size=50 is larger than the training set of 40 examples"):
        over_widths(tw.data.digits(), [4], n=40, batch_size=50, steps=2, progress=None)
    with pytest.raises(UsageError, match=r"Members \[0\] of width 4 diverged"):
        over_widths(tw.data.digits(), [4], n=10, batch_size=10, steps=20, seeds=[0], optimizer=tw.optim.SGD(1e38))
