"""What a run is known by, of code and of what it holds: that which runs, and nothing else."""

import argparse
import dataclasses
import functools
import importlib
import json
import linecache
import sys
import textwrap
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import thalweg as tw
from thalweg.errors import StorageError
from thalweg.randomness import generator
from thalweg.training.beginning import arms_of, beginning
from thalweg.training.declared import Declared
from thalweg.training.identity import identity
from thalweg.training.member_grid import MemberGrid

DRAW = generator(0, "test identity of code")
X, Y = torch.randn(60, 10, generator=DRAW), torch.randint(0, 3, (60,), generator=DRAW)


def defined(text, **around):
    """What text defines, in a namespace of its own, by name."""
    namespace = {"__name__": "users", "nn": nn, "F": F, **around}
    exec(compile(textwrap.dedent(text), "<cell>", "exec"), namespace)
    return types.SimpleNamespace(**namespace)


def said(value):
    return json.dumps(Declared().of(value))


def known(loss="cross_entropy", model=lambda: nn.Linear(10, 3)):
    """The identity of a run."""
    problem, recipe = tw.Problem(model, (X, Y), loss), tw.Recipe(tw.optim.SGD(0.1), 6, 20)
    arms = arms_of(None, None)
    grid = MemberGrid(recipe, [0], [arm.origin(paired=False) for arm in arms], None, None)
    return identity(problem, recipe, grid, beginning(problem, recipe, grid, arms))


FORWARD = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(10, 3)

    def forward(self, x):
        def within(one):
            return one if one is not None else 0

        try:
            found = [within(one) for one in (x, None) if one is not None]
        except (ValueError, KeyError):
            return None
        return self.last(found[0])
"""
TEXTS = {
    "a docstring of the method": FORWARD.replace("(self, x):", '(self, x):\n        """What is said of it."""'),
    "a docstring of the class": FORWARD.replace("(nn.Module):", '(nn.Module):\n    "What is said of it."\n'),
    "a docstring within": FORWARD.replace("(one):", '(one):\n            """Within."""\n'),
    "comments and lines": FORWARD.replace("\n", "\n\n# a comment\n"),
    "annotations": FORWARD.replace("(self, x)", '(self, x: "torch.Tensor") -> "torch.Tensor"'),
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_said_of_code_is_no_part_of_it(name):
    assert TEXTS[name] != FORWARD
    assert Declared().code(defined(TEXTS[name]).Net) == Declared().code(defined(FORWARD).Net)


@pytest.mark.parametrize(
    "change", [("None else 0", "None else 1"), ("KeyError", "TypeError"), ("found[0]", "found[0] ")]
)
def test_what_code_does_is(change):
    same = change[1].strip() == change[0]
    other = defined(FORWARD.replace(*change)).Net
    assert (Declared().code(other) == Declared().code(defined(FORWARD).Net)) == same


def test_what_is_caught_is_a_part():
    inside = "def f(x):\n    try:\n        g(x)\n        h(x)\n    except ValueError:\n        pass\n"
    outside = "def f(x):\n    try:\n        g(x)\n    except ValueError:\n        pass\n    h(x)\n"
    assert said(defined(inside).f) != said(defined(outside).f)


def test_a_file_that_is_edited_since_says_nothing_of_the_code_that_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "edited_model.py"
    file.write_text("def loss(o, t):\n    return (o[:, 0] - t) ** 2\n")
    module = importlib.import_module("edited_model")
    before = said(module.loss)
    file.write_text("def loss(o, t):\n    return (o[:, 0] - t) ** 4  # edited\n")
    linecache.checkcache()
    assert said(module.loss) == before
    sys.modules.pop("edited_model")
    linecache.clearcache()
    importlib.invalidate_caches()
    assert said(defined(file.read_text()).loss) != before


def test_an_attribute_named_like_a_global_is_none():
    text = "def f(model, x): return model.scale * x + width"
    assert said(defined(text, scale=1, width=3).f) == said(defined(text, scale=2, width=3).f)
    assert said(defined(text, scale=1, width=3).f) != said(defined(text, scale=1, width=4).f)


@pytest.mark.parametrize(
    "text",
    [
        "def f(x): return x * table['warmup']",
        "def f(x): return [one * table['warmup'] for one in x]",
        "def g(x): return table['warmup']\ndef f(x): return g(x)",
        "import functools\n@functools.cache\ndef g(x): return table['warmup']\ndef f(x): return g(x)",
        "class A:\n    @staticmethod\n    def apply(x): return table['warmup']\ndef f(x): return A.apply(x)",
        "class A:\n    warmup = table['warmup']\ndef f(x): return A.warmup",
        "def f(x, warmup=table['warmup']): return warmup",
        "def f(x): return (lambda: table['warmup'])()",
    ],
)
def test_what_code_reads_around_it_is_a_part(text):
    one, same, other = (said(defined(text, table={"warmup": warmup}).f) for warmup in (1000, 1000, 2000))
    assert one == same != other


def test_what_a_module_of_ones_own_holds_is_a_part():
    config = types.ModuleType("config")
    config.rates, config.unread = [0.1, 0.2], 1
    f = defined("def f(x): return x * config.rates[0]", config=config).f
    before = said(f)
    config.unread = 2
    assert said(f) == before
    config.rates[1] = 0.3
    assert said(f) != before


def test_an_installed_package_keeps_what_it_remembers_to_itself(tmp_path, monkeypatch):
    """The number of a session, say, which is another in every process; what was given to it is a part."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    (folder / "installed_model.py").write_text(
        textwrap.dedent("""
        import uuid
        from torch import nn

        SESSION = uuid.uuid4().hex

        class Config:
            def __init__(self, warmup):
                self.warmup, self._hash = warmup, hash(SESSION)

        class Net(nn.Module):
            session = SESSION

            def __init__(self, warmup):
                super().__init__()
                self.config, self._session = Config(warmup), SESSION

            def forward(self, x):
                return x, SESSION
        """)
    )

    def layers(warmup):
        sys.modules.pop("installed_model", None)
        return Declared().layers(importlib.import_module("installed_model").Net(warmup))

    one, same, other = (layers(warmup) for warmup in (1000, 1000, 2000))
    assert one == same != other
    assert "code" in one[0][1]


@dataclasses.dataclass
class Config:
    warmup: int


class Plain:
    def __init__(self, warmup):
        self.warmup = warmup


class Holding(nn.Module):
    """A model that holds how it computes later: no number of its start shows it."""

    def __init__(self, held, name):
        super().__init__()
        self.last = nn.Linear(10, 3)
        setattr(self, name, held)

    def forward(self, x):
        return self.last(x)


HELD = {
    "a dict": lambda warmup: {"warmup": warmup},
    "a list": lambda warmup: [0.1, warmup],
    "a set": lambda warmup: {"a", "b", warmup},
    "tables within": lambda warmup: {"schedule": [("linear", {"warmup": warmup}), None]},
    "a dataclass": Config,
    "an object": Plain,
    "a namespace": lambda warmup: types.SimpleNamespace(warmup=warmup),
    "arguments": lambda warmup: argparse.Namespace(warmup=warmup, other=[None]),
    "a long list": lambda warmup: [*range(10_000), warmup],
    "a long dict": lambda warmup: {str(one): [one] for one in range(1000)} | {"warmup": warmup},
    "a module in a list": lambda warmup: [nn.Dropout(1 / warmup)],
    "functions": lambda warmup: {"act": functools.partial(F.leaky_relu, negative_slope=warmup)},
}


@pytest.mark.parametrize("name", HELD)
def test_what_layers_hold_is_a_part_of_them(name):
    for attribute in ("cfg", "_cfg"):
        one, same, other = (Declared().layers(Holding(HELD[name](warmup), attribute)) for warmup in (1000, 1000, 2000))
        assert one == same != other
        assert len(json.dumps(one)) < 4000


@pytest.mark.parametrize("name", HELD)
def test_what_losses_hold_is_a_part_of_them(name):
    def made(held):
        return lambda output, target: F.cross_entropy(output, target, reduction="none") + 0 * len(str(held))

    one, same, other = (said(made(HELD[name](warmup))) for warmup in (1000, 1000, 2000))
    assert one == same != other


def test_two_runs_that_differ_in_a_table_are_two(tmp_path):
    def trained(warmup):
        problem = tw.Problem(lambda: Holding({"warmup": warmup}, "cfg"), (X, Y))
        steps = []
        tw.train(
            problem,
            tw.Recipe(tw.optim.SGD(0.1), 2, 20, evaluate=0),
            store=tmp_path,
            plan="looped",
            observe=lambda step, _: steps.append(step),
        )
        return len(steps)

    assert [trained(warmup) for warmup in (1000, 2000, 1000, 2000)] == [3, 3, 0, 0]


def test_what_calls_change_is_no_part():
    """Whether instructions show it or only a call; what they do not change is one all the same."""

    def counted(scale):
        calls, log, sizes, counts = 0, [], {}, Plain(0)

        def loss(output, target):
            nonlocal calls
            calls += 1
            log.append(calls)
            sizes[calls] = len(output)
            counts.warmup += 1
            return scale["by"] * F.cross_entropy(output, target, reduction="none")

        return loss

    loss = counted({"by": 1.0})
    before = known(loss)
    assert known(loss) == before == known(counted({"by": 1.0}))
    assert known(counted({"by": 1.0000001})) != before


def test_objects_that_count_their_calls_are_known():
    class Loss:
        def __init__(self, scale):
            self.calls, self.scale = 0, scale

        def __call__(self, output, target):
            self.calls += 1
            return self.scale * F.cross_entropy(output, target, reduction="none")

    loss = Loss(1.0)
    before = known(loss)
    assert known(loss) == before == known(Loss(1.0))
    assert known(Loss(1.0000001)) != before


def test_the_version_of_python_is_named_where_code_is_a_part(tmp_path):
    def loss(output, target):
        return F.cross_entropy(output, target, reduction="none")

    assert known(loss)["python"] == ".".join(map(str, sys.version_info[:2]))
    assert "python" not in known()
    problem, recipe = tw.Problem(lambda: nn.Linear(10, 3), (X, Y), loss), tw.Recipe(tw.optim.SGD(0.1), 2, 20)
    store = tw.Store(tmp_path)
    tw.train(problem, recipe, store=store, name="mine", plan="looped")
    record = store.get("run", "mine")
    older = record.document["identity"] | {"python": "3.1", "functions": "other instructions"}
    store.put("run", "mine", record.document | {"identity": older})
    with pytest.raises(StorageError, match=r"different: functions, python"):
        tw.train(problem, recipe, store=store, name="mine", plan="looped")
