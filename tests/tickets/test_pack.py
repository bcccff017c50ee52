"""Packed files: to the bit, as small as the formula says, and refused when they are not whole."""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import CASES, Case, every

import thalweg as tw
from thalweg.tickets import pack, sliced, unpack
from thalweg.tickets.pack_positions import decoded, encoded


def random_mask(population: tw.Population, density: float, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(population.theta.shape, generator=draw) < density


def lenet(sparsity: float) -> tuple[tw.Problem, tw.Population]:
    """784-300-100-10 with exactly that share of its weights pruned, and all biases."""
    data = (torch.rand(8, 784, generator=torch.Generator().manual_seed(0)), torch.arange(8))
    problem = tw.Problem(lambda: tw.nets.mlp(784, 300, 100, 10), data)
    population = problem.initialize(1)
    weights = problem.layout.where("hidden", "output")
    mask, indices = ~weights, weights.nonzero().flatten()
    left = round((1 - sparsity) * len(indices))
    mask[indices[torch.randperm(len(indices), generator=torch.Generator().manual_seed(1))[:left]]] = True
    return problem, population.with_mask(mask)


@pytest.mark.parametrize(("sparsity", "most"), [(0.9, 143_000), (0.98, 38_000)])
def test_the_size_of_lenet(tmp_path: Path, sparsity: float, most: int) -> None:
    problem, ticket = lenet(sparsity)
    packed = pack(ticket, tmp_path / "lenet.safetensors")
    assert packed.size == (tmp_path / "lenet.safetensors").stat().st_size <= most
    assert packed["stored"].sum() <= packed.size <= packed["stored"].sum() * 1.01 + 2048
    again = unpack(packed.path, problem)
    assert torch.equal(again.theta, ticket.theta)
    assert torch.equal(again.mask, ticket.mask)


@every(CASES)
def test_to_the_bit_for_every_kind_of_model(case: Case, tmp_path: Path) -> None:
    problem = case.problem()
    population = problem.initialize(2)
    ticket = population.with_mask(random_mask(population, 0.3))
    pack(ticket, tmp_path / "one.safetensors")
    again = unpack(tmp_path / "one.safetensors", problem)
    assert torch.equal(again.theta, ticket.theta)
    assert torch.equal(again.mask, ticket.mask)
    assert again.buffers.keys() == ticket.buffers.keys()
    for name, one in again.buffers.items():
        assert torch.equal(one, ticket.buffers[name])
        assert one.dtype == ticket.buffers[name].dtype


def test_without_a_mask_and_minus_zero(tmp_path: Path) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits(), dtype=torch.float64)
    population = problem.initialize(1)
    theta = population.theta.clone()
    theta[:, ::2], theta[:, 1] = 0.0, -0.0
    population = population.with_theta(theta)
    pack(population, tmp_path / "one.safetensors", values="float64")
    again = unpack(tmp_path / "one.safetensors", problem)
    assert again.mask is None
    assert torch.equal(again.theta.view(torch.int64), theta.view(torch.int64))


@pytest.mark.parametrize(("values", "share"), [("bfloat16", 2.0**-8), ("int8", 0.5 / 127)])
def test_fewer_bits(tmp_path: Path, values: str, share: float) -> None:
    problem, ticket = lenet(0.9)
    packed = pack(ticket, tmp_path / "one.safetensors", values=values)
    again = unpack(packed.path, problem)
    assert torch.equal(again.mask, ticket.mask)
    assert not again.theta[~again.mask].any()
    for name, one in again.layout.views(again.theta).items():
        was = ticket.layout.views(ticket.theta)[name]
        if name.endswith("bias"):
            assert torch.equal(one, was)
        else:
            bound = share * was.abs().amax(2, keepdim=True).expand_as(was)  # of a filter
            assert ((one - was).abs() <= bound * 1.001).all()
            assert (one - was).abs().max() > 0
            assert packed["rounding"].max() >= float((one - was).abs().max())
    assert packed.size < pack(ticket, tmp_path / "two.safetensors").size * (0.65 if values == "bfloat16" else 0.45)


def test_int8_of_a_dead_filter(tmp_path: Path) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    population = problem.initialize(1)
    theta = population.theta.clone()
    theta[:, : 64 * 3] = 0
    pack(population.with_theta(theta), tmp_path / "one.safetensors", values="int8")
    assert not unpack(tmp_path / "one.safetensors", problem).theta[:, : 64 * 3].any()


@pytest.mark.parametrize("density", [0.0, 1e-4, 0.002, 0.02, 0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("count", [1, 7, 8, 255, 256, 257, 70_001])
def test_positions(density: float, count: int) -> None:
    active = torch.rand(count, generator=torch.Generator().manual_seed(count)) < density
    code, raw = encoded(active)
    assert torch.equal(decoded(code, raw, count), active)
    k = int(active.sum())
    assert raw.numel() <= -(-count // 8)
    assert raw.numel() <= k + math.ceil(count / 255)
    assert raw.numel() <= 2 * (k + math.ceil(count / 65535))


@pytest.mark.parametrize("gap", [0, 1, 253, 254, 255, 256, 509, 510, 511, 65534, 65535, 65536])
def test_positions_at_the_ends_of_codes(gap: int) -> None:
    active = torch.zeros(gap + 3, dtype=torch.bool)
    active[[gap, gap + 2]] = True
    code, raw = encoded(active)
    assert torch.equal(decoded(code, raw, gap + 3), active)


def test_sliced_networks_come_with_their_plan(tmp_path: Path) -> None:
    data = tw.data.digits(image=True).subset(train=20)
    problem = tw.Problem(lambda: tw.nets.resnet(8), data)
    population = problem.initialize(2)
    small = sliced(problem, population.with_mask(random_mask(population, 0.4)), {"stem.0: stream": range(3)})
    pack(small, tmp_path / "small.safetensors")
    again = unpack(tmp_path / "small.safetensors", problem)
    assert torch.equal(again.theta, small.population.theta)
    assert torch.equal(again.mask, small.population.mask)
    x = data.train.inputs
    with torch.no_grad():
        assert torch.equal(again.module(1).eval()(x), small.module(1).eval()(x))


def packed_file(tmp_path: Path) -> tuple[tw.Problem, Path]:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    population = problem.initialize(1)
    path = tmp_path / "one.safetensors"
    pack(population.with_mask(random_mask(population, 0.1)), path)
    return problem, path


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    problem, path = packed_file(tmp_path)
    whole = path.read_bytes()
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(tw.StorageError, match="not a complete safetensors file"):
            unpack(path, problem)
    path.write_bytes(whole + b"\0")
    with pytest.raises(tw.StorageError):
        unpack(path, problem)


def test_every_altered_byte_is_noticed(tmp_path: Path) -> None:
    problem, path = packed_file(tmp_path)
    whole = bytearray(path.read_bytes())
    draw = np.random.default_rng(0)
    for place in (*draw.choice(len(whole), 60, replace=False).tolist(), 0, 9, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(changed)
        with pytest.raises(tw.StorageError):
            unpack(path, problem)


def test_an_altered_setting_is_noticed(tmp_path: Path) -> None:
    problem, path = packed_file(tmp_path)
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["thalweg"] = header["__metadata__"]["thalweg"].replace('"masked":true', '"masked":false')
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    with pytest.raises(tw.StorageError, match="altered"):
        unpack(path, problem)


@pytest.mark.parametrize(
    "lie", [{"members": 10**9}, {"members": -1}, {"dtype": "load"}, {"shapes": 7}, {"codes": []}, {"plan": ...}]
)
def test_a_header_that_asks_for_what_is_not_there(tmp_path: Path, lie: dict) -> None:
    """With a checksum that is right: it was made to be so."""
    from safetensors import safe_open
    from safetensors.torch import load_file

    from thalweg.storage.statefile import write_safetensors
    from thalweg.tickets.pack import _checksum

    problem, path = packed_file(tmp_path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["thalweg"]) | lie
    text = json.dumps({name: value for name, value in header.items() if value is not ...})
    tensors, made = load_file(path), tmp_path / "made.safetensors"
    write_safetensors(made, tensors, {"thalweg": text, "sha256": _checksum(text, tensors)})
    with pytest.raises(tw.StorageError, match="says of itself what its tensors do not"):
        unpack(made, problem)


def test_other_files_and_other_models(tmp_path: Path) -> None:
    problem, path = packed_file(tmp_path)
    with pytest.raises(tw.StorageError, match="another model"):
        unpack(path, tw.Problem(lambda: tw.nets.mlp(64, 9, 10), tw.data.digits()))
    with pytest.raises(tw.StorageError, match="another model"):
        unpack(path, tw.Problem(lambda: tw.nets.mlp(64, 8, 8, 10), tw.data.digits()))
    with pytest.raises(tw.StorageError, match="another model: this one has no"):
        unpack(path, tw.Problem(lambda: tw.nets.mlp(64, 8, 10, bias=False), tw.data.digits()))
    with pytest.raises(tw.StorageError, match="not a file"):
        unpack(tmp_path / "none.safetensors", problem)
    other = tmp_path / "state.safetensors"
    from thalweg.storage import save_state_file

    save_state_file(other, problem.initialize(1).state_dict(0))
    with pytest.raises(tw.StorageError, match="no packed networks"):
        unpack(other, problem)


def test_what_cannot_be_packed(tmp_path: Path) -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    population = problem.initialize(1)
    with pytest.raises(tw.UsageError, match="safetensors"):
        pack(population, tmp_path / "one.pt")
    with pytest.raises(tw.UsageError, match="float32"):
        pack(population, tmp_path / "one.safetensors", values="float8")
    with pytest.raises(tw.UsageError, match="not finite"):
        pack(population.with_theta(population.theta * math.nan), tmp_path / "one.safetensors")
    with pytest.raises(tw.StorageError):
        pack(population, tmp_path / "missing" / "one.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_ratio_holds_what_is_stored_against_a_dense_file_of_the_same_numbers(tmp_path: Path) -> None:
    """Nothing is smaller for having been rounded from float64: a full network has a ratio below 1."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits(), dtype=torch.float64)
    for values in ("float32", "float64"):
        packed = tw.tickets.pack(problem.initialize(1), tmp_path / f"{values}.safetensors", values=values)
        assert 0.7 < float(packed["ratio"]) < 1
        assert packed["dense"].tolist() == packed["stored"].tolist()
