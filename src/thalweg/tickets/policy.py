"""Which parameters may be pruned at all."""

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from thalweg.errors import UsageError, check_choice, unknown_name
from thalweg.population import Entry, Layout
from thalweg.population.layout import KINDS


@dataclass(frozen=True)
class Policy:
    """What may be pruned: tensors of some kinds, less those that never are, and with further ones by name.

    By default the weights of linear, convolution and attention layers, the output layer among them. Biases, scales and
    shifts of normalization layers, and embeddings stay. Densities are of what may be pruned.

    >>> import thalweg as tw
    >>> layout = tw.Layout.of(tw.nets.mlp(4, 3, 2))
    >>> [entry.name for entry in tw.tickets.Policy().entries(layout)]
    ['hidden1.weight', 'output.weight']
    >>> [entry.name for entry in tw.tickets.Policy(never=("output.weight",)).entries(layout)]
    ['hidden1.weight']

    Args:
        kinds: of tensors that may be pruned (see `population.Entry`).
        never: names of tensors that are not, whatever their kind.
        also: names of further ones that are.

    Raises:
        UsageError: a kind that does not exist.
    """

    kinds: tuple[str, ...] = ("hidden", "output")
    never: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("kinds", "never", "also"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for kind in self.kinds:
            check_choice("A kind of Policy", kind, KINDS)

    def entries(self, layout: Layout) -> tuple[Entry, ...]:
        """The tensors that may be pruned, in the order of theta.

        Raises:
            UsageError: a name that the model does not have, or nothing that may be pruned.
        """
        known = {name: entry for entry in layout for name in (entry.name, *entry.ties)}
        for name in (*self.never, *self.also):
            if name not in known:
                raise unknown_name("parameter", name, known)
        never, also = ({known[name].name for name in names} for names in (self.never, self.also))
        chosen = [one for one in layout if (one.kind in self.kinds or one.name in also) and one.name not in never]
        if not chosen:
            kinds = ", ".join(sorted({entry.kind for entry in layout}))
            msg = f"The policy leaves nothing to prune; the model has tensors of the kinds {kinds}: {self}."
            raise UsageError(msg)
        return tuple(chosen)

    def columns(self, layout: Layout) -> Bool[Tensor, " parameters"]:
        """The columns of theta that may be pruned.

        Raises:
            UsageError: as `entries`.
        """
        return layout.mark(self.entries(layout))
