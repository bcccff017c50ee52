"""How every parameter's gradients are had, and added to a kernel."""

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.ntk.gram.contraction import Gram
from thalweg.ntk.gram.features import Features, Model
from thalweg.ntk.gram.program import Program, shape_of
from thalweg.ntk.gram.sites import CONVOLUTIONS, Site, kind_of, sites_of
from thalweg.ntk.gram.terms import products, sums
from thalweg.population import Population, Problem
from thalweg.randomness import generator

_programs: weakref.WeakKeyDictionary[Problem, dict[Any, Program | str]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Part:
    """What a parameter adds to a kernel.

    Args:
        name: of the parameter.
        sites: its uses; none where its gradients are taken by themselves.
        bias: of the same operation, where its part is added along with this one.
        offset: what that adds to inner products of inputs: the square of its factor by the weight's.
    """

    name: str
    sites: tuple[Site, ...] = ()
    bias: str = ""
    offset: float = 0.0

    @property
    def way(self) -> str:
        """How it is had: "products", "sums" or "gradients"."""
        return "gradients" if not self.sites else "sums" if self.sites[0].kind == "bias" else "products"

    def add(self, gram: Gram, first: Features, second: Features) -> None:
        """Add it to a part of a kernel of these features."""
        if self.way == "products":
            factors = products(first, self.sites, offset=self.offset)
            gram.add_products(factors, factors if second is first else products(second, self.sites, offset=self.offset))
            return
        made = self._gradients(first)
        gram.add_gradients(made, made if second is first else self._gradients(second))

    def _gradients(self, features: Features) -> Tensor:
        return sums(features, self.sites) if self.sites else _as_rows(features.gradients[self.name])


def _as_rows(gradients: Tensor) -> Tensor:
    """(members, examples, outputs, size), of a parameter of any shape, a single number included."""
    return gradients.reshape(*gradients.shape[:3], -1)


@dataclass(frozen=True, eq=False)
class Plan:
    """A model whose features are contracted part by part.

    Args:
        model: with the sites and direct parameters that the parts need.
        parts: of all parameters; a bias may be in its weight's.
        note: why the model's operations are not known, where they are wanted and are not.
        sizes: of every parameter.
    """

    model: Model
    parts: tuple[Part, ...]
    sizes: Mapping[str, int]
    note: str = ""


def plan_of(problem: Problem, population: Population, inputs: Any, method: str, label: Callable[[str], str]) -> Plan:
    """The parts of all parameters: by their operations where `method` is "layers", else by their gradients.

    Args:
        problem, population: only read. A parameter that is masked in some member is had by its gradients.
        inputs: of examples (examples, ...).
        label: under which a parameter is added; a bias joins its weight where they have the same.
    """
    names, sizes = [entry.name for entry in population.layout], {one.name: one.size for one in population.layout}
    if method == "jacobian":
        return Plan(Model(problem, None, {}, tuple(names)), tuple(Part(name) for name in names), sizes)
    program = _program(problem, population, inputs)
    if isinstance(program, str):
        plan = plan_of(problem, population, inputs, "jacobian", label)
        return replace(plan, note=program)
    masked = _masked(population)
    sites = sites_of(program, [name for name in names if name not in masked])
    direct = tuple(name for name in names if name not in sites)
    joined = _joined(sites, label)
    parts = [
        Part(name, tuple(sites.get(name, ())), joined.get(name, ""), _offset(sites, name, joined.get(name)))
        for name in names
        if name not in joined.values()
    ]
    return Plan(Model(problem, program, sites, direct), tuple(parts), sizes)


def _program(problem: Problem, population: Population, inputs: Any) -> Program | str:
    """The model's program for examples like these; or why there is none."""
    shapes = tuple((tuple(leaf.shape[1:]), leaf.dtype) for leaf in tree_leaves(inputs))
    known = _programs.setdefault(problem, {})
    if shapes not in known:
        known[shapes] = _checked(problem, population, tree_map(lambda leaf: leaf[:1], inputs))
    return known[shapes]


def _checked(problem: Problem, population: Population, example: Any) -> Program | str:
    """A program that gives what the model gives, or why there is none."""
    try:
        program = Program.of(problem.template, example)
    except ModelError as error:
        return f"All parameters by their Jacobians: {error}"
    known = next((place for place, row in enumerate(population.theta) if bool(row.isfinite().all())), None)
    if known is None:
        return program
    finite = population[known : known + 1]
    names = tuple(entry.name for entry in population.layout)
    count = Model(problem, None, {}, ()).outputs(finite, example).shape[-1]
    along = torch.randn(1, count, generator=generator(0, "program"), dtype=torch.float64).to(finite.theta)
    wanted, found = (
        Model(problem, one, {}, names).features(finite, example, along).gradients for one in (None, program)
    )
    near, largest = torch.finfo(along.dtype).eps ** 0.5, max(float(one.abs().max()) for one in wanted.values())
    if not all(torch.allclose(found[name], wanted[name], rtol=near, atol=near * largest) for name in names):
        return "All parameters by their Jacobians: the model's program has other gradients than the model."
    return program


def _masked(population: Population) -> Collection[str]:
    """Parameters of which some entries are masked."""
    if population.mask is None:
        return ()
    active = population.mask.all(0)
    return [entry.name for entry in population.layout if not bool(active[entry.columns].all())]


def _joined(sites: Mapping[str, Sequence[Site]], label: Callable[[str], str]) -> dict[str, str]:
    """The bias of every weight that is used once, at a single position, by an operation that adds this bias."""
    biases = {one[0].node: name for name, one in sites.items() if len(one) == 1 and one[0].kind == "bias"}
    joined: dict[str, str] = {}
    for name, (site, *others) in sites.items():
        bias = biases.get(site.node, "")
        if site.kind != "linear" or others or not bias or label(name) != label(bias) or name == bias:
            continue
        single = len(shape_of(site.node)) == 2 and shape_of(site.node)[0] == 1
        if single and not site.turned and site.scale and kind_of(site.node) not in CONVOLUTIONS:
            joined[name] = bias
    return joined


def _offset(sites: Mapping[str, Sequence[Site]], name: str, bias: str | None) -> float:
    return 0.0 if bias is None else (sites[bias][0].scale / sites[name][0].scale) ** 2
