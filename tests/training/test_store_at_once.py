"""What cannot be stored is said before the first step; several processes of one run; what a kill leaves behind."""

import os
import signal
import tempfile

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.cli.main import main
from thalweg.errors import StorageError, UsageError
from thalweg.randomness import generator
from thalweg.storage import Store
from thalweg.training.checkpoint import left_over

DRAW = generator(0, "test store at once")
X, Y = torch.randn(40, 3, generator=DRAW), torch.randint(0, 2, (40,), generator=DRAW)
RECIPE = tw.Recipe(tw.optim.SGD(0.1), 12, 8, evaluate=0)


class Complex(nn.Module):
    """A model with a table of complex numbers, as rotary embeddings have."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("table", torch.polar(torch.ones(4).double(), torch.arange(4.0).double()))

    def forward(self, x):
        return self.layer(x) * self.table.abs().mean().to(x)


def problem(model=lambda: nn.Linear(3, 2), **options):
    return tw.Problem(model, (X, Y), **options)


def assert_said_at_once(error, match, **options):
    told = []
    options = {"problem": problem(), "recipe": RECIPE, "observe": lambda step, _: told.append(step)} | options
    with pytest.raises(error, match=match):
        tw.train(options.pop("problem"), options.pop("recipe"), **options)
    assert told == []


def test_a_buffer_that_no_file_can_hold(tmp_path):
    double = problem(Complex, dtype=torch.float64)
    assert_said_at_once(UsageError, r"'buffers/table' is torch.complex128", problem=double, store=tmp_path)
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert Store(tmp_path).collect() == 0


def test_complex_buffers_are_as_precise_as_the_parameters(tmp_path):
    run = tw.train(problem(Complex), RECIPE, store=tmp_path)
    assert run.final.buffers["table"].dtype == torch.complex64


@pytest.mark.parametrize("name", ["\ud800", "\x1b[31m", "", "a\nb"])
def test_a_name_that_cannot_be_written(tmp_path, name):
    assert_said_at_once(UsageError, "printable text both", store=tmp_path, name=name)


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0, np.nan, True, "3", None])
def test_seconds_that_never_come(tmp_path, seconds):
    assert_said_at_once(UsageError, "train checkpoint_seconds must be", store=tmp_path, checkpoint_seconds=seconds)


def test_a_disk_without_room(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100})())
    assert_said_at_once(StorageError, "is full, so nothing was changed", store=store)


@pytest.fixture
def read_only():
    """A store in a folder that this process, which is nobody's for a while, may only read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        store = Store(os.path.join(folder, "store"))
        tw.train(problem(), RECIPE, store=store, name="x", until=1)
        os.seteuid(65534)
        try:
            yield store
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user's folder")
def test_a_folder_that_may_only_be_read(read_only):
    assert_said_at_once(StorageError, "choose another place or change its permissions", store=read_only)


def test_numbers_of_numpy_anywhere_in_a_recipe_are_stored(tmp_path):
    schedule = tw.schedules.Cosine(warmup=np.int64(2)).then(tw.schedules.Linear(1.0, np.float32(0.5)), at=np.int32(6))
    rule = tw.optim.AdamW(np.float32(1e-3), beta1=tw.schedules.Scheduled(np.float64(0.9), schedule))
    for _ in range(2):
        tw.train(problem(), tw.Recipe(rule, 12, 8, schedule=schedule, evaluate=0), store=tmp_path, plan="looped")
    assert len(Store(tmp_path).list("run")) == 1


def test_another_process_that_goes_on_meanwhile(tmp_path, monkeypatch):
    """The checkpoint is replaced between its record and its arrays being read."""
    tw.train(problem(), RECIPE, store=tmp_path, name="r", until=3)
    real = Store.arrays

    def other_first(self, sha256):
        monkeypatch.setattr(Store, "arrays", real)
        tw.train(problem(), RECIPE, store=tmp_path, name="r", until=7)
        return real(self, sha256)

    monkeypatch.setattr(Store, "arrays", other_first)
    steps = []
    run = tw.train(problem(), RECIPE, store=tmp_path, name="r", observe=lambda step, _: steps.append(step))
    assert steps == [8, 9, 10, 11, 12]
    assert torch.equal(run.final.theta, tw.train(problem(), RECIPE).final.theta)


def test_another_process_that_finishes_meanwhile(tmp_path, monkeypatch):
    tw.train(problem(), RECIPE, store=tmp_path, name="r", until=3)
    real = Store.get

    def other_first(self, kind, key):
        monkeypatch.setattr(Store, "get", real)
        tw.train(problem(), RECIPE, store=tmp_path, name="r")
        return real(self, kind, key)

    monkeypatch.setattr(Store, "get", other_first)
    steps = []
    run = tw.train(problem(), RECIPE, store=tmp_path, name="r", observe=lambda step, _: steps.append(step))
    assert torch.equal(run.final.theta, tw.train(problem(), RECIPE).final.theta)
    assert left_over(Store(tmp_path)) == []


def test_another_process_that_removes_the_checkpoint_first(tmp_path, monkeypatch):
    tw.train(problem(), RECIPE, store=tmp_path, name="r", until=3)
    real = Store.delete

    def gone(self, kind, key):
        monkeypatch.setattr(Store, "delete", real)
        real(self, kind, key)
        return real(self, kind, key)

    monkeypatch.setattr(Store, "delete", gone)
    tw.train(problem(), RECIPE, store=tmp_path, name="r")
    assert ("run", "r") in Store(tmp_path)


def left_by_a_kill(path):
    """A store in which a finished run's checkpoint was not removed any more, and an object that nobody refers to."""
    tw.train(problem(), RECIPE, store=path, name="r", until=3)
    pid = os.fork()
    if pid == 0:
        Store.delete = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        tw.train(problem(), RECIPE, store=path, name="r")
    os.waitpid(pid, 0)
    (path / "objects" / f"{'ab' * 32}.safetensors").write_bytes(b"of no record")
    return Store(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:os.fork")
def test_a_checkpoint_that_a_kill_left_is_removed_by_the_next_call(tmp_path):
    store = left_by_a_kill(tmp_path)
    assert left_over(store) == [("checkpoint", "r")]
    tw.train(problem(), RECIPE, store=store, name="r")
    assert left_over(store) == []
    assert ("checkpoint", "r") not in store


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:os.fork")
def test_the_doctor_says_what_is_left_and_collects_it(tmp_path, capsys):
    store = left_by_a_kill(tmp_path / "store")
    run = store.get("run", "r")
    assert main(["doctor", "--store", str(store.path)]) == 0
    assert "1 checkpoint of finished runs and 1 file of no record" in (
        said := " ".join(capsys.readouterr().out.split())
    )
    assert "`thalweg doctor --collect` removes them" in said
    assert left_over(store) == [("checkpoint", "r")]
    assert main(["doctor", "--store", str(store.path), "--collect"]) == 0
    assert "now removed" in capsys.readouterr().out
    assert left_over(store) == []
    assert store.check() == []
    assert len(list((store.path / "objects").iterdir())) == 1
    assert store.get("run", "r") == run
    assert main(["doctor", "--store", str(store.path)]) == 0
    assert "nothing" in capsys.readouterr().out


def test_a_damaged_record_is_named_by_show_and_doctor(tmp_path, capsys):
    store = Store(tmp_path / "store")
    for key in "abc":
        store.put("run", key, {"value": 1.25})
    content = bytearray((store.path / "thalweg.db").read_bytes())
    content[content.rindex(b"1.25")] ^= 2
    (store.path / "thalweg.db").write_bytes(content)
    assert main(["show", "--store", str(store.path)]) == 0
    shown = capsys.readouterr()
    assert "run/b" in shown.out
    assert "run/c" in shown.out
    assert "run/a" not in shown.out
    assert "Not shown: The run 'a' is damaged" in shown.err
    assert main(["show", "run/a", "--store", str(store.path)]) == 1
    assert main(["show", "run/b", "--store", str(store.path)]) == 0
    assert main(["doctor", "--store", str(store.path)]) == 1
    assert "The run 'a' is damaged" in capsys.readouterr().out


def test_a_name_of_an_older_store_commands_no_terminal(tmp_path, capsys, monkeypatch):
    store = Store(tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr("thalweg.storage.records.check_names", lambda *_: None)
        store.put("run", "\x1b]0;title\x07\x1b[2J", {})
    assert main(["show", "--store", str(store.path)]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x07" not in said
    assert r"run/\x1b]0;title\x07\x1b[2J" in said


@pytest.mark.parametrize("seeds", [20240101, 10**30, np.int64(20240101)])
def test_a_date_is_no_number_of_members(seeds):
    sentence = rf"seeds={seeds} asks for {int(seeds):,} members; write seeds=\[{seeds}\]"
    with pytest.raises(UsageError, match=sentence):
        tw.train(problem(), RECIPE, seeds)
    with pytest.raises(UsageError, match=sentence):
        problem().initialize(seeds)
    assert tw.train(problem(), RECIPE, [20240101], until=1).axes["seed"].tolist() == [20240101]


def test_more_members_than_fit_the_memory(monkeypatch):
    monkeypatch.setattr("thalweg.randomness._memory", lambda: 1000.0)
    sentence = (
        r"seeds=1234 asks for 1,234 members of 32 bytes each, 39.5 kB in all, and this machine has 1.0 kB; write "
        r"fewer members, and others in a further call, or seeds=\[1234\] for the one of that seed"
    )
    with pytest.raises(UsageError, match=sentence):
        problem().initialize(1234)
    with pytest.raises(UsageError, match=sentence):
        tw.train(problem(), RECIPE, np.int64(1234))


def test_numbers_of_members_are_anyones():
    assert len(problem().initialize(np.int64(3))) == 3
    with pytest.raises(UsageError, match="how many members, or a list of seeds; got True"):
        problem().initialize(True)
    for number in (torch.tensor(2), np.array(2)):
        assert len(problem().initialize(number)) == len(tw.train(problem(), RECIPE, number).final) == 2
    for none in (0, [], torch.tensor(0)):
        with pytest.raises(UsageError, match="initialize seeds must be how many, at least 1"):
            problem().initialize(none)
    with pytest.raises(UsageError, match="each once; got 0"):
        tw.train(problem(), RECIPE, 0)


@pytest.mark.parametrize("seed", [0.7, "1", None, float("nan"), 1j, [1]])
def test_a_seed_that_is_no_whole_number(seed):
    with pytest.raises(UsageError, match="A seed is a whole number"):
        tw.data.digits(seed=seed)
    with pytest.raises(UsageError, match="A seed is a whole number"):
        tw.data.mnist1d(train=80, test=20, seed=seed)
    assert tw.data.digits(seed=np.int64(3)).notes == tw.data.digits(seed=3).notes


def test_an_empty_path_is_no_store():
    assert_said_at_once(UsageError, "needs the path of its folder", store="")
