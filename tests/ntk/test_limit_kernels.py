"""What `limit.kernels` returns: a reading like that of any instrument, and its figure."""

import numpy as np
import pytest
import torch
from modules_of_limits import drawn, multilayer
from torch import nn

import thalweg as tw


@pytest.fixture(scope="module")
def limit() -> tw.ntk.Infinite:
    torch.manual_seed(0)
    return tw.ntk.infinite(multilayer(nn.ReLU()), parameterization="standard", progress=None)


def test_the_reading_holds_both_kernels(limit: tw.ntk.Infinite) -> None:
    x = drawn(5, 16)
    found = limit.kernels(x, x[:3])
    np.testing.assert_array_equal(found["ntk"], limit.ntk(x, x[:3]).numpy())
    np.testing.assert_array_equal(found["nngp"], limit.nngp(x, x[:3]).numpy())
    assert found.reading.dims["ntk"] == ("example", "other example")
    assert found.reading.sample_size == 5
    assert found.reading.cost.seconds > 0
    assert found.reading.provenance.dtype == "float32"
    assert 'Parameterization "standard".' in found.remarks()
    assert not np.allclose(found["ntk"], found["nngp"])


def test_what_is_read_cannot_be_changed(limit: tw.ntk.Infinite) -> None:
    with pytest.raises(ValueError, match="read-only"):
        limit.kernels(drawn(2, 16))["ntk"][0, 0] = 1.0


def test_the_figure_has_eigenvalues_where_both_sides_are_the_same(limit: tw.ntk.Infinite) -> None:
    x = drawn(5, 16)
    panels = limit.kernels(x).figure().panels
    assert [panel.title for panel in panels] == ["NNGP kernel", "tangent kernel", "their eigenvalues"]
    np.testing.assert_allclose(panels[2].marks[1].y, torch.linalg.eigvalsh(limit.ntk(x)).flip(0), rtol=1e-9)
    assert len(limit.kernels(x, x[:3]).figure().panels) == 2


def test_other_functions_take_the_arrays(limit: tw.ntk.Infinite) -> None:
    x, y = drawn(6, 16), drawn(4)
    found, cross = limit.kernels(x[:4]), limit.kernels(x[4:], x[:4])
    outputs = tw.ntk.regression(found["ntk"], cross["ntk"], y)["test"]
    same = tw.ntk.regression(limit.ntk(x[:4]), limit.ntk(x[4:], x[:4]), y)["test"]
    np.testing.assert_allclose(outputs, same, rtol=1e-12)
