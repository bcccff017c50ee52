"""Where factors on units go: what is said to be homogeneous is, and why the rest is not is said as it is."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.population import Structure, UnitGroup
from thalweg.population.structure.roles import Layer
from thalweg.randomness import generator


class Model(nn.Module):
    """A function of some layers and parameters."""

    def __init__(self, function: Callable[["Model", Tensor], Tensor], *, images: bool) -> None:
        super().__init__()
        self.function = function
        layer = (lambda n, m: nn.Conv2d(n, m, 3, padding=1)) if images else nn.Linear
        self.a, self.b, self.one, self.o = layer(4, 6), layer(4, 6), layer(4, 1), layer(6, 3)
        self.square, self.wide = nn.Linear(6, 6), nn.Linear(12, 3)
        self.depthwise, self.p, self.slopes = nn.Conv2d(6, 6, 3, groups=6), nn.Parameter(torch.ones(6)), nn.PReLU(6)
        self.w, self.v = nn.Parameter(torch.ones(3, 6)), nn.Parameter(torch.ones(6))
        draw = generator(0, "scaling")
        with torch.no_grad():
            for tensor in self.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=draw))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


VECTORS = torch.randn(5, 4, generator=generator(0, "vectors"), dtype=torch.float64)
IMAGES = torch.randn(5, 4, 4, 4, generator=generator(0, "images"), dtype=torch.float64)


def _scaled(module: Model, group: UnitGroup, powers: dict[tuple[str, int], int]) -> None:
    factors = torch.linspace(0.5, 3, group.units, dtype=torch.float64)
    for one in group.slices:
        tensor = module.get_parameter(one.tensor)
        along = torch.ones(tensor.shape[one.dim], dtype=torch.float64)
        along[one.positions.flatten()] = factors.repeat_interleave(one.positions.shape[1])
        power = along ** powers.get((one.tensor, one.dim), 0)
        with torch.no_grad():
            tensor.mul_(power.view(*(-1 if dim == one.dim else 1 for dim in range(tensor.ndim))))


def assert_homogeneous(function: Callable[[Model, Tensor], Tensor], x: Tensor) -> None:
    """The units that layer `a` makes are said to be, and a unit that is times something leaves the function."""
    module = Model(function, images=x.ndim > 2)
    structure, before = Structure.of(module, x), module(x)
    (group,) = (one for one in structure.groups if any(own.tensor == "a.weight" for own in one.written))
    assert structure.obstacle(group) == ""
    made = {layer.weight for one in structure.writers(group) if (layer := Layer.of(one, structure.dims))}
    powers = structure.powers(group, made)
    assert powers["a.weight", 0] == 1
    _scaled(module, group, dict(powers))
    tolerance = 1e-5 if any(torch.float32 in one.arguments.values() for one in structure.operations) else 1e-12
    torch.testing.assert_close(module(x), before, rtol=tolerance, atol=tolerance)


def _written(m: Model, x: Tensor, h: Callable[[Tensor, Tensor], object]) -> Tensor:
    units, z = m.a(x).relu(), m.b(x).relu()
    h(z, units)
    return m.o(z)


def _stale(m: Model, x: Tensor) -> Tensor:
    h = m.a(x)
    view = h.view(-1, 6)
    h.mul_(m.one(x).sigmoid())
    return m.o(view)


HOMOGENEOUS: dict[str, tuple[Callable[[Model, Tensor], Tensor], Tensor]] = {
    "view_as": (lambda m, x: m.o((m.a(x).relu() + m.b(x).view_as(m.a(x))).relu()), VECTORS),
    "a parameter in cat": (lambda m, x: m.o(torch.cat([m.p[None], m.a(x).relu()])), VECTORS),
    "a parameter beside": (lambda m, x: m.o(torch.stack([m.v.expand(5, 6), m.a(x).relu()]).sum(0)), VECTORS),
    "parameter expand_as": (lambda m, x: (lambda h: m.o(h + m.p.expand_as(h)))(m.a(x).relu()), VECTORS),
    "reshape_as": (lambda m, x: (lambda h: m.o(h + m.p.expand(5, 6).reshape_as(h)))(m.a(x).relu()), VECTORS),
    "prelu": (lambda m, x: m.o(m.slopes(m.a(x))), VECTORS),
    "zero pad": (lambda m, x: m.o(F.pad(m.a(x).relu(), (1, 1, 0, 1))), IMAGES),
    "reflected pad": (lambda m, x: m.o(F.pad(m.a(x).relu(), (1, 1, 1, 1), mode="reflect")), IMAGES),
    "upsampling": (lambda m, x: m.o(F.interpolate(m.a(x).relu(), scale_factor=2, mode="bilinear")), IMAGES),
    "depthwise": (lambda m, x: m.o(m.depthwise(m.a(x).relu()).relu()), IMAGES),
    "maximum": (lambda m, x: m.o(torch.maximum(m.a(x), m.b(x))), VECTORS),
    "einsum": (lambda m, x: torch.einsum("bi,oi->bo", m.a(x).relu(), m.w), VECTORS),
    "einsum, weights first": (lambda m, x: torch.einsum("oi,bi->bo", m.w, m.a(x).relu()), VECTORS),
    "W @ h.t()": (lambda m, x: m.w @ m.a(x).relu().t(), VECTORS),
    "h @ v": (lambda m, x: m.a(x).relu() @ m.v, VECTORS),
    "a square layer": (lambda m, x: (lambda h: m.o(h + m.square(h).relu()))(m.a(x).relu()), VECTORS),
    "cast": (lambda m, x: m.o(m.a(x).relu().to(torch.float32).double()), VECTORS),
    "in place": (lambda m, x: m.o(F.dropout(m.a(x), training=False).view(-1, 6).relu_()), VECTORS),
}


@pytest.mark.parametrize("name", HOMOGENEOUS)
def test_what_is_homogeneous_leaves_the_function(name: str) -> None:
    assert_homogeneous(*HOMOGENEOUS[name])


ADDS = "adds to them what is not times the factors"
PLACE = "writes in place into a view of another value, which is read afterwards"
NOT, UNKNOWN = "is not positively homogeneous in each", "is not known to be positively homogeneous in each"
OTHERWISE: dict[str, tuple[Callable[[Model, Tensor], Tensor], str, str]] = {
    "expand_as": (lambda m, x: (lambda h: m.o(h + m.one(x).expand_as(h)))(m.a(x).relu()), "add", ADDS),
    "into a view": (lambda m, x: _written(m, x, lambda z, h: z[:, :].mul_(h)), "mul", PLACE),
    "into what a view is of": (_stale, "mul", PLACE),
    "sum": (lambda m, x: (m.a(x).relu() * m.v).sum(-1), "sum", "sums over them"),
    "maximum": (lambda m, x: m.o(torch.maximum(m.a(x), m.v)), "maximum", "compares them with what is not times"),
    "each other": (lambda m, x: (lambda u: m.o(u.relu() * u))(m.a(x)), "mul", "multiplies them with each other"),
    "tanh": (lambda m, x: m.o(m.a(x).tanh()), "tanh", NOT),
    "integers": (lambda m, x: m.o(m.a(x).int().double()), "to", NOT),
    "padded with ones": (lambda m, x: m.o(F.pad(m.a(x)[None], (0, 0, 0, 1), value=1.0)[0]), "pad", NOT),
    "cat of data": (lambda m, x: m.o(torch.cat([m.a(x), m.p * m.one(x)])), "cat", "puts them beside what is not"),
    "where": (lambda m, x: m.o(torch.where(m.one(x) > 0, m.a(x), 0.0)), "where", UNKNOWN),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_is_not_is_named_as_what_it_is(name: str) -> None:
    function, kind, why = OTHERWISE[name]
    structure = Structure.of(Model(function, images=False), VECTORS)
    (group,) = (one for one in structure.groups if any(own.tensor == "a.weight" for own in one.written))
    with pytest.raises(UsageError, match=f"would change the function: '{kind}' .*{why}"):
        structure.powers(group, ["a.weight"])
    assert structure.obstacle(group) != ""
