"""What `import thalweg` promises: one vocabulary, and nothing heavy before it is used."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import readme
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import thalweg

ROOT = Path(__file__).parent.parent
HEAVY = ["torch", "numpy", "scipy", "sklearn", "plotly", "matplotlib", "rich", "tyro", "importlib.metadata"]


def _loaded_after(code: str) -> set[str]:
    """Modules a fresh interpreter holds after running the code."""
    script = f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_loads_nothing_heavy() -> None:
    before = _loaded_after("")
    assert not {name for name in HEAVY if name in _loaded_after("import thalweg; dir(thalweg)") - before}


def test_errors_and_version_need_no_torch() -> None:
    assert "torch" not in _loaded_after("import thalweg; thalweg.ThalwegError; thalweg.__version__")


def test_rules_load_without_torchs_compiler() -> None:
    """An optimizer of torch built at import would load it, which takes seconds."""
    loaded = _loaded_after("import thalweg.optim")
    assert not {name for name in loaded if name.startswith(("torch._dynamo", "thalweg.optim.testing"))}


@pytest.mark.parametrize("name", thalweg.__all__)
def test_every_advertised_name_resolves(name: str) -> None:
    value = getattr(thalweg, name)
    assert value is getattr(thalweg, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__name__ == name
        assert value.__module__.startswith("thalweg.")
    elif inspect.ismodule(value):
        assert value is importlib.import_module(f"thalweg.{name}")


VOCABULARY = [
    "Figure", "Layout", "Population", "Problem", "Reading", "Recipe", "Run", "Sample", "Store",
    "claims.Claim", "claims.Finding", "claims.Verdict", "curvature", "data.digits", "data.from_user",
    "evaluate", "evaluation.evaluate", "figures", "landscape.plane", "nets.mlp",
    "optim.AdamW", "optim.TorchOptimizer", "optim.explain", "optim.testing.check", "population.Batch", "results",
    "schedules.Cosine", "statistics.interval", "studies.Study", "sweep.log", "train", "training.train", "tuning",
]  # fmt: skip


def test_the_whole_vocabulary_is_there_after_one_import() -> None:
    """In fresh interpreters, for other tests have imported the rooms already."""
    _loaded_after("import thalweg as tw\n" + "\n".join(f"tw.{name}" for name in VOCABULARY))
    _loaded_after("import thalweg as tw; tw.optim.testing.check")


def test_dir_is_the_vocabulary_and_star_import_works() -> None:
    assert dir(thalweg) == sorted(thalweg.__all__)
    namespace: dict[str, object] = {}
    exec("from thalweg import *", namespace)
    assert set(thalweg.__all__) <= set(namespace)


def test_type_checkers_see_every_advertised_name() -> None:
    """They read imports that never run, so nothing else would notice one that is missing."""
    tree = ast.parse(Path(thalweg.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imported = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported | {"__version__"} == set(thalweg.__all__)


def test_unknown_name_is_an_attribute_error_with_the_nearest_name() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import thalweg; thalweg.Populaton"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "has no attribute 'Populaton'" in done.stderr
    assert "Did you mean: 'Population'" in done.stderr


def test_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert thalweg.__version__ == project["version"]


def test_every_requirement_is_pinned() -> None:
    """An unpinned one would change under the tests' feet."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert {canonicalize_name(Requirement(one).name) for one in wanted} <= pins


def test_the_readme_runs_and_prints_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decimals may differ: what training comes to depends on the processor."""
    shown: list[thalweg.Figure] = []
    monkeypatch.setattr(thalweg.Figure, "show", lambda figure: shown.append(figure))
    printed = list(readme.run({}))
    assert [one.source for one in printed if not readme.agree(one.output, one.said)] == []
    assert len(printed) > 5
    assert len(shown) > 2


def test_printed_texts_agree_but_for_what_rounding_does() -> None:
    assert readme.agree("Run(members 5; loss 0.512 nats)", "Run(members 5;\nloss 0.48 nats)")
    assert not readme.agree("Run(members 5; loss 0.512 nats)", "Run(members 5; loss 0.9 nats)")
    assert not readme.agree("Run(members 5; loss 0.512 nats)", "Run(members 6; loss 0.512 nats)")
