"""Scores of kernels against their definitions, written out, and what must change nothing."""

import numpy as np
import pytest
import torch
from spectra.planted import matrix_of, members_of, with_nan

from thalweg.errors import UsageError
from thalweg.ntk import scores
from thalweg.randomness import generator

KERNELS = members_of(12, 3)
CLASSES = [0, 0, 1, 1, 2, 2, 0, 1, 2, 0, 1, 1]


def _targets(outputs: int = 2) -> torch.Tensor:
    return torch.randn(12, outputs, generator=generator(0, "targets"), dtype=torch.float64)


def _frobenius(a: np.ndarray, b: np.ndarray) -> float:
    return sum(a[i, j] * b[i, j] for i in range(len(a)) for j in range(len(a)))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return _frobenius(a, b) / (_frobenius(a, a) * _frobenius(b, b)) ** 0.5


def test_the_condition_number_is_the_ratio_of_the_ends() -> None:
    found = scores.condition_number(KERNELS)
    values = np.linalg.eigvalsh(KERNELS.numpy())
    np.testing.assert_allclose(found.log10, np.log10(values[:, -1] / values[:, 0]), rtol=1e-9)
    np.testing.assert_allclose(found.largest, values[:, -1], rtol=1e-12)
    assert not found.singular.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_singular_kernel_gets_a_word_and_no_negative_number(dtype: torch.dtype) -> None:
    rows = torch.randn(6, 3, generator=generator(0, "rows"), dtype=dtype)
    found = scores.condition_number(rows @ rows.T)
    assert found.singular
    assert f"{found}" == "singular to working precision"
    assert found.log10 == pytest.approx(-np.log10(6 * torch.finfo(dtype).eps), abs=1e-6)


def test_working_precision_is_that_of_the_numbers_given() -> None:
    matrix = matrix_of(np.array([1e-8, 0.5, 1.0]))
    assert not scores.condition_number(matrix).singular
    assert scores.condition_number(matrix.float()).singular
    assert scores.condition_number(matrix.float().numpy()).singular


def test_duplicating_an_example_makes_the_kernel_singular() -> None:
    twice = torch.cat([torch.arange(12), torch.tensor([4])])
    kernel = KERNELS[0][twice][:, twice]
    assert not scores.condition_number(KERNELS[0]).singular
    assert scores.condition_number(kernel).singular
    assert abs(scores.smallest_eigenvalue(kernel)) < 1e-12


def test_effective_rank_lies_between_one_and_n() -> None:
    values = np.linalg.eigvalsh(KERNELS.numpy())
    np.testing.assert_allclose(scores.effective_rank(KERNELS), values.sum(1) ** 2 / (values**2).sum(1), rtol=1e-10)
    assert scores.effective_rank(np.eye(7)) == 7
    assert scores.effective_rank(np.ones((7, 7))) == 1


def test_alignment_is_its_definition() -> None:
    y = _targets(1)
    K = KERNELS[0]
    wanted = float(y.T @ K @ y) / float(K.norm() * y.norm() ** 2)
    assert scores.alignment(K, y) == pytest.approx(wanted, rel=1e-10)
    assert scores.alignment(K, y[:, 0]) == pytest.approx(wanted, rel=1e-10)
    several = _targets(3)
    assert scores.alignment(K, several) == pytest.approx(_cosine(K.numpy(), (several @ several.T).numpy()), rel=1e-10)


def test_distance_drift_and_centered_alignment_are_their_definitions() -> None:
    a, b = KERNELS[0].numpy(), KERNELS[1].numpy()
    center = np.eye(12) - np.ones((12, 12)) / 12
    assert scores.kernel_distance(a, b) == pytest.approx(1 - _cosine(a, b), rel=1e-9)
    assert scores.drift(a, b) == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(b), rel=1e-10)
    wanted = _cosine(center @ a @ center, center @ b @ center)
    assert scores.centered_alignment(a, b) == pytest.approx(wanted, rel=1e-9)


def test_label_gradient_alignment_is_a_correlation_of_entries() -> None:
    same = np.array([[1.0 if one == other else -1.0 for other in CLASSES] for one in CLASSES])
    for kernel in KERNELS.numpy():
        wanted = np.corrcoef(kernel.flatten(), same.flatten())[0, 1]
        assert scores.label_gradient_alignment(kernel, CLASSES) == pytest.approx(wanted, rel=1e-9)
    assert scores.label_gradient_alignment(3 * same + 9, CLASSES) == pytest.approx(1)
    with pytest.raises(UsageError, match="two classes"):
        scores.label_gradient_alignment(np.eye(3), [1, 1, 1])


def test_the_mean_entry_is_a_loop() -> None:
    kernel = KERNELS[2].numpy()
    wanted = sum(kernel[i, j] for i in range(12) for j in range(12)) / 144
    assert scores.mean_entry(kernel) == pytest.approx(wanted, rel=1e-10)


def test_what_must_change_nothing_changes_nothing() -> None:
    a, b, y = KERNELS[0], KERNELS[1], _targets()
    order = torch.randperm(12, generator=generator(0, "order"))
    moved = a[order][:, order], b[order][:, order], y[order]
    labels = np.array(CLASSES)
    for before, after in (
        (scores.alignment(a, y), scores.alignment(7 * moved[0], 3 * moved[2])),
        (scores.kernel_distance(a, b), scores.kernel_distance(1e-12 * moved[0], 1e9 * moved[1])),
        (scores.centered_alignment(a, b), scores.centered_alignment(2 * moved[0] + 5, moved[1])),
        (scores.drift(a, b), scores.drift(4 * moved[0], 4 * moved[1])),
        (scores.effective_rank(a), scores.effective_rank(9 * moved[0])),
        (scores.label_gradient_alignment(a, labels), scores.label_gradient_alignment(moved[0] + 3, labels[order] * 10)),
        (scores.condition_number(a).log10, scores.condition_number(1e3 * moved[0]).log10),
    ):
        np.testing.assert_allclose(after, before, rtol=1e-8)
    assert scores.kernel_distance(a, a) == pytest.approx(0, abs=1e-14)
    assert scores.drift(a, a) == 0


def test_members_are_scored_one_by_one_and_broadcast() -> None:
    table = scores.kernel_distance(KERNELS[:, None], KERNELS[None])
    assert table.shape == (3, 3)
    assert table[0, 2] == pytest.approx(float(scores.kernel_distance(KERNELS[0], KERNELS[2])))
    assert scores.drift(KERNELS, KERNELS[0]).shape == (3,)


def test_only_a_kernel_that_is_not_finite_or_zero_gives_nan() -> None:
    lost = with_nan(KERNELS)
    for found in (
        scores.condition_number(lost).log10,
        scores.smallest_eigenvalue(lost),
        scores.effective_rank(lost),
        scores.alignment(lost, _targets()),
        scores.centered_alignment(lost, KERNELS),
        scores.kernel_distance(lost, KERNELS),
        scores.drift(lost, KERNELS),
        scores.label_gradient_alignment(lost, CLASSES),
        scores.mean_entry(lost),
    ):
        assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(scores.kernel_distance(np.zeros((2, 2)), np.eye(2)))
    assert scores.condition_number(np.zeros((2, 2))).singular
    assert scores.effective_rank([[1e-200, 0.0], [0.0, 1e-200]]) == 2


def test_all_pairs_of_outputs_are_flattened_example_by_example() -> None:
    rows = torch.randn(4, 3, 9, generator=generator(0, "rows"))  # examples, outputs, parameters
    blocks = torch.einsum("acp,bdp->abcd", rows, rows)
    found = scores.flattened(blocks)
    np.testing.assert_allclose(found, (rows.flatten(0, 1) @ rows.flatten(0, 1).T).numpy(), rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    assert scores.flattened(blocks[None]).shape == (1, 12, 12)
    with pytest.raises(UsageError, match="examples, other examples"):
        scores.flattened(np.eye(3))


def test_what_is_no_kernel_is_refused() -> None:
    with pytest.raises(UsageError, match=r"needs kernels \(..., n, n\); got \(2, 3\)"):
        scores.effective_rank(np.ones((2, 3)))
    with pytest.raises(UsageError, match="symmetric"):
        scores.effective_rank([[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(UsageError, match="one size"):
        scores.drift(np.eye(2), np.eye(3))
    with pytest.raises(UsageError, match="one row of the kernel each"):
        scores.alignment(np.eye(3), [1.0, 2.0])
