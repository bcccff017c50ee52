"""Operations modulo p that are an addition under other names of the tokens."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.data import Examples
from thalweg.errors import UsageError, check_choice, check_count
from thalweg.population import Problem

OPERATIONS = ("+", "-", "*", "/")


@dataclass(frozen=True, eq=False)
class Group:
    """How a table of an operation is the table of an addition: answer[x + y mod order] = first[x] o second[y].

    >>> from thalweg.generalization.grokking import as_addition
    >>> group = as_addition(7, "*")
    >>> group.order, int(group.answer[(2 + 3) % 6]), int(group.first[2] * group.second[3] % 7)
    (6, 5, 5)

    Args:
        p: the modulus.
        operation: "+", "-", "*" or "/".
        order: how many elements are added modulo: p, or p - 1 without the zero for "*" and "/".
        first, second, answer: the tokens that stand for elements 0 to order - 1 in either place and in the answer.
    """

    p: int
    operation: str
    order: int
    first: Int64[Tensor, " order"]
    second: Int64[Tensor, " order"]
    answer: Int64[Tensor, " order"]

    @property
    def pairs(self) -> Int64[Tensor, "pairs 3"]:
        """The tokens (a, b, =) of all pairs of elements, the second running faster: (order^2, 3)."""
        tokens = torch.cartesian_prod(self.first, self.second)
        return torch.cat([tokens, torch.full((len(tokens), 1), self.p)], dim=1)

    @property
    def answers(self) -> Int64[Tensor, " pairs"]:
        """Their answers: (order^2,)."""
        elements = torch.arange(self.order)
        return self.answer[(elements[:, None] + elements) % self.order].flatten()


def as_addition(p: int, operation: str = "+") -> Group:
    """The table of an operation modulo a prime as that of an addition.

    "-" with the second token negated; "*" and "/" by logarithms to a primitive root g: with a = g^x and b = g^y,
    a b = g^(x + y), an addition modulo p - 1. The zero has no logarithm and is left out.

    >>> from thalweg.generalization.grokking import as_addition
    >>> as_addition(5, "-").second.tolist()
    [0, 4, 3, 2, 1]

    Args:
        p: an odd prime.
        operation: "+", "-", "*" or "/".

    Raises:
        UsageError: another operation, or a modulus that is no odd prime: with a composite one frequencies are not
            alike (some tell only a quotient of the tokens apart), and a product has no logarithms.
    """
    check_choice("as_addition operation", operation, OPERATIONS)
    check_count("as_addition p", p, least=2)
    divisor = next((d for d in range(2, p) if p % d == 0), None)
    if p == 2 or divisor is not None:
        why = f"it is {divisor} times {p // divisor}" if divisor else "2 has a single frequency"
        msg = f"The Fourier analysis of a table needs a modulus that is an odd prime, such as 31 or 59; got {p}: {why}."
        raise UsageError(msg)
    elements = torch.arange(p)
    if operation in "+-":
        second = elements if operation == "+" else (-elements) % p
        return Group(p, operation, p, elements, second, elements)
    powers = torch.tensor(_powers(p))
    inverse = powers[(-torch.arange(p - 1)) % (p - 1)]
    return Group(p, operation, p - 1, powers, powers if operation == "*" else inverse, powers)


def _powers(p: int) -> list[int]:
    """g^0, g^1, ..., g^(p - 2) of the least primitive root."""
    for root in range(2, p):
        powers = [pow(root, x, p) for x in range(p - 1)]
        if len(set(powers)) == p - 1:
            return powers
    return [1, 2][: p - 1]  # of 3, whose root is 2 = p - 1


def table_of(problem: Problem, group: Group) -> Examples:
    """All pairs of a group's elements as inputs of the problem's model, with their answers, in the order of the group.

    Raises:
        UsageError: the problem's inputs are neither tokens nor one-hot codes of pairs modulo p.
    """
    inputs, _ = problem.data.train.take(torch.arange(1))
    tokens = group.pairs.to(problem.device)
    if isinstance(inputs, Tensor) and inputs.shape[1:] == (3,) and not inputs.is_floating_point():
        return Examples(tokens, group.answers.to(problem.device))
    if isinstance(inputs, Tensor) and inputs.shape[1:] == (2 * group.p,):
        codes = [torch.nn.functional.one_hot(tokens[:, place], group.p) for place in (0, 1)]
        return Examples(torch.cat(codes, dim=1).to(inputs.dtype), group.answers.to(problem.device))
    got = tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else type(inputs).__name__
    msg = (
        f"The table of pairs modulo {group.p} is fed as data.modular({group.p}) makes it, tokens (3,) or one-hot codes "
        f"({2 * group.p},); an input of this problem is {got}."
    )
    raise UsageError(msg)


def frequencies(order: int) -> np.ndarray:
    """The frequencies 1 to order // 2 of real functions on a group of this order, without the constant."""
    return np.arange(1, order // 2 + 1)
