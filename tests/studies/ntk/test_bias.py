"""NTK7: what a kernel knows of the places of pixels, exactly; and settings in which nothing is gained."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thalweg.ntk.attention import attended
from thalweg.studies import Lab
from thalweg.studies.ntk import bias, theory
from thalweg.studies.ntk.folds import CLASSES, ORDERED, ORDERS, Folds, dealt, digits, shuffle, signals
from thalweg.studies.ntk.image_kernels import architectures, convolutional, limit

LAB = Lab("full", 500, progress=None).on((bias.CLAIM,))
BESIDE = theory.Figure.of("Nothing", [theory.ReferenceLine(1.0)]), []


def images(n: int = 4, side: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(n, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kernel(module: nn.Module, inputs: Tensor) -> Tensor:
    return limit(module.double(), torch.float64).ntk(inputs[:, None])


def tokens_moved(inputs: Tensor, patch: int = 2) -> Tensor:
    """Patches in another order, each as it was."""
    n, height, width = inputs.shape
    rows, columns = height // patch, width // patch
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(3))
    cut = inputs.reshape(n, rows, patch, columns, patch).transpose(2, 3).flatten(1, 2)[:, order]
    return cut.unflatten(1, (rows, columns)).transpose(2, 3).reshape(inputs.shape)


@pytest.mark.parametrize(
    ("name", "same"), [(bias.DENSE, True), (bias.POOLED, False), (bias.FLAT, False), ("attention", False)]
)
def test_which_kernels_know_the_order_of_pixels(name: str, same: bool) -> None:
    inputs, module = images(), architectures((4, 4), 3)[name]()
    shuffled = shuffle(inputs, torch.randperm(16, generator=torch.Generator().manual_seed(1)))
    error = (kernel(module, inputs) - kernel(module, shuffled)).abs().max()
    assert error < 1e-12 if same else error > 1e-3


@pytest.mark.parametrize("pooled", [True, False])
def test_a_convolution_of_one_pixel_does_not_know_it(pooled: bool) -> None:
    inputs, module = images(), convolutional((4, 4), 1, pooled=pooled)
    shuffled = shuffle(inputs, torch.randperm(16, generator=torch.Generator().manual_seed(1)))
    assert (kernel(module, inputs) - kernel(module, shuffled)).abs().max() < 1e-12


def test_attention_does_not_know_the_places_of_patches_and_convolutions_do() -> None:
    inputs = images()
    moved = tokens_moved(inputs)
    assert not torch.equal(inputs, moved)
    assert torch.equal(inputs.flatten(1).sort().values, moved.flatten(1).sort().values)
    nets = architectures((4, 4), 3)
    first, second = (kernel(nets["attention"](), one) for one in (inputs, moved))
    assert (first - second).abs().max() < 1e-12
    assert (kernel(nets[bias.POOLED](), inputs) - kernel(nets[bias.POOLED](), moved)).abs().max() > 1e-3


def test_nor_with_identity_positions() -> None:
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 5, 2, generator=draw, dtype=torch.float64)
    order = torch.randperm(5, generator=draw)

    def of(tokens: Tensor, positions: Tensor) -> Tensor:
        block = torch.einsum("nic,mjc->nmij", tokens, tokens)
        weights = (torch.einsum("nic,njc->nij", tokens, tokens) + positions).softmax(-1)
        return attended(block, weights, weights).mean((2, 3))

    identity = torch.eye(5, dtype=torch.float64)
    near = (-(torch.arange(5)[:, None] - torch.arange(5)).abs()).double()
    assert torch.allclose(of(tokens, identity), of(tokens[:, order], identity), rtol=0, atol=1e-12)
    assert not torch.allclose(of(tokens, near), of(tokens[:, order], near), rtol=1e-3, atol=0)


def test_folds_share_no_example_and_have_orders_of_their_own() -> None:
    for folds in (digits(500_000), signals(500_000, 10, 100)):
        rows = torch.cat([folds.train, folds.test], 1)
        assert len(rows.unique()) == rows.numel()
        assert len(folds.orders.unique(dim=0)) == len(folds.orders)
        assert all(torch.equal(one.sort().values, torch.arange(one.numel())) for one in folds.orders)
    assert torch.allclose(digits(500_000).inputs.flatten(1).norm(dim=1), torch.tensor(8.0))


def planted(*, places: bool) -> Folds:
    """Ten bumps that tell classes by their form wherever they are; or classes by the place of one and the same form."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % CLASSES
    forms = torch.randn(CLASSES, 3, generator=draw) * 2
    at = labels * 2 + 4 if places else torch.randint(2, 23, (240,), generator=draw)
    inputs = 0.05 * torch.randn(240, 26, generator=draw)
    for row, (label, place) in enumerate(zip(labels, at, strict=True)):
        inputs[row, place : place + 3] += forms[0 if places else label]
    return dealt("planted", inputs, labels, 3, 0, 6, (20, 20))


def test_pooling_gains_where_forms_move_and_not_where_places_tell() -> None:
    moving, fixed = (bias.gain(bias.measured(planted(places=places)))[0] for places in (False, True))
    assert moving.mean() > 20
    assert fixed.mean() < -20


def test_a_test_set_alone_that_is_shuffled_leaves_chance() -> None:
    folds = planted(places=True)
    found = folds.accuracies(limit(architectures((26,), 3)[bias.DENSE]()), ORDERS[2])
    assert np.isfinite(found).sum() == 2
    assert np.nanmean(found) < 0.3
    assert folds.accuracies(limit(architectures((26,), 3)[bias.DENSE]()), ORDERED).mean() > 0.8


def accuracies(ordered: float, shuffled: float, folds: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    means = np.array([ordered, shuffled, 0.1])[:, None]
    return means + 0.02 * draw.normal(size=(3, folds))


def judged(pooled: dict[str, tuple[float, float]], lab: Lab = LAB) -> bias.Finding:
    found = {
        name: {
            bias.DENSE: accuracies(0.5, 0.5, 12),
            bias.POOLED: accuracies(*of, 12, seed=1),
            bias.FLAT: accuracies(0.5, 0.5, 12, seed=2),
        }
        for name, of in pooled.items()
    }
    return bias.judged(lab, found, accuracies(0.0, 0, 12)[0] if "digits" in pooled else None, BESIDE)


def test_a_planted_reversal_holds_and_a_gain_that_stays_fails() -> None:
    good = {"digits": (0.58, 0.42), "MNIST-1D": (0.8, 0.5)}
    assert judged(good).verdict.outcome == "holds"
    for wrong in (
        {"digits": (0.58, 0.58)},
        {"digits": (0.5, 0.42)},
        {"MNIST-1D": (0.8, 0.8)},
        {"MNIST-1D": (0.5, 0.3)},
    ):
        assert judged(good | wrong).verdict.outcome != "holds"
    assert judged(good | {"MNIST-1D": (0.8, 0.8)}).verdict.outcome == "fails"


def test_without_digits_it_is_undecided() -> None:
    verdict = judged({"MNIST-1D": (0.8, 0.5)}, Lab("quick", 500).on((bias.CLAIM,))).verdict
    assert verdict.words == "undecided: 0 of 12 folds of digits"


def test_the_bound_is_kept_and_tells_labels_apart() -> None:
    found = theory.guarantees(500, (50, 100, 200))
    true, random = found["true labels"], found["random labels"]
    for one in found.values():
        assert (one.risk <= one.bound).all()
        assert (one.complexity < one.bound).all()
    assert (true.complexity < random.complexity).all()
    assert true.wrong[-1] < 0.15
    assert math.isclose(random.wrong[-1], 0.5, abs_tol=0.06)


def test_architectures_are_limits_of_modules_that_run() -> None:
    for shape, window in (((8, 8), 3), ((40,), 5)):
        for net in architectures(shape, window).values():
            assert net()(torch.randn(2, 1, *shape)).shape == (2, 1)
