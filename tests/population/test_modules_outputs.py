"""Outputs with None, scalars and caches beside what a loss uses, and batches that are dicts with labels."""

import collections
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from population.foreign import TOKENS, Foreign, X, Y, assert_as_plain, double  # noqa: F401
from torch import Tensor, nn
from torch.utils.data import DataLoader

import thalweg as tw
from thalweg.errors import DataError, ModelError
from thalweg.population import Problem


def body() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


class ModelOutput(collections.OrderedDict[str, Any]):
    """As Hugging Face's: a dataclass that is an ordered dict of what is not None."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:  # pyrefly: ignore
            if getattr(self, name) is not None:
                super().__setitem__(name, getattr(self, name))

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else tuple(self.values())[key]


@dataclass
class Causal(ModelOutput):
    loss: Any = None
    logits: Any = None
    past_key_values: Any = None


class Cache:
    """A cache of keys and values."""

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys


class Classifier(nn.Module):
    """As Hugging Face's: computes a loss where it is given labels, and returns a cache."""

    def __init__(self) -> None:
        super().__init__()
        self.body = body()

    def forward(self, x: Tensor, labels: Tensor | None = None, use_cache: bool = True) -> Any:
        logits = self.body(x)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return Causal(loss=loss, logits=logits, past_key_values=Cache(logits) if use_cache else None)


@dataclass
class Plain:
    logits: Tensor
    extra: None = None


Named = collections.namedtuple("Named", "logits hidden")


class Returning(nn.Module):
    """Returns what a function makes of its logits."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.body, self.made = body(), made

    def forward(self, x: Tensor) -> Any:
        return self.made(self.body(x))


OF_LOGITS = lambda output, target: F.cross_entropy(output.logits, target)  # noqa: E731
OF_KEY = lambda output, target: F.cross_entropy(output["logits"], target)  # noqa: E731
OF_FIRST = lambda output, target: F.cross_entropy(output[0], target)  # noqa: E731


def unpacked(output: Any, target: Tensor) -> Tensor:
    logits, nothing = output
    assert nothing is None
    return F.cross_entropy(logits, target)


CASES = {
    "a cache": Foreign(Classifier, loss=OF_LOGITS),
    "by position, as Hugging Face counts": Foreign(Classifier, loss=OF_FIRST),
    "a loss beside": Foreign(Classifier, {"x": X, "labels": Y}, loss=OF_LOGITS),
    "None beside": Foreign(lambda: Returning(lambda y: (y, None)), loss=unpacked),
    "None first": Foreign(lambda: Returning(lambda y: (None, y)), loss=lambda o, t: F.cross_entropy(o[1], t)),
    "a scalar beside": Foreign(lambda: Returning(lambda y: (y, y.mean())), loss=OF_FIRST),
    "a dict with numbers and text": Foreign(
        lambda: Returning(lambda y: {"logits": y, "steps": 3, "name": "a", "all": [y, [y, None]]}), loss=OF_KEY
    ),
    "a named tuple": Foreign(lambda: Returning(lambda y: Named(y, [y, None])), loss=OF_LOGITS),
    "a dataclass": Foreign(lambda: Returning(Plain), loss=OF_LOGITS),
    "positions of all examples": Foreign(
        lambda: Returning(lambda y: {"logits": y, "at": torch.arange(3)}), loss=OF_KEY
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_beside_the_loss_changes_nothing(case: Foreign) -> None:
    assert_as_plain(case)


def test_outputs_are_returned_without_what_is_beside() -> None:
    problem = CASES["a cache"].problem()
    found = tw.evaluation.outputs(problem, problem.initialize(2))
    assert found.logits.shape == (2, 24, 3)
    assert repr(found.past_key_values) == "Absent(output.past_key_values: a Cache)"
    assert found.loss is None
    assert list(found) == list(found.keys()) == ["logits", "past_key_values"]
    assert "logits" in found
    assert found.get("hidden") is None
    with pytest.raises(AttributeError, match="has no 'hidden'; it has logits, past_key_values"):
        found.hidden  # noqa: B018


class Recurrent(nn.Module):
    """Returns the state of its one layer, which is as long as a batch of one example."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        y, state = self.layer(x.unflatten(1, (2, 2)))
        return self.out(y[:, -1]), state


class Attending(nn.Module):
    """Returns weights over as many positions as the examples that are tried first."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.scores = body(), nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Tensor) -> Any:
        return {"logits": self.body(x), "weights": self.scores.softmax(-1)}


@pytest.mark.parametrize("last", [1, 8, 100])
@pytest.mark.parametrize("model", [Recurrent, Attending])
def test_what_has_a_row_for_each_example_is_no_matter_of_a_batch_of_that_size(
    model: type[nn.Module], last: int
) -> None:
    inputs, targets = torch.randn(512 + last, 4, dtype=torch.float64), torch.arange(512 + last) % 3
    name = 0 if model is Recurrent else "logits"
    problem = Problem(model, (inputs, targets), lambda output, target: F.cross_entropy(output[name], target))
    population = problem.initialize(2)
    found = tw.evaluation.outputs(problem, population)
    assert found[name].shape == (2, 512 + last, 3)
    beside = "output.weights" if model is Attending else "output[1]"
    assert beside in repr(found)
    plain = population.module(1)(inputs)[name]
    torch.testing.assert_close(found[name][1], plain.detach())


@pytest.mark.parametrize(
    ("loss", "used"),
    [
        (lambda output, target: output.loss, "output.loss"),
        (lambda output, target: OF_LOGITS(output, target) + 0.1 * output.loss, "output.loss"),
        (lambda output, target: torch.add(OF_LOGITS(output, target), output.loss), "output.loss"),
        (lambda output, target: output.past_key_values.keys, "output.past_key_values"),
    ],
)
def test_a_loss_that_is_of_the_whole_batch_is_refused(loss: Any, used: str) -> None:
    with pytest.raises(ModelError, match=f"uses {used} of the model, which is a .*Compute it from such outputs"):
        Problem(Classifier, ({"x": X, "labels": Y}, Y), loss)


def test_a_named_loss_and_a_single_number_say_what_they_take() -> None:
    with pytest.raises(ModelError, match=r"takes one tensor.*pass loss=lambda output, target"):
        Problem(Classifier, (X, Y))
    with pytest.raises(ModelError, match=r"a row for each example.*returned float64 \(\); a loss of the whole batch"):
        Problem(lambda: Returning(torch.mean), (X, Y))


class Encoding(collections.UserDict[str, Any]):
    """As the tokenizers' BatchEncoding."""


class Tagger(nn.Module):
    """Reads tokens by name and returns logits of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(6, 4), nn.Linear(4, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        hidden = self.embed(input_ids) * attention_mask[..., None]
        return Causal(logits=self.out(hidden.mean(1)), past_key_values=Cache(hidden))


def test_batches_that_are_dicts_with_labels() -> None:
    mask = torch.ones_like(TOKENS)
    items = [Encoding(input_ids=TOKENS[i].tolist(), attention_mask=[1] * 5, labels=int(Y[i])) for i in range(24)]
    stacked = lambda rows: Encoding({name: torch.tensor([row[name] for row in rows]) for name in rows[0]})  # noqa: E731
    wanted = Problem(Tagger, ({"input_ids": TOKENS, "attention_mask": mask}, Y), OF_LOGITS, metrics={})
    sources = [
        items,
        DataLoader(items, batch_size=5),  # pyrefly: ignore
        DataLoader(items, batch_size=5, collate_fn=stacked),  # pyrefly: ignore
        {"input_ids": TOKENS, "attention_mask": mask, "labels": Y},
    ]
    for source in sources:
        problem = Problem(Tagger, source, OF_LOGITS, metrics={})
        population = problem.initialize(2)
        assert torch.equal(tw.evaluate(problem, population)["loss"], tw.evaluate(wanted, population)["loss"])


def test_a_dict_without_labels_says_where_they_go() -> None:
    with pytest.raises(DataError, match=r"with keys 'a', 'b'; expected.*one dict with the targets under 'labels'"):
        tw.data.from_user([{"a": 1.0, "b": 2}])


class Graph:
    """As torch_geometric's: nodes of all graphs one after the other."""

    edge_index = torch.tensor([[0, 1], [1, 0]])


def test_graphs_say_how_they_become_rows() -> None:
    for source in (Graph(), [Graph(), Graph()], DataLoader([Graph()], collate_fn=lambda rows: rows[0])):  # pyrefly: ignore
        with pytest.raises(DataError, match=r"Graph is a graph with edge_index.*to_dense_adj.*numbers of nodes"):
            tw.data.from_user(source)


class Convolution(nn.Module):
    """A graph network on padded graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.out = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return self.out(torch.relu(self.near(adjacency @ x)).mean(1))


class OneGraph(nn.Module):
    """A graph network that keeps its one graph, and is asked for nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.out = nn.Linear(4, 5), nn.Linear(5, 3)
        self.register_buffer("x", X)
        self.register_buffer("adjacency", (X @ X.T > 0).double())

    def forward(self, nodes: Tensor) -> Tensor:
        hidden = torch.relu(self.near(self.adjacency @ self.x))
        return self.out(self.adjacency @ hidden)[nodes]


class Whole(OneGraph):
    """The same on a graph that is one example, with a mask of the nodes that are trained."""

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.adjacency @ torch.relu(self.near(self.adjacency @ x)))


def masked(output: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(output.mT, target["y"], reduction="none"), target["mask"]


def test_graphs_as_they_are_advised() -> None:
    draw = torch.Generator().manual_seed(0)
    many = {
        "x": torch.randn(24, 6, 4, generator=draw),
        "adjacency": (torch.rand(24, 6, 6, generator=draw) > 0.5).double(),
    }
    assert_as_plain(Foreign(Convolution, many))
    assert_as_plain(Foreign(OneGraph, torch.arange(24)))
    mask = torch.arange(24) < 16
    whole = Problem(Whole, (X[None], {"y": Y[None], "mask": mask[None]}), masked, metrics={})
    nodes = Problem(OneGraph, (torch.arange(24)[mask], Y[mask]))
    found = [tw.evaluate(problem, problem.initialize(2))["loss"] for problem in (whole, nodes)]
    torch.testing.assert_close(*found)
