"""Convolution on kernels between positions, against nested loops."""

import warnings
from itertools import product

import pytest
import torch
from features_at_positions import distances, gram, random_values, second_moments
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk.spatial import Window, diagonal, flattened, pairs_innermost, windowed

PADDINGS = ["none", "zeros", "zeros asymmetric", "same", "circular", "circular asymmetric"]
GRID = [
    *product([(2, 2), (3, 3)], [(1, 1), (2, 2)], [(1, 1), (2, 2)], PADDINGS),
    *product([(3, 2)], [(2, 1)], [(1, 3)], PADDINGS),
]


def window_of(size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], padding: str) -> Window:
    circular = "circular" in padding
    window = Window.of(size, stride=stride, dilation=dilation, padding="same", circular=circular)
    if padding in ("same", "circular"):
        return window
    before, after = {
        "none": (0, 0),
        "zeros": (1, 1),
        "zeros asymmetric": (0, 3),
        "circular asymmetric": (2, 1),
    }[padding]
    axes = len(size)
    return Window(size, stride, (before,) * axes, (after,) * axes, dilation, circular)


def read(window: Window, sizes: tuple[int, ...], output: tuple[int, ...], offset: tuple[int, ...]):
    """The cell that an output reads at an offset; None outside."""
    cell = [
        s * p - b + d * j
        for s, p, b, d, j in zip(window.stride, output, window.before, window.dilation, offset, strict=True)
    ]
    if window.circular:
        return tuple(c % n for c, n in zip(cell, sizes, strict=True))
    return tuple(cell) if all(0 <= c < n for c, n in zip(cell, sizes, strict=True)) else None


def convolved(values: Tensor, window: Window) -> Tensor:
    """Nested loops: what each output reads, cells outside as zeros, (n, *C, cells * features)."""
    sizes = tuple(values.shape[1:-1])
    outputs = window.outputs(sizes)
    result = torch.zeros(len(values), *outputs, window.cells, values.shape[-1], dtype=values.dtype)
    for output in product(*(range(n) for n in outputs)):
        for index, offset in enumerate(product(*(range(n) for n in window.size))):
            cell = read(window, sizes, output, offset)
            if cell is not None:
                result[(slice(None), *output, index)] = values[(slice(None), *cell)]
    return result.flatten(-2)


def recursion(block: Tensor, window: Window) -> Tensor:
    """The recursion itself in nested loops, on any block."""
    sizes = tuple(block.shape[2 : 2 + window.axes])
    outputs = window.outputs(sizes)
    result = torch.zeros(*block.shape[:2], *outputs, *outputs, dtype=block.dtype)
    positions = list(product(*(range(n) for n in outputs)))
    for first, second in product(positions, positions):
        for offset in product(*(range(n) for n in window.size)):
            own, other = read(window, sizes, first, offset), read(window, sizes, second, offset)
            if own is not None and other is not None:
                result[(slice(None), slice(None), *first, *second)] += block[(slice(None), slice(None), *own, *other)]
    return result / window.cells


@pytest.mark.parametrize(("size", "stride", "dilation", "padding"), GRID)
def test_equals_nested_loops(size, stride, dilation, padding):
    """Plain and distance form, full and diagonal, cross and own blocks."""
    window = window_of(size, stride, dilation, padding)
    if any(4 + b + a <= d * (k - 1) for b, a, d, k in zip(window.before, window.after, dilation, size, strict=True)):
        with pytest.raises(UsageError, match="does not fit axis"):
            window.outputs((4, 4))
        return
    x, y = random_values(2, (4, 4), 0), random_values(3, (4, 4), 1)
    qx, qy = second_moments(x), second_moments(y)
    u, v = convolved(x, window), convolved(y, window)
    assert window.outputs((4, 4)) == u.shape[1:3]

    plain = windowed(gram(x, y), window, full=True)
    torch.testing.assert_close(plain, gram(u, v), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        windowed(diagonal(gram(x, y), 2), window, full=False), diagonal(plain, 2), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(windowed(qx, window, full=False), second_moments(u), rtol=0, atol=1e-12)

    apart = windowed(distances(x, y), window, True, qx, qy)
    torch.testing.assert_close(apart, distances(u, v), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        windowed(diagonal(distances(x, y), 2), window, full=False), diagonal(apart, 2), rtol=0, atol=1e-12
    )
    own = torch.stack([distances(one[None], one[None])[0, 0] for one in x])
    truth = torch.stack([distances(one[None], one[None])[0, 0] for one in u])
    torch.testing.assert_close(windowed(own, window, True, qx, qx), truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", ["none", "zeros asymmetric", "same", "circular asymmetric"])
def test_recursion_on_any_block(padding):
    """Tangent kernels are no Gram matrices of the features: any numbers, in one to three dimensions."""
    for sizes, size in [((7,), (3,)), ((4, 3), (2, 3)), ((3, 2, 3), (2, 1, 2))]:
        window = window_of(size, (2,) * len(size), (1,) * len(size), padding)
        block = torch.randn(2, 2, *sizes, *sizes, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        torch.testing.assert_close(windowed(block, window, full=True), recursion(block, window), rtol=0, atol=1e-12)


def test_reads_the_cells_that_torch_reads():
    """A convolution whose weights average over offsets and channels, on images of one direction each."""
    for padding, stride, dilation in [(1, 1, 1), (2, 2, 2), ("same", 1, 1)]:
        for length in (3, 4):
            window = Window.of((length, length), stride=stride, padding=padding, dilation=dilation)
            x = random_values(2, (6, 6), 3)[..., 0]
            weight = torch.ones(1, 1, length, length, dtype=torch.float64) / length**2
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
                truth = torch.nn.functional.conv2d(
                    x[:, None], weight, stride=stride, padding=padding, dilation=dilation
                )
            torch.testing.assert_close(windowed(x, window, full=False), truth[:, 0], rtol=0, atol=1e-12)


def test_reads_the_cells_that_torch_reads_in_circles():
    for length, padding, dilation in [(3, 1, 1), (4, "same", 2), (3, "same", 2), (4, 2, 1)]:
        conv = torch.nn.Conv1d(1, 1, length, padding=padding, dilation=dilation, padding_mode="circular", bias=False)
        conv = conv.double().requires_grad_(requires_grad=False)
        conv.weight.fill_(1 / length)
        window = Window.of((length,), padding=padding, dilation=dilation, circular=True)
        x = random_values(2, (6,), 4)[..., 0]
        torch.testing.assert_close(windowed(x, window, full=False), conv(x[:, None])[:, 0], rtol=0, atol=1e-12)


def test_one_cell_is_a_dense_layer():
    block = torch.randn(2, 3, 1, 1, 1, 1, dtype=torch.float64)
    same = windowed(block, Window.of((3, 3), padding=1), full=True)
    torch.testing.assert_close(same * 9, block)
    assert windowed(block, Window.of((1, 1)), full=True) is block


def test_circular_shift_shifts_the_kernel():
    window = Window.of((3, 3), padding=1, circular=True)
    x, y = random_values(2, (4, 4), 5), random_values(2, (4, 4), 6)
    shifted = x.roll((1, 2), (1, 2))
    kernel = windowed(gram(x, y), window, full=True)
    torch.testing.assert_close(windowed(gram(shifted, y), window, full=True), kernel.roll((1, 2), (2, 3)))


def test_kernel_is_symmetric_and_positive():
    window = Window.of((3, 3), padding=1, stride=2)
    x = random_values(3, (4, 4), 7)
    kernel = windowed(gram(x, x), window, full=True)
    torch.testing.assert_close(kernel, kernel.permute(1, 0, 4, 5, 2, 3))
    matrix = kernel.permute(0, 2, 3, 1, 4, 5).reshape(12, 12)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


def test_flattened_convolution_needs_no_pairs_of_positions():
    """The kernel of a convolution equals that of the locally connected layer: only equal positions are read."""
    window = Window.of((3, 3), padding=1)
    block = gram(random_values(2, (4, 4), 8), random_values(2, (4, 4), 9))
    local = torch.zeros_like(block)
    for row, column in product(range(4), range(4)):
        local[:, :, row, column, row, column] = block[:, :, row, column, row, column]
    shared = flattened(windowed(block, window, full=True), 2, full=True)
    torch.testing.assert_close(flattened(windowed(local, window, full=True), 2, full=True), shared)
    torch.testing.assert_close(flattened(windowed(diagonal(block, 2), window, full=False), 2, full=False), shared)


@pytest.mark.parametrize("padding", ["zeros asymmetric", "circular"])
def test_layout_in_memory_is_kept_and_changes_nothing(padding):
    window = window_of((3, 2), (1, 2), (1, 1), padding)
    x, y = random_values(2, (4, 4), 10), random_values(3, (4, 4), 11)
    block, q, other = distances(x, y), second_moments(x), second_moments(y)
    given = block.clone()
    expected = windowed(block, window, True, q, other)
    found = windowed(pairs_innermost(block), window, True, q, other)
    assert found.stride()[:2] == (3, 1)
    torch.testing.assert_close(found, expected)
    assert torch.equal(block, given)


def test_distance_keeps_its_digits_in_float32():
    """Inputs 1e-4 apart: the distance is right to 1e-6 of itself, where q - K has lost every digit."""
    window = Window.of((3, 3), padding=1)
    x = random_values(1, (4, 4), 12)
    y = x + 1e-4 * random_values(1, (4, 4), 13)
    truth = diagonal(distances(convolved(x, window), convolved(y, window)), 2)
    q, other = second_moments(x).float(), second_moments(y).float()
    found = diagonal(windowed(distances(x, y).float(), window, True, q, other), 2)
    assert ((found.double() - truth) / truth).abs().max() < 1e-6
    plain = windowed(gram(x, y).float(), window, full=True)
    classic = (windowed(q, window, full=False)[0] + windowed(other, window, full=False)[0]) / 2 - diagonal(plain, 2)
    assert ((classic.double() - truth) / truth).abs().max() > 1


def test_what_does_not_fit_is_named():
    with pytest.raises(UsageError, match="does not fit axis 0: 2 cells, 0 before and 0 after"):
        windowed(torch.zeros(1, 2), Window.of((3,)), full=False)
    with pytest.raises(UsageError, match=r"full block over 2 spatial axes has 4 dimensions.*\(2, 2\)"):
        windowed(torch.zeros(2, 2), Window.of((3, 3)), full=True)
    with pytest.raises(UsageError, match="stride has 3 entries for 2 spatial axes"):
        Window.of((3, 3), stride=(1, 1, 1))
