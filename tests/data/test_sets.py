"""The data sets that come with Thalweg, against their sources, brute force and closed forms."""

import math
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

from thalweg.data import decode, digits, gaussian_linear, gaussian_teacher, mnist1d, modular, table, text
from thalweg.data.mnist1d import _cache_folder, _examples
from thalweg.errors import UsageError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _examples.cache_clear()
    yield tmp_path / "thalweg"
    _examples.cache_clear()


def global_states() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), name, tuple(keys), *rest, tuple(torch.get_rng_state().tolist())


# digits


def test_digits_are_all_of_them_once_and_in_proportion() -> None:
    data = digits()
    assert (len(data.train), len(data.test), data.classes) == (1_437, 360, 10)
    both = torch.cat([data.train.inputs, data.test.inputs])
    rows = torch.cat([both * 16, torch.cat([data.train.targets, data.test.targets])[:, None]], 1)
    source = load_digits()
    expected = np.column_stack([source.data, source.target])
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, expected.tolist()))
    shares = data.test.targets.bincount().numpy() / np.bincount(source.target)
    assert np.abs(shares - 360 / 1_797).max() < 1 / 174 + 1e-6
    assert both.dtype == torch.float32
    assert 0 <= both.min() < both.max() == 1


def test_digits_split_is_a_function_of_the_seed_alone() -> None:
    before = global_states()
    first = digits()
    assert global_states() == before
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert torch.equal(first.train.inputs, digits().train.inputs)
    assert not torch.equal(first.train.inputs, digits(seed=1).train.inputs)
    image = digits(image=True)
    assert image.train.inputs.shape == (1_437, 1, 8, 8)
    assert torch.equal(image.train.inputs.flatten(1), first.train.inputs)


def test_a_split_anew_has_every_example_once_and_is_a_function_of_its_stream() -> None:
    data = digits()
    few = data.split_anew(100, seed=3)
    assert (len(few.train), len(few.test), few.classes) == (100, 1_697, 10)
    rows = [sorted(map(tuple, torch.cat([one.train.inputs, one.test.inputs]).tolist())) for one in (data, few)]
    assert rows[0] == rows[1]
    parts = (data.train, data.test)
    known = {tuple(x): y for part in parts for x, y in zip(part.inputs.tolist(), part.targets, strict=True)}
    assert all(known[tuple(x)] == y for x, y in zip(few.train.inputs.tolist(), few.train.targets, strict=True))
    assert torch.equal(data.split_anew(40, seed=3).train.inputs, few.train.inputs[:40])
    assert not torch.equal(data.split_anew(100, seed=4).train.inputs, few.train.inputs)
    assert not torch.equal(data.split_anew(100, seed=3, stream="another").train.inputs, few.train.inputs)
    alone = replace(data, test=None).split_anew(1_000)
    assert (len(alone.train), len(alone.test)) == (1_000, 437)
    with pytest.raises(UsageError, match="at least one example to test on; got train=1797 of 1,797"):
        data.split_anew(1_797)
    with pytest.raises(UsageError, match="noisy labels"):
        data.with_label_noise(0.1, seed=0).split_anew(100)


# MNIST-1D


def test_mnist1d_is_the_published_set_and_leaves_the_random_state_alone(cache: Path) -> None:
    before = global_states()
    data = mnist1d()
    assert global_states() == before
    from mnist1d.data import make_dataset

    made = make_dataset()
    assert torch.equal(data.train.inputs, torch.from_numpy(made["x"]).float())
    assert torch.equal(data.test.inputs, torch.from_numpy(made["x_test"]).float())
    assert torch.equal(data.train.targets, torch.from_numpy(made["y"]))
    assert torch.equal(data.test.targets, torch.from_numpy(made["y_test"]))
    (file,) = cache.iterdir()
    _examples.cache_clear()
    again = mnist1d()
    assert torch.equal(again.train.inputs, data.train.inputs)
    assert file.name.endswith("-5000-42.safetensors")


@pytest.mark.parametrize("damage", ["truncated", "altered", "foreign", "empty"])
def test_a_damaged_cache_is_made_anew(cache: Path, damage: str) -> None:
    expected = mnist1d(train=20, test=10).train.inputs
    (file,) = cache.iterdir()
    good = file.read_bytes()
    if damage == "altered":
        file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif damage == "foreign":
        save_file({name: tensor * 0 for name, tensor in load_file(file).items()}, file)
    else:
        file.write_bytes(good[: len(good) // 2] if damage == "truncated" else b"")
    _examples.cache_clear()
    assert torch.equal(mnist1d(train=20, test=10).train.inputs, expected)
    assert file.read_bytes() == good
    assert list(cache.iterdir()) == [file]


def test_the_cache_is_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = mnist1d(train=20, test=10).train.inputs
    _examples.cache_clear()
    monkeypatch.setitem(_examples.__wrapped__.__globals__, "_generate", None)
    assert torch.equal(mnist1d(train=20, test=10).train.inputs, expected)


def test_an_unwritable_cache_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obstacle = tmp_path / "file"
    obstacle.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(obstacle))
    _examples.cache_clear()
    assert len(mnist1d(train=20, test=10).train) == 20
    assert obstacle.read_text() == "not a folder"


def test_the_cache_folder_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert _cache_folder() == Path("/home/someone/.cache/thalweg")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _cache_folder() == Path("/home/someone/.cache/thalweg")


def test_callers_do_not_share_the_cached_tensors(cache: Path) -> None:
    first = mnist1d(train=20, test=10)
    first.train.inputs.zero_()
    assert mnist1d(train=20, test=10).train.inputs.any()


def test_shuffled_mnist1d_is_one_order_of_the_positions_and_nothing_else(cache: Path) -> None:
    plain, shuffled = mnist1d(train=100, test=20), mnist1d(train=100, test=20, shuffled=True)
    columns = {tuple(column): i for i, column in enumerate(plain.train.inputs.T.tolist())}
    order = [columns[tuple(column)] for column in shuffled.train.inputs.T.tolist()]
    assert sorted(order) == list(range(40))
    assert order != list(range(40))
    assert torch.equal(plain.train.targets, shuffled.train.targets)
    assert torch.equal(plain.test.inputs[:, order], shuffled.test.inputs)


def test_mnist1d_sizes(cache: Path) -> None:
    with pytest.raises(UsageError, match="multiple of ten; got 15 and 4"):
        mnist1d(train=15, test=4)


# modular arithmetic

TABLES = {
    "+": lambda a, b, p: (a + b) % p,
    "-": lambda a, b, p: (a - b) % p,
    "*": lambda a, b, p: a * b % p,
    "/": lambda a, b, p: next(c for c in range(p) if b * c % p == a),
}


@pytest.mark.parametrize("operation", TABLES)
@pytest.mark.parametrize("p", [2, 7, 13])
def test_modular_table_by_brute_force(operation: str, p: int) -> None:
    tokens = modular(p, operation, train_fraction=0.4, encoding="tokens")
    one_hot = modular(p, operation, train_fraction=0.4)
    seen = {}
    for part, codes in ((tokens.train, one_hot.train), (tokens.test, one_hot.test)):
        assert (part.inputs[:, 2] == p).all()
        for (a, b, _), c, code in zip(part.inputs.tolist(), part.targets.tolist(), codes.inputs, strict=True):
            assert code.nonzero().flatten().tolist() == [a, p + b]
            assert (a, b) not in seen
            seen[a, b] = c
    pairs = [(a, b) for a in range(p) for b in range(p) if operation != "/" or b]
    assert seen == {(a, b): TABLES[operation](a, b, p) for a, b in pairs}
    assert len(tokens.train) == round(0.4 * len(pairs))


def test_modular_splits() -> None:
    small, large = modular(11, train_fraction=0.3), modular(11, train_fraction=0.6)
    assert torch.equal(small.train.inputs, large.train.inputs[: len(small.train)])
    assert not torch.equal(small.train.inputs, modular(11, train_fraction=0.3, seed=1).train.inputs)
    whole = modular(11, train_fraction=1.0)
    assert whole.test is None
    assert len(whole.train) == 121


def test_random_answers_are_drawn_by_themselves_for_the_same_pairs() -> None:
    sums, random = modular(31, seed=2), modular(31, "random", seed=2)
    assert torch.equal(sums.train.inputs, random.train.inputs)
    answers = torch.cat([random.train.targets, random.test.targets])
    assert set(answers.tolist()) == set(range(31))
    agree = (answers == torch.cat([sums.train.targets, sums.test.targets])).double().mean()
    assert abs(float(agree) - 1 / 31) < 4 * (1 / 31 / len(answers)) ** 0.5
    assert not torch.equal(random.train.targets, modular(31, "random").train.targets)


def test_modular_that_cannot_be_meant() -> None:
    for arguments, message in (
        ({"operation": "plus"}, "no operation 'plus'"),
        ({"encoding": "onehot"}, "Did you mean 'one_hot'"),
        ({"p": 1}, "at least 2; got 1"),
        ({"p": 9, "operation": "/"}, "prime p; 9 is not one"),
        ({"train_fraction": 0.0}, "train_fraction"),
        ({"train_fraction": 1.2}, "got 1.2"),
    ):
        with pytest.raises(UsageError, match=message):
            modular(**arguments)


# text


def test_text_windows_are_the_document_and_targets_the_next_byte() -> None:
    data = text(context=50)
    for part in (data.train, data.test):
        assert torch.equal(part.inputs[:, 1:], part.targets[:, :-1])
        assert torch.equal(part.inputs[1:, 0], part.targets[:-1, -1])  # windows follow each other
        assert part.inputs.dtype == part.targets.dtype == torch.int64
    vocabulary = data.ground_truth["vocabulary"].tolist()
    assert vocabulary == sorted(set(vocabulary))
    assert data.classes == len(vocabulary)
    used = torch.cat([data.train.inputs.flatten(), data.test.inputs.flatten()]).unique()
    assert used.max() < data.classes
    assert re.search(r"[Tt]he .* statement", decode(data, data.train.inputs))


def test_held_out_text_is_the_end_of_the_document_and_not_in_the_training_text() -> None:
    data = text(context=64)
    document = decode(data, data.train.inputs)
    held_out = decode(data, data.test.inputs)
    assert len(held_out) / (len(document) + len(held_out)) == pytest.approx(0.1, abs=0.01)
    known = {document[i : i + 64] for i in range(len(document) - 63)}
    windows = [held_out[i : i + 64] for i in range(0, len(held_out) - 63, 7)]
    assert sum(window in known for window in windows) / len(windows) < 0.01
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", document + "\n\n" + held_out)]
    assert len(paragraphs) - len(set(paragraphs)) <= 2  # the two ends are cut


def test_text_stride_and_its_refusals() -> None:
    dense, sparse = text(context=32, stride=8), text(context=32)
    assert torch.equal(dense.train.inputs[::4][: len(sparse.train)], sparse.train.inputs)
    for arguments, message in (
        ({"context": 0}, "text context must be a whole number of at least 1; got 0"),
        ({"context": 2.5}, "text context must be a whole number of at least 1; got 2.5"),
        ({"stride": 0}, "text stride must be a whole number of at least 1; got 0"),
        ({"test_fraction": 0.0}, "test_fraction must be a number between 0 and 1; got 0.0"),
        ({"context": 10**6}, "needs 1,000,001 bytes"),
    ):
        with pytest.raises(UsageError, match=message):
            text(**arguments)


# Gaussian data


def test_linear_teacher_without_noise_is_recovered() -> None:
    data = gaussian_linear(50, 20, noise=0.0, seed=3, signal=2.0)
    found = torch.linalg.lstsq(data.train.inputs, data.train.targets).solution
    torch.testing.assert_close(found, data.ground_truth["coefficients"], rtol=0, atol=1e-12)
    assert found.norm().item() == pytest.approx(2.0)


def z_score(samples: list[float], expected: float) -> float:
    array = np.array(samples)
    return float((array.mean() - expected) / (array.std(ddof=1) / math.sqrt(len(array))))


def test_least_squares_has_the_risk_of_theory() -> None:
    """E|w_hat - w|^2 is noise^2 d / (n - d - 1) below the threshold; above it, with d > n + 1, it is

    |w|^2 (1 - n/d) + noise^2 n / (d - n - 1) for the minimum-norm solution (Hastie et al., arXiv:1903.08560).
    """
    noise, signal = 0.5, 1.5
    for n, d, expected in (
        (40, 20, noise**2 * 20 / 19),
        (20, 40, signal**2 * 0.5 + noise**2 * 20 / 19),
    ):
        errors = []
        for seed in range(400):
            data = gaussian_linear(n, d, noise=noise, seed=seed, test=0, signal=signal)
            found = torch.linalg.pinv(data.train.inputs) @ data.train.targets
            errors.append((found - data.ground_truth["coefficients"]).pow(2).sum().item())
        assert abs(z_score(errors, expected)) < 4


def test_linear_teacher_has_the_asked_noise_and_variances() -> None:
    data = gaussian_linear(40_000, 3, noise=0.3, variances=(4.0, 1.0, 0.25))
    residual = data.train.targets - data.train.inputs @ data.ground_truth["coefficients"]
    for samples, expected in [
        (residual[:, 0], 0.09),
        *((data.train.inputs[:, i], v) for i, v in enumerate((4.0, 1.0, 0.25))),
    ]:
        assert abs(z_score(samples.pow(2).tolist(), expected)) < 4


def test_teacher_output_has_the_variance_of_the_arc_cosine_kernel() -> None:
    """E[relu(u.x) relu(v.x)] = |u||v| (sin t + (pi - t) cos t) / (2 pi), t the angle (Cho and Saul, 2009)."""
    data = gaussian_teacher(40_000, 10, width=5, seed=2)
    hidden, output = data.ground_truth["hidden"], data.ground_truth["output"]
    norms = hidden.norm(dim=1)
    angle = (hidden @ hidden.T / norms.outer(norms)).clamp(-1, 1).acos()
    kernel = norms.outer(norms) * (angle.sin() + (math.pi - angle) * angle.cos()) / (2 * math.pi)
    expected = (output @ kernel @ output.T).item()
    assert abs(z_score(data.train.targets.pow(2).flatten().tolist(), expected)) < 4
    mean_squares = [gaussian_teacher(50, 10, width=5, seed=s, test=0).train.targets.pow(2).mean() for s in range(400)]
    assert abs(z_score([float(m) for m in mean_squares], 0.5)) < 4


def test_gaussian_streams_do_not_depend_on_sizes_of_other_parts_or_global_state() -> None:
    for make in (gaussian_linear, gaussian_teacher):
        before = global_states()
        first, other = make(10, 4, test=5, seed=1), make(10, 4, test=50, seed=1)
        assert global_states() == before
        assert torch.equal(first.train.inputs, other.train.inputs)
        assert not torch.equal(first.train.inputs[:5], first.test.inputs)
        assert not torch.equal(first.train.inputs, make(10, 4, seed=2).train.inputs)
        assert make(10, 4, test=0).test is None


def test_gaussian_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="gaussian_linear n must be a whole number of at least 1; got 0"):
        gaussian_linear(0, 3)
    with pytest.raises(UsageError, match=r"gaussian_linear n must be a whole number of at least 1; got 10\.0"):
        gaussian_linear(10.0, 3)
    for unmeant in ({"noise": float("nan")}, {"signal": -1}, {"noise": "0.1"}):
        with pytest.raises(UsageError, match=f"gaussian_linear {next(iter(unmeant))} must be"):
            gaussian_linear(5, 3, **unmeant)
    with pytest.raises(UsageError, match="variances needs 3 numbers"):
        gaussian_linear(5, 3, variances=(1.0, 2.0))
    with pytest.raises(UsageError, match="gaussian_teacher width must be a whole number of at least 1; got 0"):
        gaussian_teacher(5, 3, width=0)


# tables


@pytest.mark.parametrize(
    ("name", "rows", "columns", "classes"),
    [("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3), ("diabetes", 442, 10, None), ("iris", 149, 4, 3)],
)
def test_tables_are_whole_standardized_and_split_by_the_seed(name: str, rows: int, columns: int, classes: int) -> None:
    before = global_states()
    data = table(name)
    assert global_states() == before
    assert (len(data.train) + len(data.test), data.classes) == (rows, classes)
    assert data.train.inputs.shape[1] == columns
    assert data.train.inputs.dtype == torch.float32
    torch.testing.assert_close(data.train.inputs.mean(0), torch.zeros(columns), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.train.inputs.std(0, correction=0), torch.ones(columns), atol=1e-5, rtol=0)
    assert abs(len(data.test) / rows - 0.2) < 1 / rows
    assert not torch.equal(data.train.inputs, table(name, seed=1).train.inputs)
    if classes is None:
        assert data.train.targets.shape == (len(data.train), 1)
        assert float(data.train.targets.std(correction=0)) == pytest.approx(1, abs=1e-5)
    else:
        shares = [part.targets.bincount(minlength=classes) / len(part) for part in (data.train, data.test)]
        torch.testing.assert_close(*shares, atol=0.02, rtol=0)


def test_an_unknown_table_is_named() -> None:
    with pytest.raises(UsageError, match="wine"):
        table("wines")


def test_counts_and_fractions_that_are_none() -> None:
    data = digits()
    with pytest.raises(UsageError, match=r"subset train must be a whole number of at least 1; got 1\.5"):
        data.subset(1.5)
    with pytest.raises(UsageError, match="Label noise must be a fraction of the training labels between 0 and 1"):
        data.with_label_noise("0.1", 0)
    with pytest.raises(UsageError, match=r"mnist1d train must be a whole number of at least 1; got 10\.0"):
        mnist1d(train=10.0)
