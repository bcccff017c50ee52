"""What units are called: heads only where softmax weights values, streams only where residual branches are added."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from population.architectures import randomized
from torch import Tensor, nn

from thalweg.population import Structure
from thalweg.randomness import generator


class Layers(nn.Module):
    """Layers a, b, c and a bilinear one, and a function of them and the input."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.a, self.b, self.c, self.o = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.bilinear, self.conv = nn.Bilinear(6, 6, 6), nn.Conv1d(6, 6, 3, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.o(self.function(self, x))


def _scores(m: Any, x: Tensor) -> Tensor:
    return m.a(x) @ m.b(x).transpose(-1, -2) / 6**0.5


def _two_heads(m: Any, x: Tensor) -> Tensor:
    q, k = (one(x).view(2, 3, 2, 3).transpose(1, 2) for one in (m.a, m.b))
    return F.scaled_dot_product_attention(q, k, q).transpose(1, 2).flatten(2)


KINDS: dict[str, tuple[Callable[[Any, Tensor], Tensor], set[str]]] = {
    "attention": (lambda m, x: _scores(m, x).softmax(-1) @ m.c(m.b(x).tanh()), {"query-key", "value"}),
    "sdpa of heads": (_two_heads, {"heads", "query-key"}),
    "products without softmax": (lambda m, x: _scores(m, x) @ m.c(m.b(x).tanh()), {"units"}),
    "softmax of a gate": (lambda m, x: m.a(x).softmax(-1) * m.b(x), {"units"}),
    "experts weighted by a gate": (
        lambda m, x: (m.a(x)[..., :2].softmax(-1)[..., None] * m.b(x).unsqueeze(-2)).sum(-2),
        {"units"},
    ),
    "bilinear": (lambda m, x: m.bilinear(m.a(x), m.b(x)), {"units"}),
    "residual": (lambda m, x: m.a(x) + m.c(m.a(x).tanh()), {"units"}),
    "residual of one value": (lambda m, x: (lambda h: h + m.c(h.tanh()))(m.a(x)), {"stream"}),
    "branch first": (lambda m, x: (lambda h: m.c(h).tanh() + h)(m.a(x)), {"stream"}),
    "two layers added": (lambda m, x: m.a(x) + m.b(x), {"units"}),
    "low rank": (lambda m, x: m.a(x) + m.c(m.b(x)), {"units"}),
    "scale and shift": (lambda m, x: m.a(x) * (1 + m.b(x)) + m.c(m.b(x).tanh()), {"units"}),
    "state": (lambda m, x: torch.tanh(m.a(x) + m.c(torch.tanh(m.b(x)))), {"units"}),
    "what needs no layer": (lambda m, x: (lambda h: h - h.tanh())(m.a(x)), {"units"}),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    function, kinds = KINDS[name]
    x = torch.randn(2, 3, 4, generator=generator(0, "x"), dtype=torch.float64)
    structure = Structure.of(randomized(Layers(function)), x)
    assert {group.kind for group in structure.groups} == kinds


def test_dimension_1_of_a_grouped_convolution_is_fixed_where_it_is_in_no_group() -> None:
    module = Layers(lambda m, x: m.conv(m.a(x).cumsum(-1).transpose(1, 2)).mean(-1))
    structure = Structure.of(randomized(module), torch.randn(2, 3, 4, dtype=torch.float64))
    assert ("conv.weight", 1) not in {(one.tensor, one.dim) for group in structure.groups for one in group.slices}
    assert "the order of indices matters" in structure.fixed["conv.weight", 1]


def test_a_rule_that_fails_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.population.structure.structure import RULES

    def broken(*_: Any) -> Any:
        raise KeyError("a bug")

    module, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2)), torch.zeros(2, 2)
    monkeypatch.setitem(RULES, "tanh", broken)
    with pytest.raises(KeyError, match="a bug"):
        Structure.of(module, x)
    monkeypatch.setitem(RULES, "tanh", lambda *_: ())
    with pytest.raises(ValueError, match="gives shapes"):
        Structure.of(module, x)
    monkeypatch.delitem(RULES, "tanh")
    assert [one.kind for one in Structure.of(module, x).unknown] == ["tanh"]
