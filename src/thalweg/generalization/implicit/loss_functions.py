"""The loss of a problem as plain functions of one row of parameters, as `one_step_error` takes them."""

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call

from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.guard import guarded
from thalweg.population import Batch, Population, Problem
from thalweg.population.binding import call
from thalweg.population.copying import copied
from thalweg.population.derivatives import check_functional
from thalweg.population.padding import Padding

Function = Callable[[Tensor], Tensor]


@guarded
def loss_functions(
    problem: Problem,
    population: Population,
    *,
    batches: int = 1,
    on: Sample | str | ExampleSet = "train",
) -> list[Function]:
    """theta -> mean loss on each of several batches of one size, in evaluation mode: functions of (parameters,).

    >>> import torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), dtype=torch.float64)
    >>> start, on = problem.initialize(2), tw.Sample("train", 40)
    >>> losses = tw.generalization.implicit.loss_functions(problem, start, on=on)
    >>> bool(torch.isclose(losses[0](start.theta[0]), tw.evaluate(problem, start, on)["loss"][0]))
    True

    Args:
        problem: in float64, as errors of the third order are below the rounding of float32.
        population: whose buffers and frozen parameters are meant: those of its first member.
        batches: how many, into which the examples are cut in their order.
        on: the examples, as many times as there are batches.

    Raises:
        UsageError: another precision, or examples that are not a multiple of the batches.
        ModelError: a model that draws random numbers in evaluation mode, or several batches of a weighted loss, of
            which the whole is not the mean.

    Cost: nothing until they are called.
    """
    check_type("loss_functions problem", problem, Problem, "a Problem")
    check_type("loss_functions population", population, Population, "a Population such as run.final")
    check_count("loss_functions batches", batches)
    if problem.dtype != torch.float64:
        msg = f"loss_functions are for errors below the rounding of {problem.dtype}; write dtype=torch.float64."
        raise UsageError(msg)
    problem.check(population)
    check_functional(problem)
    if batches > 1 and problem.loss.weighted:
        msg = f"{problem.loss.name} is weighted, so its mean is not that of its batches; write batches=1."
        raise ModelError(msg)
    drawn = as_sample("loss_functions", on).draw(problem)
    size, rest = divmod(len(drawn), batches)
    if rest or not size:
        msg = f"loss_functions cuts {len(drawn)} examples into {batches} batches of one size, which leaves {rest}."
        raise UsageError(msg)
    parts = [Batch.range(drawn.examples, k * size, (k + 1) * size) for k in range(batches)]
    return [_function(problem, population[0], part) for part in parts]


def _function(problem: Problem, member: Population, batch: Batch) -> Function:
    module, layout = copied(problem.template).eval(), member.layout
    running, pads = tuple(member.running), problem.pads(training=False)

    def loss(theta: Tensor) -> Tensor:
        buffers = {name: buffer[0] for name, buffer in member.buffers.items()}
        own = {name: buffers[name].clone() for name in running}  # the model may write into them
        tensors = {**layout.views(theta), **buffers, **own}
        with Padding() if pads else contextlib.nullcontext():
            outputs = call(lambda *args, **names: functional_call(module, tensors, args, names), batch.inputs)
        return problem.loss.mean(outputs, batch.targets)

    return loss
