"""The families that are uniform over a class of networks: by counting, by covering, and by norms with a margin."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.bartlett import bartlett, bartlett_generous, spectral_complexity
from thalweg.generalization.bounds.chain import Chain
from thalweg.generalization.bounds.cover import cover
from thalweg.generalization.bounds.finite_class import finite_class
from thalweg.generalization.bounds.grids import rounded_down, rounded_up
from thalweg.generalization.bounds.layer_norms import LayerNorms
from thalweg.generalization.bounds.margins import QUANTILES
from thalweg.generalization.bounds.rademacher import (
    golowich_complexity,
    golowich_generous,
    linear_complexity,
    rademacher,
)
from thalweg.generalization.bounds.rows import NETWORK, BoundRow
from thalweg.generalization.bounds.vc import relu_dimension, vc

_LEAST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Trained:
    """What these bounds need to know of trained networks and their examples.

    Args:
        margins: (members, examples).
        lengths: of the inputs: (examples,).
        outputs: 1, or how many classes.
        norm: of all weights: (members,).
        parameters, bits: how many, and how many bits all of them have, with what layers measured of the data.
        delta: the probability with which each bound may fail.
        norms: of the layers; None where the model is no chain of them.
    """

    margins: Array
    lengths: Array
    outputs: int
    norm: Array
    parameters: int
    bits: int
    delta: float
    norms: LayerNorms | None

    @property
    def examples(self) -> int:
        """How many."""
        return self.margins.shape[1]

    @property
    def error(self) -> Array:
        """The share of wrong answers: (members,)."""
        return (self.margins <= 0).mean(1)


def counted(of: Trained) -> list[BoundRow]:
    """By how many networks there are, and by how many ways they label examples."""
    m, delta, error = of.examples, of.delta, of.error
    whole = of.bits * np.log(2)
    rows = [
        _row("finite class", finite_class(error, m, whole, delta), error, of, note=f"all weights of {of.bits:,} bits"),
        _row(
            "VC, parameters as dimension",
            vc(error, m, max(of.parameters, 1), delta),
            error,
            of,
            generous=True,
            note="the dimension of networks is mostly larger",
        ),
    ]
    if of.norms is not None and of.norms.chain.kinked:
        dimension = dimension_of(of.norms.chain, of.outputs)
        note = f"dimension at most {dimension:,.0f}"
        rows.append(_row("VC, ReLU networks", vc(error, m, dimension, delta), error, of, note=note))
    return rows


def dimension_of(chain: Chain, outputs: int) -> float:
    """The VC dimension of being wrong, at most: answers of K classes are decided by all pairs of outputs."""
    layers = chain.layers
    weights: dict[str, int] = {}
    each = []
    for layer in layers:
        own = 0
        for name, size in ((layer.weight, layer.size), (layer.bias, layer.channels)):
            if name is not None and name not in weights:
                own += weights.setdefault(name, size)
        each.append(max(own, 1))
    pairs = outputs * (outputs - 1) // 2 if outputs > 1 else 1
    return relu_dimension(each, [*(layer.units for layer in layers[:-1]), pairs])


def with_margins(of: Trained) -> list[BoundRow]:
    """By norms, at the best margin of a few quantiles of the training margins, rounded to a grid that is paid for."""
    if of.norms is None:
        return []
    wanted = np.quantile(of.margins, QUANTILES, axis=1, method="lower").T
    usable = np.isfinite(wanted) & (wanted > 0)
    gamma, price = rounded_down(np.where(usable, wanted, 1.0))
    share = (of.margins[:, None, :] < gamma[:, :, None]).mean(2)
    chain, m = of.norms.chain, of.examples
    lengths = np.hypot(of.lengths, 1.0) if chain.biased else of.lengths  # with the input that is always 1
    longest, whole = float(lengths.max()), float(np.sqrt((lengths**2).sum()))
    rows: list[BoundRow] = []

    def add(family: str, bound: Array, delta: Array | float = 1.0, *, generous: bool = False, note: str = "") -> None:
        table = np.where(usable & (delta > _LEAST), bound, np.inf)
        best = table.argmin(1)
        at = np.arange(len(table)), best
        rows.append(_row(family, table[at], share[at], of, generous=generous, note=note))

    ball, of_ball = rounded_up(of.norm)
    slope = _slope_in_parameters(chain, ball, longest) * (np.sqrt(2) if of.outputs > 1 else 1.0)
    delta = _paid(of.delta, price + of_ball[:, None])
    add(
        "cover of the parameters",
        cover(share, m, of.parameters, ball[:, None], slope[:, None] / gamma, delta),
        delta,
        note="inputs no longer than the longest seen; the slope in the parameters from the norm of all",
    )
    if len(chain.layers) == 1:
        size, of_size = rounded_up(of.norms["Frobenius"][:, 0])
        complexity = np.array([float(linear_complexity(one, lengths)) for one in size])
        paid = _paid(of.delta, price + of_size[:, None])
        linear = rademacher(share, m, complexity[:, None], paid, margin=gamma, outputs=of.outputs)
        add("Rademacher, linear", linear, paid)
    if chain.kinked:
        product, of_product = rounded_up(of.norms.product("Frobenius"))
        complexity = golowich_complexity(product, longest, len(chain.layers), m)
        paid = _paid(of.delta, price + of_product[:, None])
        printed = rademacher(share, m, complexity[:, None], paid, margin=gamma, outputs=of.outputs)
        add("Golowich, Frobenius norms", printed, paid)
        exact = of.norms.product("Frobenius")[:, None]
        bare = golowich_generous(share, m, exact, longest, margin=gamma)
        add("Golowich, constants dropped", bare, generous=True)
    _by_spectrum(of, add, share, gamma, price, whole)
    return rows


def _by_spectrum(of: Trained, add: Callable[..., None], share: Array, gamma: Array, price: Array, whole: float) -> None:
    """The bound by spectral norms, printed and generous."""
    norms = of.norms
    assert norms is not None
    chain, m = norms.chain, of.examples
    slopes = np.array(chain.slopes)
    spectral, of_spectral = rounded_up(norms["spectral"] * slopes)
    reference = "(2,1) distance" if "(2,1) distance" in norms.reading.arrays else "(2,1)"
    away, of_away = rounded_up(norms[reference])
    spent = (of_spectral + of_away).sum(1)
    printed = spectral_complexity(spectral, away)
    from_where = "the initialization" if "distance" in reference else "zero"
    paid = _paid(of.delta, price + spent[:, None])
    whole_bound = bartlett(share, m, printed[:, None], whole, max(chain.width, 2), paid, margin=gamma)
    add("Bartlett, spectral norms", whole_bound, paid, note=f"reference: {from_where}")
    small = "Frobenius distance" if "Frobenius distance" in norms.reading.arrays else "Frobenius"
    least = spectral_complexity(norms["spectral"] * slopes, norms[small])
    add(
        "Bartlett, constants dropped",
        bartlett_generous(share, m, least[:, None], whole, margin=gamma),
        generous=True,
        note=f"Frobenius norms; reference: {from_where}",
    )


def _paid(delta: float, price: Array) -> Array:
    """What is left of delta; where float64 has no such number, the smallest it has, of which no bound is made."""
    return np.maximum(delta * np.exp(-price), _LEAST)


def _slope_in_parameters(chain: Chain, ball: Array, longest: float) -> Array:
    """How fast outputs change with the parameters, at most, within a ball: (members,).

    B_x sqrt(L) (1 + B^2/(L - 1))^((L - 1)/2) times slopes of activations, and for convolutions how often a kernel
    is applied: by the product of the norms of the other layers, which is largest where they are equal.
    """
    depth = len(chain.layers)
    often = np.prod([np.sqrt(max(layer.taps, layer.positions)) for layer in chain.layers])
    steep = float(np.prod(np.maximum(chain.slopes, 1.0)))
    rest = max(depth - 1, 1)
    with np.errstate(over="ignore"):
        others = (1 + ball**2 / rest) ** ((depth - 1) / 2)
        return longest * np.sqrt(depth) * others * often * steep


def _row(family: str, bound: Array, error: Array, of: Trained, *, generous: bool = False, note: str = "") -> BoundRow:
    return BoundRow(family, bound, error, NETWORK, of.examples, 1 - of.delta, generous, note)
