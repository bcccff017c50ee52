"""A training set, a held-out set, and what is known about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from thalweg.data.examples import Examples
from thalweg.data.lazy_examples import LazyExamples
from thalweg.data.trees import described, joined, moved, named
from thalweg.errors import DataError, UsageError, check_count, check_type
from thalweg.randomness import generator

ExampleSet = Examples | LazyExamples


@dataclass(frozen=True, eq=False)
class Data:
    """What a problem is trained and tested on.

    Args:
        train: the training examples.
        test: held-out examples, or None.
        name: for titles and file names.
        classes: number of classes (or of tokens) where targets are integers; None otherwise.
        notes: what was done to the data, one sentence each.
        ground_truth: what is known to be true of the data, by name: the coefficients of a linear teacher, the
            vocabulary of a text.
        flipped: which training labels are wrong on purpose, (examples,); None: none.

    >>> import thalweg as tw
    >>> data = tw.data.digits()
    >>> noisy = data.subset(train=200).with_label_noise(0.1, seed=0)
    >>> len(noisy.train), int(noisy.flipped.sum())
    (200, 20)
    """

    train: ExampleSet
    test: ExampleSet | None = None
    name: str = "own"
    classes: int | None = None
    notes: tuple[str, ...] = ()
    ground_truth: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    flipped: Bool[Tensor, " examples"] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for role, rows in (("train", self.train), ("test", self.test)):
            if not isinstance(rows, Examples | LazyExamples) and (rows is not None or role == "train"):
                msg = f"{role} is {type(rows).__name__}, not Examples; write thalweg.data.from_user(train, test)."
                raise UsageError(msg)
        if self.test is not None:
            mine, theirs = _row_shapes(self.train), _row_shapes(self.test)
            if mine != theirs:
                name = next(name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name))
                here, there = (shapes.get(name, "missing") for shapes in (mine, theirs))
                msg = f"Held-out examples must be like the training ones; {name} of one is {there}, not {here}."
                raise DataError(msg)

    def with_label_noise(self, fraction: float, seed: int) -> "Data":
        """Exactly round(fraction * n) training labels replaced by a uniformly drawn *other* class.

        Which and what they become is drawn from the stream (seed, "label noise"); under one seed the
        labels flipped at a smaller fraction are among those flipped, to the same classes, at a larger
        one. The test set stays as it is. `flipped` marks the changed labels.

        Raises:
            UsageError: targets are not classes, the fraction is outside 0..1, or labels are already noisy.
        """
        self._check_noise("Label noise", fraction)
        rows, clean = self._classified()
        classes = int(self.classes or 0)
        draw = generator(seed, "label noise")
        chosen = torch.randperm(len(clean), generator=draw)[: round(fraction * len(clean))]
        shift = torch.randint(1, classes, (len(clean),), generator=draw)[: len(chosen)]
        chosen, shift = chosen.to(clean.device), shift.to(clean.device)
        noisy, flipped = clean.clone(), torch.zeros_like(clean, dtype=torch.bool)
        noisy[chosen] = ((clean[chosen].long() + shift) % classes).to(clean.dtype)
        flipped[chosen] = True
        note = f"label noise: {len(chosen):,} of {len(clean):,} training labels flipped (seed {seed})"
        return replace(self, train=Examples(rows.inputs, noisy), notes=(*self.notes, note), flipped=flipped)

    def with_random_labels(self, fraction: float, seed: int) -> "Data":
        """Exactly round(fraction * n) training labels drawn anew, uniformly over all classes, their own among them.

        So a share of about fraction x (1 - 1/classes) of the labels comes to be another, which `flipped` marks. Which
        labels and what they become is drawn from the stream (seed, "random labels"); under one seed the labels drawn at
        a smaller fraction are among those drawn, as the same classes, at a larger one. The test set stays as it is.

        >>> import thalweg as tw
        >>> random = tw.data.digits().with_random_labels(1.0, seed=0)
        >>> round(float(random.flipped.float().mean()), 2)
        0.89

        Raises:
            UsageError: targets are not classes, the fraction is outside 0..1, or labels are already noisy.

        Source: Zhang et al. (2016), Understanding deep learning requires rethinking generalization, arXiv:1611.03530.
        """
        self._check_noise("A share of random labels", fraction)
        rows, clean = self._classified()
        draw = generator(seed, "random labels")
        chosen = torch.randperm(len(clean), generator=draw)[: round(fraction * len(clean))]
        labels = torch.randint(0, int(self.classes or 0), (len(clean),), generator=draw)[: len(chosen)]
        random = clean.clone()
        random[chosen.to(clean.device)] = labels.to(clean)
        note = f"random labels: {len(chosen):,} of {len(clean):,} training labels drawn anew (seed {seed})"
        return replace(
            self, train=Examples(rows.inputs, random), notes=(*self.notes, note), flipped=torch.ne(random, clean)
        )

    def subset(self, train: int | None = None, test: int | None = None, seed: int = 0) -> "Data":
        """That many training and held-out examples, drawn without replacement; None keeps all.

        A smaller subset is the beginning of a larger one of the same seed.
        """
        chosen = _drawn(len(self.train), train, seed, "train")
        flipped = self.flipped
        if flipped is not None and chosen is not None:
            flipped = flipped[chosen.to(flipped.device)]
        held_out = self.test
        if test is not None:
            if held_out is None:
                msg = f"{self.name!r} has no held-out examples, so test={test} cannot be drawn from them."
                raise UsageError(msg)
            held_out = _chosen(held_out, _drawn(len(held_out), test, seed, "test"))
        return replace(
            self,
            train=_chosen(self.train, chosen),
            test=held_out,
            notes=(*self.notes, f"subset: train {train or 'all'}, test {test or 'all'} (seed {seed})"),
            flipped=flipped,
        )

    def split_anew(self, train: int, *, seed: int = 0, stream: str = "split anew") -> "Data":
        """All examples of both sets together: as many as asked for to train on, all others held out.

        For a small training set whose test errors are told apart by many test examples.

        >>> import thalweg as tw
        >>> data = tw.data.digits().split_anew(128)
        >>> len(data.train), len(data.test)
        (128, 1669)

        Args:
            train: how many to train on, drawn without replacement.
            seed, stream: the stream of the draw; a smaller training set is the beginning of a larger one.

        Raises:
            UsageError: fewer than one example would be left on one side, examples that are not in memory, or labels
                that are noisy already.
        """
        parts = [part for part in (self.train, self.test) if isinstance(part, Examples)]
        total = sum(map(len, parts))
        if isinstance(self.train, LazyExamples) or isinstance(self.test, LazyExamples) or self.flipped is not None:
            msg = f"split_anew mixes clean examples in memory; {self.name!r} has noisy labels or reads its examples."
            raise UsageError(msg)
        check_count("split_anew train", train)
        if train >= total:
            msg = f"split_anew leaves at least one example to test on; got train={train} of {total:,}."
            raise UsageError(msg)
        inputs, targets = (
            joined([part.inputs for part in parts], "inputs"),
            joined([p.targets for p in parts], "targets"),
        )
        whole = Examples(inputs, targets)
        order = torch.randperm(total, generator=generator(seed, stream))
        return replace(
            self,
            train=whole.select(order[:train]),
            test=whole.select(order[train:]),
            notes=(*self.notes, f"split anew: {train:,} to train on, {total - train:,} held out (seed {seed})"),
        )

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "Data":
        """The same data on another device; floating tensors are cast, integer ones stay."""
        return replace(
            self,
            train=self.train.to(device, dtype),
            test=None if self.test is None else self.test.to(device, dtype),
            ground_truth={name: moved(tensor, device, dtype) for name, tensor in self.ground_truth.items()},
            flipped=None if self.flipped is None else self.flipped.to(device),
        )

    def _check_noise(self, what: str, fraction: float) -> None:
        """That it is a share of labels that are clean so far."""
        check_type(what, fraction, (int, float), "a fraction of the training labels between 0 and 1")
        if not 0 <= fraction <= 1:
            msg = f"{what} is a fraction of the training labels between 0 and 1; got {fraction}."
            raise UsageError(msg)
        if self.flipped is not None:
            msg = f"The labels of {self.name!r} are noisy already; start from the clean data."
            raise UsageError(msg)

    def _classified(self) -> tuple[Examples, Tensor]:
        """The training examples and their targets, where these are one class per example."""
        if isinstance(self.train, LazyExamples):
            msg = f"The labels of {self.name!r} are not in memory; pass a larger memory_budget to from_user()."
            raise UsageError(msg)
        targets = self.train.targets
        if not isinstance(targets, Tensor) or targets.ndim != 1 or targets.is_floating_point():
            got = described(targets)
            msg = f"Noise on labels needs one integer class per example; a target of {self.name!r} is {got}."
            raise UsageError(msg)
        low, high = int(targets.min()), int(targets.max())
        if self.classes is None or self.classes < 2 or low < 0 or high >= self.classes:
            msg = (
                f"Noise on labels needs labels 0 to classes - 1 and at least two classes; {self.name!r} has "
                f"labels {low} to {high} and classes={self.classes}. Pass classes= to from_user()."
            )
            raise UsageError(msg)
        return self.train, targets


def _row_shapes(rows: ExampleSet) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of one example, by name."""
    inputs, targets = (rows.inputs, rows.targets) if isinstance(rows, Examples) else rows.first
    return {name: tuple(t.shape[1:]) for name, t in (*named(inputs, "inputs"), *named(targets, "targets"))}


def _drawn(available: int, wanted: int | None, seed: int, role: str) -> Tensor | None:
    if wanted is None:
        return None
    check_count(f"subset {role}", wanted)
    if wanted > available:
        msg = f"A subset of {wanted} {role} examples was asked for; there are {available:,}."
        raise UsageError(msg)
    return torch.randperm(available, generator=generator(seed, f"subset {role}"))[:wanted]


def _chosen(rows: ExampleSet, indices: Tensor | None) -> ExampleSet:
    return rows if indices is None else rows.select(indices)
