"""Known functions as data, against the functions."""

import pytest
import torch

from thalweg.data import friedman, parity, photograph
from thalweg.errors import UsageError


def everything(data):
    return data.train.take(torch.arange(len(data.train)))


def test_parity_counts_the_negative_signs_that_are_relevant():
    x, y = everything(parity(200, 12, 3))
    assert torch.equal(y, ((x[:, :3] < 0).sum(1) % 2 == 0).long())
    assert set(x.flatten().tolist()) == {-1.0, 1.0}


def test_parity_holds_out_signs_of_the_same_kind():
    data, alone = parity(40, bits=9, relevant=3, test=60), parity(40, bits=9, relevant=3)
    assert torch.equal(data.train.inputs, alone.train.inputs)
    assert alone.test is None
    signs, even = data.test.inputs, data.test.targets
    assert signs.shape == (60, 9)
    assert torch.equal(even == 1, signs[:, :3].prod(1) > 0)
    assert not torch.equal(signs[:40], data.train.inputs)


def test_parity_of_more_signs_than_there_are_is_refused():
    with pytest.raises(UsageError, match="got 4 of 3"):
        parity(10, 3, 4)


def test_friedmans_linear_terms_are_as_ten_to_five_and_half_of_the_inputs_do_not_matter():
    x, y = everything(friedman(4000))
    coefficients = torch.linalg.lstsq(x.double(), y.double()).solution.flatten()
    assert float(coefficients[3] / coefficients[4]) == pytest.approx(2, rel=0.1)
    assert coefficients[5:].abs().max() < 0.05


def test_equal_places_of_the_photograph_have_equal_colors_and_near_ones_nearly():
    places, colors = everything(photograph(5000))
    torch.testing.assert_close(places.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(colors.std(0), torch.ones(3))
    nearest = torch.cdist(places, places).fill_diagonal_(torch.inf).argmin(1)
    assert (colors - colors[nearest]).pow(2).mean() < 0.5  # 2 for colors of places drawn at random


@pytest.mark.parametrize("make", [parity, friedman, photograph])
def test_another_seed_gives_other_examples_and_the_same_seed_the_same(make):
    first, again, other = (everything(make(50, seed=seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
