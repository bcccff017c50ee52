"""Running statistics of normalization layers at points that no training has visited."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from thalweg.arguments import in_words
from thalweg.data import Examples, ExampleSet
from thalweg.errors import UsageError
from thalweg.evaluation.sample import Sample, as_sample
from thalweg.guard import guarded
from thalweg.population import Batch, Execution, Plan, Population, Problem
from thalweg.population.agreement import Named, compare
from thalweg.population.alone import moved
from thalweg.population.audit_draws import due_member
from thalweg.population.audits import found_other
from thalweg.population.copying import copied, in_mode

POLICIES = ("frozen", "interpolate", "recompute")
STATISTICS_SAMPLE = Sample("train", 1_024)


class RunningStatistics:
    """The running statistics of a population's normalization layers, made anew on given examples, in place.

    The layers keep the mean and the (unbiased) variance of all examples as one batch, as torch's do with momentum 1.
    Layers that stay in evaluation mode when the model is set to training mode keep what they have.
    `recomputed` does the same for a population as a value.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.resnet(4), tw.data.digits(image=True).subset(train=32))
    >>> population = problem.initialize(1)
    >>> tw.evaluation.RunningStatistics(problem, population, problem.data.train).recompute()
    >>> float(population.buffers["stem.1.running_mean"].abs().max()) > 0
    True

    Args:
        problem: what is evaluated.
        population: read and written at every `recompute`.
        examples: the same at every call.
        plan: see `train`.

    Memory: the activations of all these examples, in one member or in the members of a chunk of the plan.
    """

    @in_words
    def __init__(
        self, problem: Problem, population: Population, examples: ExampleSet, *, plan: Plan | str = "auto"
    ) -> None:
        self.problem, self.population, self.batch = problem, population, Batch.range(examples, 0, len(examples))
        self._by(plan)

    def _by(self, plan: Plan | str) -> None:
        """Evaluate by this plan from now on."""
        self.execution = Execution(self.problem, self.population, self.batch, plan=plan, training=False)
        self.buffers: dict[str, Tensor] = {}
        renewed = renewed_layers(self.problem.template)
        for module in self.execution.modules:
            for name, layer in module.named_modules():
                if isinstance(layer, _NormBase) and name in renewed:
                    layer.train()
                    layer.momentum = 1.0
                    for leaf in ("running_mean", "running_var", "num_batches_tracked"):
                        key = f"{name}.{leaf}".lstrip(".")
                        self.buffers[key] = self.population.buffers[key]

    def recompute(self) -> None:
        """One pass over the examples; where an audit finds that stacked statistics are others, one more, looped."""
        self._pass()
        stacked = self.execution.plan.mode == "stacked"
        audited = due_member(self.problem, "statistics", self.population) if stacked else None
        if audited is None:
            return
        member = audited[1]
        only = slice(member, member + 1)

        def alone(size: float, draw: int) -> Named:
            one, batch = moved(self.population[only].with_own_buffers(), self.batch, size, draw)
            own = RunningStatistics(self.problem, one, Examples(batch.inputs, batch.targets), plan="looped")
            own._pass()
            return dict(own.buffers)

        found = {name: buffer[only].clone() for name, buffer in self.buffers.items()}
        difference = compare(found, alone(0.0, 0), alone, self.problem.precision)
        if difference is not None and not difference.rounding:
            found_other(self.problem, difference, f"member {member} in running statistics")
            self._by(Plan("looped", 1, self.problem.unstacked))
            self._pass()

    @torch.no_grad()
    def _pass(self) -> None:
        """One pass over the examples, whose outputs nobody wants."""
        for buffer in self.buffers.values():
            buffer.zero_()  # what was not finite before would stay so: 0 times it is not 0
        for _ in self.execution.outputs(self.batch):
            pass


def renewed_layers(template: nn.Module) -> set[str]:
    """The paths of the layers whose running statistics training renews.

    Not of those that the model leaves in evaluation mode when it is set to training mode, to keep what they have.

    >>> import torch
    >>> from thalweg.evaluation.running_statistics import renewed_layers
    >>> renewed_layers(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)))
    {'1'}
    """
    layers = in_mode(copied(template), training=True).named_modules()
    return {
        path for path, layer in layers if isinstance(layer, _NormBase) and layer.track_running_stats and layer.training
    }


def tracked(problem: Problem) -> bool:
    """Whether the model has layers whose running statistics training renews."""
    return bool(renewed_layers(problem.template))


@guarded
def recomputed(
    problem: Problem,
    population: Population,
    on: Sample | str | ExampleSet = STATISTICS_SAMPLE,
    *,
    plan: Plan | str = "auto",
) -> Population:
    """The same networks with the running statistics that their normalization layers have on these examples.

    Averaged, interpolated and pruned weights need it: the statistics they come with are those of other weights
    (Izmailov et al., 2018, arXiv:1803.05407, section 3.2). Where no layer keeps statistics, the population is
    returned as it is.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.resnet(4), tw.data.digits(image=True).subset(train=50, test=50))
    >>> fresh = problem.initialize(2)
    >>> tw.evaluation.recomputed(problem, fresh, on=tw.Sample("train", 20)).running["stem.1.running_mean"].shape
    torch.Size([2, 4])

    Args:
        problem, population: only read.
        on: the examples, which are one batch.
        plan: see `train`.

    Raises:
        UsageError: arguments that cannot be meant, or a single example, which has no variance.

    Cost: one forward pass of every member. Memory: the activations of all these examples in one member.
    """
    problem.check(population)
    drawn = as_sample("recomputed", on).draw(problem)
    if not tracked(problem):
        return population
    if len(drawn) < 2:
        msg = "recomputed needs at least 2 examples, as one alone has no variance; got 1."
        raise UsageError(msg)
    own = population.with_own_buffers()
    RunningStatistics(problem, own, drawn.examples, plan=plan).recompute()
    return own
