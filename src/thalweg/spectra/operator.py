"""A symmetric matrix for every member, known by its products with vectors alone."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thalweg.errors import UsageError, check_count, check_type
from thalweg.guard import guarded
from thalweg.randomness import generator
from thalweg.spectra.symmetry import Product, Vectors, check_symmetric


class Operator:
    """A symmetric matrix A for every member, of which only products are known: `A(v)` is A v, one row a member.

    What is measured of it (eigenvalues, trace, diagonal, density) asks for products and nothing else, so A may have any
    size and come from anywhere: `curvature.hessian` makes one of a network, `from_matrix` of a tensor, and this
    constructor of your own function.

    >>> import thalweg as tw
    >>> A = tw.spectra.Operator(lambda v: 2 * v, shape=(1, 4))
    >>> tw.spectra.trace(A, products=4)["trace"].round(3).tolist()
    [8.0]

    Args:
        product: v -> A v for v (members, n); linear, symmetric, and the same at every call. A member that is not finite
            gives NaN in its own row.
        shape: (members, n) of the vectors.
        dtype, device: of the vectors.
        active: on which entries it acts, boolean (n,) or (members, n); others are 0 in A v, whatever they are in v.
            None is all.
        name: what it is, for titles: "Hessian".
        dimension: what its n entries are, for names of dimensions and for messages: "parameters".
        sample_size: on how many examples it rests, for readings; None where on none.
        notes: sentences that belong to every reading of it.
        select: for some members by index, their operator. None asks this one, with zeros for all other members.
        memory_budget: bytes that dense matrices of it may take at once.
        check: whether to check `product` (see Raises). `curvature` does not, which checks the problem once instead.

    Attributes:
        products: with one vector a member, since it was made; a measurement costs the difference.

    Raises:
        UsageError: arguments that cannot be meant, or a product that is not linear, not symmetric or not the same at
            every call: <u, A v> = <v, A u> and A (u - 2 v) = A u - 2 A v to the root of the precision, for random u, v.

    Cost: three products for the check, where the usual measurement takes 10 to 200; a wrong product would make all of
    them wrong in silence. (curvlinops checks likewise: Dangel et al., 2025, arXiv:2501.19183.)
    """

    def __init__(
        self,
        product: Product,
        *,
        shape: tuple[int, int],
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        active: Bool[Tensor, "*members n"] | None = None,
        name: str = "matrix",
        dimension: str = "entries",
        sample_size: int | None = None,
        notes: Sequence[str] = (),
        select: Callable[[Sequence[int]], "Operator"] | None = None,
        memory_budget: int = 2**30,
        check: bool = True,
    ) -> None:
        check_type("Operator product", product, Callable, "a function v -> A v")
        check_type("Operator shape", shape, tuple, "(members, n), two whole numbers")
        if len(shape) != 2:
            msg = f"Operator shape must be (members, n), two whole numbers; got {shape}."
            raise UsageError(msg)
        for what, size in zip(("members", "n"), shape, strict=True):
            check_count(f"Operator shape's {what}", size)
        self.shape, self.dtype, self.device = shape, dtype, torch.device(device)
        self.default_dtype = torch.get_default_dtype()  # in which whoever made it computes
        self.name, self.dimension, self.sample_size, self.notes = name, dimension, sample_size, tuple(notes)
        self.memory_budget, self.products = memory_budget, 0
        self._product, self._select = product, select
        self._active = None if active is None else self._fitting("active", active, torch.bool)
        if check:
            draws = [self.gaussian(generator(0, "operator", place)) for place in range(2)]
            check_symmetric(self, *draws)
            self.products = 0

    @guarded
    def __call__(self, vectors: Vectors) -> Vectors:
        """A v, one row a member.

        Raises:
            UsageError: vectors of another shape, or a product that returns one.
        """
        if tuple(vectors.shape) != self.shape:
            msg = f"This operator takes vectors {self._words}, one row a member; got {tuple(vectors.shape)}."
            raise UsageError(msg)
        images = self._product(vectors if self._active is None else vectors * self._active)
        if tuple(images.shape) != self.shape:
            msg = f"The product of an operator returns vectors {self._words}; got {tuple(images.shape)}."
            raise UsageError(msg)
        self.products += 1
        return images if self._active is None else images * self._active

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator["Operator"]:
        return (self[member] for member in range(len(self)))

    def __repr__(self) -> str:
        return f"Operator({self.name}, members={self.shape[0]}, {self.dimension}={self.shape[1]})"

    def __getitem__(self, members: int | slice | Sequence[int]) -> "Operator":
        """The operator of some members, always as one of all it has (an integer gives an operator of one member)."""
        places = range(len(self))[members] if isinstance(members, slice) else members
        places = [places] if isinstance(places, int) else list(places)
        for place in places:
            if not -len(self) <= place < len(self):
                msg = f"There is no member {place}; the operator has {len(self)} (0 to {len(self) - 1})."
                raise UsageError(msg)
        if self._select is not None:
            return self._select(places)

        def product(vectors: Vectors) -> Vectors:
            whole = torch.zeros(self.shape, dtype=self.dtype, device=self.device)
            whole[places] = vectors
            return self(whole)[places]

        active = None if self._active is None else self._active[places]
        return self._derived(product, self.name, active, shape=(len(places), self.shape[1]))

    @property
    def active(self) -> Bool[Tensor, "members n"]:
        """On which entries of which member it acts; the others give 0."""
        if self._active is None:
            return torch.ones(self.shape, dtype=torch.bool, device=self.device)
        return self._active

    def block(self, within: Bool[Tensor, "*members n"], name: str | None = None) -> "Operator":
        """The block of A on some entries: the same operator with no others active.

        >>> import torch
        >>> import thalweg as tw
        >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([1.0, 2.0, 4.0])))
        >>> tw.spectra.as_matrix(A.block(torch.tensor([True, False, True])))[0].diagonal().tolist()
        [1.0, 0.0, 4.0]

        Args:
            within: boolean (n,) or (members, n).
            name: for titles; None is "block of the" A's.

        Raises:
            UsageError: no such mask.
        """
        inside = self._fitting("block", within, torch.bool) & self.active
        name = f"block of the {self.name}" if name is None else name
        return self._derived(self, name, inside, lambda places: self[places].block(inside[places], name))

    def scaled(self, diagonal: Float[Tensor, "*members n"], name: str | None = None) -> "Operator":
        """S A S with S = diag(s): the preconditioned matrix where s is P^(-1/2). Where s is 0, it does not act.

        >>> import torch
        >>> import thalweg as tw
        >>> A = tw.spectra.from_matrix(torch.ones(2, 2))
        >>> tw.spectra.as_matrix(A.scaled(torch.tensor([1.0, 3.0])))[0].tolist()
        [[1.0, 3.0], [3.0, 9.0]]

        Args:
            diagonal: s, (n,) or (members, n).
            name: for titles; None is "scaled" and A's.

        Raises:
            UsageError: no such diagonal.
        """
        s = self._fitting("diagonal", diagonal, self.dtype)
        name = f"scaled {self.name}" if name is None else name

        def product(vectors: Vectors) -> Vectors:
            return self(vectors * s) * s

        return self._derived(product, name, (s != 0) & self.active, lambda places: self[places].scaled(s[places], name))

    def gaussian(self, draw: torch.Generator) -> Vectors:
        """Standard normal vectors on its active entries, the same numbers for every member."""
        return self._on_active(torch.randn(self.shape[1], generator=draw, dtype=torch.float64))

    def rademacher(self, draw: torch.Generator) -> Vectors:
        """Vectors of +1 and -1 on its active entries, the same for every member."""
        return self._on_active(torch.randint(2, (self.shape[1],), generator=draw, dtype=torch.float64) * 2 - 1)

    @property
    def _words(self) -> str:
        return f"(members, {self.dimension}) of shape {self.shape}"

    def _on_active(self, numbers: Float[Tensor, " n"]) -> Vectors:
        vectors = numbers.to(self.device, self.dtype).expand(self.shape)
        return vectors.clone() if self._active is None else vectors * self._active

    def _fitting(self, what: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """A tensor (n,) or (members, n) as one row a member."""
        check_type(f"Operator {what}", tensor, Tensor, f"a tensor ({self.shape[1]},) or {self.shape}")
        if tuple(tensor.shape) not in ((self.shape[1],), self.shape):
            msg = f"Operator {what} must be ({self.shape[1]},) or {self.shape}; got {tuple(tensor.shape)}."
            raise UsageError(msg)
        if dtype == torch.bool and tensor.dtype != dtype:
            msg = f"Operator {what} must be boolean, True where it acts; got {tensor.dtype}; write mask != 0."
            raise UsageError(msg)
        return tensor.to(self.device, dtype).expand(self.shape)

    def _derived(
        self,
        product: Product,
        name: str,
        active: Tensor | None,
        select: Callable[[Sequence[int]], "Operator"] | None = None,
        shape: tuple[int, int] | None = None,
    ) -> "Operator":
        """An operator whose products are made of this one's."""
        return Operator(
            product,
            shape=self.shape if shape is None else shape,
            dtype=self.dtype,
            device=self.device,
            active=active,
            name=name,
            dimension=self.dimension,
            sample_size=self.sample_size,
            notes=self.notes,
            select=select,
            memory_budget=self.memory_budget,
            check=False,
        )
