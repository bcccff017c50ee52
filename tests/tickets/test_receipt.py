"""Receipts: the fastest form that computes the same, and dense where none is faster."""

import copy
import time

import numpy as np
import pytest
import torch
from cases import CASE
from torch import nn

import thalweg as tw
from thalweg.tickets import latencies, receipt, sliced
from thalweg.tickets.receipt_layers import SparseLinear, in_bsr, in_csr, in_two_of_four

WIDE = torch.randn(64, 512, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 10


def wide(density: float, block: int = 1) -> tuple[tw.Problem, tw.Population]:
    """512-512-512-10 with that share of all weights, or of their blocks."""
    problem = tw.Problem(lambda: tw.nets.mlp(512, 512, 512, 10), WIDE)
    population = problem.initialize(1)
    mask = torch.ones_like(population.theta, dtype=torch.bool)
    draw = torch.Generator().manual_seed(1)
    for name, one in problem.layout.views(mask).items():
        if name.startswith("hidden") and one.ndim == 3:
            small = torch.rand(512 // block, 512 // block, generator=draw) < density
            one.copy_(small.repeat_interleave(block, 0).repeat_interleave(block, 1)[None])
    return problem, population.with_mask(mask)


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_latencies_know_what_is_slower() -> None:
    found = latencies({"one": lambda: busy(1e-4), "two": lambda: busy(2e-4), "same": lambda: busy(1e-4)}, rounds=40)
    assert found["latency"][0] >= 1e-4
    assert found["fastest"][1] >= 2e-4
    assert 0.4 < found["speedup"][1] < 0.6
    assert 0.9 < found["speedup"][2] < 1.1
    assert (found.least() <= found["speedup"] * 1.001).all()
    assert (found.least(0.999) <= found.least(0.9)).all()
    assert found["log speedup"].shape == (10, 3)
    assert (found["log speedup"][:, 0] == 0).all()


def test_order_and_warm_up_of_calls() -> None:
    calls: list[str] = []
    latencies({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=4, blocks=2)
    assert "".join(calls) == "aaabbbbbbaaa" * 2


def test_what_latencies_refuse() -> None:
    with pytest.raises(tw.UsageError, match="at least 20"):
        latencies({"a": lambda: None}, rounds=19)
    with pytest.raises(tw.UsageError, match="at least one"):
        latencies({})


def test_sparse_forms_compute_the_same() -> None:
    problem, ticket = wide(0.05, block=16)
    dense = ticket.module(0).eval()
    for made in (in_csr(dense), in_bsr(dense)):
        assert isinstance(made.hidden1, SparseLinear)
        assert type(made.output) is nn.Linear
        with torch.no_grad():
            for shape in ((1, 512), (64, 512), (2, 3, 512)):
                x = torch.randn(shape)
                assert torch.allclose(made(x), dense(x), atol=1e-5)
    assert in_csr(dense).hidden1.weight.col_indices().dtype == torch.int32
    assert type(dense.hidden1) is nn.Linear
    assert problem.template.hidden1.weight.layout == torch.strided


def test_sparse_forms_are_modules_that_can_be_copied_kept_and_converted() -> None:
    _, ticket = wide(0.05, block=16)
    dense, x = ticket.module(0).eval(), torch.randn(3, 512)
    for made in (in_csr(dense), in_bsr(dense)):
        again = copy.deepcopy(made)
        assert {"hidden1.weight", "hidden1.bias", "output.weight"} <= set(made.state_dict())
        with torch.no_grad():
            wanted = made(x)
            assert torch.equal(again(x), wanted)
            again.hidden1.weight.values().zero_()
            assert torch.equal(made(x), wanted)
            again.load_state_dict(made.state_dict())
            assert torch.equal(again(x), wanted)
            assert torch.allclose(made.double()(x.double()), wanted.double(), atol=1e-5)


def test_forms_that_a_network_does_not_have() -> None:
    dense = tw.nets.mlp(16, 16, 16, 4)
    for made, said in ((in_csr, "half of its weights"), (in_bsr, "half of its blocks"), (in_two_of_four, "CUDA")):
        with pytest.raises(ValueError, match=said):
            made(dense)
    tied = CASE["tied"].model()
    with torch.no_grad():
        tied.out.weight.zero_()
    with pytest.raises(ValueError, match="half of its weights"):
        in_csr(tied)


def test_a_dense_network_stays_dense() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    found = receipt(problem, problem.initialize(1), batches=(1, 8), rounds=20)
    assert found["choice"].tolist() == ["dense", "dense"]
    assert found["gain"].tolist() == [1.0, 1.0]
    assert found.reading.notes[:2] == ("Batch 1: dense, 1.0x.", "Batch 8: dense, 1.0x.")
    assert set(found.left_out) == {"sliced", "csr", "bsr", "2:4"}
    assert found.module(8) is found.modules["dense"]


def test_it_is_never_slower_than_dense() -> None:
    problem, ticket = wide(0.02)
    found = receipt(problem, ticket, batches=(32,), rounds=20)
    assert {"dense", "csr"} <= set(found.modules)
    names = list(found.modules)
    place = names.index(str(found["choice"][0]))
    assert found["gain"][0] >= 1
    assert place == 0 or found["least speedup"][0, place] > 1
    assert (found["difference"] < 1e-4).all()
    assert found["latency"].shape == (1, len(names))
    assert len(found.figure().panels) == 1


def test_a_sliced_ticket_is_faster() -> None:
    problem, _ = wide(1.0)
    keep = {"hidden1": range(64), "hidden2": range(64)}
    dense = problem.initialize(1)
    small = sliced(problem, dense, keep)
    masked = dense.with_mask(tw.tickets.unit_mask(problem, keep))
    found = receipt(problem, masked, sliced=small, batches=(256,), rounds=20)
    place = list(found.modules).index("sliced")
    assert found["speedup"][0, place] > 2
    assert found["difference"][place] < 1e-6
    assert found["choice"][0] != "dense"
    without = receipt(problem, masked, batches=(8,), rounds=20)
    assert without.modules["sliced"].hidden1.out_features == 64
    assert np.isfinite(without["latency"]).all()


def test_models_that_read_their_layers_themselves() -> None:
    problem = CASE["encoder"].problem()
    population = problem.initialize(1)
    mask = torch.ones_like(population.theta, dtype=torch.bool)
    problem.layout.views(mask)["layer.linear1.weight"][:, :, 1:] = False
    found = receipt(problem, population.with_mask(mask), batches=(4,), rounds=20)
    assert found["choice"].tolist()[0] in found.modules
    assert (found["difference"] < 1e-3).all()


def test_what_receipts_refuse() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    with pytest.raises(tw.UsageError, match="one network"):
        receipt(problem, problem.initialize(2))
    with pytest.raises(tw.UsageError, match="batches"):
        receipt(problem, problem.initialize(1), batches=(0,))
    with pytest.raises(tw.UsageError, match=r"batches of 1; got 2"):
        receipt(problem, problem.initialize(1), batches=(1,), rounds=20).module(2)
