"""What axes are called: heads and what is in them where softmax weights values, streams where branches are added."""

from collections.abc import Hashable, Sequence

from thalweg.population.structure.dimensions import Dimension, Dimensions, free_axes
from thalweg.population.structure.operation import Operation, kinds

MOVES = kinds(
    "alias avg_pool1d avg_pool2d avg_pool3d clone contiguous detach dropout expand flatten pad permute reshape slice "
    "squeeze to transpose unflatten unsqueeze view"
)  # what a shortcut may do to a value
Listed = Sequence[tuple[str, Dimensions, Sequence[Hashable]]]  # what an operation reads: name, dimensions, letters
Named = tuple[str, Dimension]  # what a dimension is called once softmax has been taken


class Tags:
    """Notes tags on axes while a trace is followed; they say what units are called, never what may be exchanged.

    "query-key", "heads", "value": of scores (products of two values, summed over a dimension of both) that go through
    softmax, and of the product of that with another value. "stream": of a value that is added to what layers that sum
    over units computed from it.
    """

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}  # one for every value that is no parameter
        self._before: dict[str, int] = {}  # of a value: those it is computed from, as a sum of bits, with its own
        self._same: dict[str, int] = {}  # those of which it is a shortcut, itself included
        self._through: dict[str, int] = {}  # those of which it is computed through sums over units
        self._scores: dict[str, tuple[Named, ...]] = {}  # of a value that is made of scores, not yet weights
        self._weights: set[str] = set()  # values that are made of softmax of scores

    def start(self, operation: Operation) -> None:
        """What holds of all that an operation gives, unless it is a product or softmax."""
        name, inputs = operation.name, operation.inputs
        before, through, scores = 0, 0, {}
        for one in inputs:
            before |= self._before.get(one, 0)
            through |= self._through.get(one, 0)
            scores |= dict.fromkeys(self._scores.get(one, ()))
        self._bits[name] = 1 << len(self._bits)
        self._before[name], self._through[name] = before | self._bits[name], through
        shortcut = self._same.get(inputs[0], 0) if inputs and operation.kind in MOVES else 0
        self._same[name] = self._bits[name] | shortcut
        self._scores[name] = tuple(scores)
        if any(one in self._weights for one in inputs):
            self._weights.add(name)

    def add(self, operation: Operation, data: Listed) -> None:
        """A sum of two values, of which one may be computed from the other."""
        if len(data) < 2 or operation.kind not in ("add", "sub"):
            return
        (one, first, first_letters), (other, second, second_letters) = data[:2]
        through, same = self._through, self._same
        if not (through.get(one, 0) & same.get(other, 0)) | (through.get(other, 0) & same.get(one, 0)):
            return
        shared = set(first_letters) & set(second_letters)
        for dimension, letter in (*zip(first, first_letters, strict=True), *zip(second, second_letters, strict=True)):
            if letter in shared:
                _tag("stream", dimension)

    def product(self, operation: Operation, data: Listed, kept: Sequence[Hashable]) -> None:
        """A sum of products, of no, one or two values that are no parameters."""
        name = operation.name
        weighted = [one for one, _, _ in data if one in self._weights]
        self._through[name], self._scores[name] = self._before[name] & ~self._bits[name], ()
        self._weights.discard(name)
        if len(data) != 2:
            return
        own = [set(letters) for _, _, letters in data]
        shared = own[0] & own[1]
        if weighted:
            for one, dimensions, letters in data:
                for dimension, letter in zip(dimensions, letters, strict=True):
                    if letter in kept and (letter in shared or one not in weighted):
                        _tag("heads" if letter in shared else "value", dimension)
        elif shared - set(kept):
            self._scores[name] = tuple(
                ("heads" if letter in kept else "query-key", dimension)
                for _, dimensions, letters in data
                for dimension, letter in zip(dimensions, letters, strict=True)
                if letter in shared
            )

    def softmax(self, operation: Operation) -> None:
        """Scores that become weights."""
        for tag, dimension in self._scores[operation.name]:
            _tag(tag, dimension)
        if self._scores[operation.name]:
            self._weights.add(operation.name)
        self._scores[operation.name] = ()


def _tag(tag: str, dimension: Dimension) -> None:
    for axis in free_axes((dimension,)):
        axis.tags.add(tag)
