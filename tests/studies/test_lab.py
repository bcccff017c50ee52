"""What an experiment is given: its seeds, its training, its labels, its findings."""

import dataclasses

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.claims import Claim, Part, greater, less
from thalweg.errors import UsageError
from thalweg.statistics import Interval
from thalweg.studies import Experiment, Lab, Study, decides, run

ABOVE = Interval(1.0, 0.5, 1.5, 5, "made up")


def a_claim(name: str = "X1", **changes: object) -> Claim:
    return Claim(name, "It is more.", "It is more.", greater(0), "units", **changes)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(("tuning", "shared"), [(0, 0), (0, 4), (2, 0), (2, 4)])
def test_no_seed_is_both_tuned_on_and_scored(seed: int, tuning: int, shared: int) -> None:
    seeds = Lab(seed=seed).seeds(quick=5, full=20, tuning=tuning, shared_tuning=shared)
    used = [*seeds.scored, *seeds.shared_tuning, *(one for own in seeds.own_tuning for one in own)]
    assert (len(seeds), len(seeds.shared_tuning), {len(own) for own in seeds.own_tuning}) == (5, shared, {tuning})
    assert sorted(used) == list(range(1_000 * seed, 1_000 * seed + 5 + shared + 5 * tuning))


def test_full_scale_scores_on_more_seeds_and_labs_do_not_share_any() -> None:
    quick, full, other = (Lab(*lab).seeds(quick=5, full=20) for lab in (("quick",), ("full",), ("full", 1)))
    assert (len(quick), len(full)) == (5, 20)
    assert not {*full.scored} & {*other.scored}
    with pytest.raises(UsageError, match="1,000 seeds; got 20 to score and 1000 to tune on"):
        Lab("full").seeds(quick=5, full=20, tuning=50)


def test_seeds_with_tuning_of_their_own_come_apart_again() -> None:
    seeds = Lab(seed=2).seeds(quick=3, full=9, tuning=2)
    tuned, scored = seeds.apart(np.array([seeds.own, seeds.own]))
    assert (tuned.shape, scored.shape) == ((2, 3, 2), (2, 3))
    assert (tuned[0] == seeds.own_tuning).all()
    assert (scored[1] == seeds.scored).all()
    none, all_scored = Lab().seeds(quick=3, full=9).apart(np.arange(3))
    assert (none.shape, all_scored.tolist()) == ((3, 0), [0, 1, 2])
    with pytest.raises(UsageError, match=r"a value for each of 9 seeds along the last axis; got \(8,\)"):
        seeds.apart(np.arange(8))


def a_problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), "cross_entropy")


def test_arms_start_alike_and_see_the_same_batches() -> None:
    recipe = tw.Recipe(tw.optim.SGD(0.1), steps=3, batch_size=16)
    runs = Lab().train(a_problem(), {"one": recipe, "other": recipe}, [0, 1])
    assert list(runs) == ["one", "other"]
    # Whether members are stacked is chosen by timing, so equal only up to rounding.
    torch.testing.assert_close(runs["one"].final.theta, runs["other"].final.theta)
    torch.testing.assert_close(Lab().train(a_problem(), recipe, [0, 1]).final.theta, runs["one"].final.theta)
    elsewhere = Lab().train(a_problem(), recipe, [2, 3]).final.theta
    assert float((elsewhere - runs["one"].final.theta).abs().max()) > 1e-2


def test_progress_says_which_claim_and_which_arm() -> None:
    told: list[str] = []
    lab = Lab(progress=lambda report: told.append(report.label)).on((a_claim(),))
    recipe = tw.Recipe(tw.optim.SGD(0.1), steps=1, batch_size=16)
    lab.train(a_problem(), {"slow": recipe}, [0], "scored")
    lab.train(a_problem(), recipe, [0])
    lab.train(a_problem(), {"fast": recipe}, [0])
    assert list(dict.fromkeys(told)) == ["X1, scored, slow", "X1, training", "X1, fast"]


def test_a_reading_knows_its_seeds_and_where_it_was_made() -> None:
    reading = Lab(seed=4).reading("loss", np.ones((3, 2)), {"seed": [0, 1, 2], "step": [1, 2]}, unit="nats")
    assert (reading.dims["loss"], reading.units["loss"], reading.sample_size) == (("seed", "step"), "nats", 3)
    assert reading.provenance.seed == 4
    assert Lab().reading("loss", np.ones(2), {"step": [1, 2]}).sample_size is None


def test_a_finding_knows_its_claim_and_passes_parts_wording_and_budget_on() -> None:
    claim = a_claim(parts=(Part("late", "Late.", less(0), "units"),), lecture_rule=greater(2), budget={"steps": 1_000})
    lab = Lab().on((claim,))
    reading = lab.reading("loss", [1.0], {"seed": [0]})
    finding = lab.finding(ABOVE, parts={"late": ABOVE}, lecture=ABOVE, ran={"steps": 1_000}, readings=reading)
    assert (finding.verdict.claim, finding.verdict.outcome, finding.readings) == (claim, "fails", (reading,))
    assert finding.verdict.lecture is not None
    short = lab.finding(ABOVE, parts={"late": ABOVE}, lecture=ABOVE, ran={"steps": 100}).verdict
    assert (short.outcome, short.shortfall) == ("undecided", "100 of 1,000 steps")


def test_an_experiment_of_several_claims_says_which() -> None:
    with pytest.raises(UsageError, match=r"decides \['X1', 'X2'\]; say which"):
        Lab().on((a_claim("X1"), a_claim("X2"))).finding(ABOVE)


def test_an_experiment_that_returns_and_one_that_yields() -> None:
    first, second, third = (a_claim(name) for name in ("X1", "X2", "X3"))

    @decides(first)
    def one(lab: Lab) -> tw.claims.Finding:
        return lab.finding(ABOVE)

    @decides(second, third)
    def two(lab: Lab):
        for claim in lab.claims:
            yield lab.finding(ABOVE, claim=claim)

    assert isinstance(one, Experiment)
    study = Study("two", "Two experiments", (one, two))
    assert study.claims == (first, second, third)
    assert [finding.verdict.claim.id for finding in run(study).findings] == ["X1", "X2", "X3"]


def test_an_experiment_stopped_between_two_claims_runs_again_and_the_whole_ones_do_not(tmp_path) -> None:
    ran: list[str] = []

    def study(*, stops: bool) -> Study:
        @decides(a_claim("X1"))
        def one(lab: Lab) -> tw.claims.Finding:
            ran.append("X1")
            return lab.finding(ABOVE)

        @decides(a_claim("X2"), a_claim("X3"))
        def two(lab: Lab):
            ran.append("X2")
            yield lab.finding(ABOVE, claim=lab.claims[0])
            if stops:
                raise KeyboardInterrupt
            yield lab.finding(ABOVE, claim=lab.claims[1])

        return Study("two", "Two experiments", (one, two))

    store = tw.Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(study(stops=True), store=store)
    kept = tw.claims.StudyResult.load(store, "two/quick/0/unfinished")
    assert [finding.verdict.claim.id for finding in kept.findings] == ["X1", "X2"]
    result = run(study(stops=False), store=store)
    assert ran == ["X1", "X2", "X2"]
    assert [finding.verdict.claim.id for finding in result.findings] == ["X1", "X2", "X3"]


def test_what_a_newcomer_gets_wrong_is_said() -> None:
    claim = tw.claims.Claim("X1", "It is more.", "It is more.", tw.claims.greater(0), "numbers")
    experiment = tw.studies.decides(claim)(lambda lab: lab.finding(tw.statistics.mean([1.0, 2.0])))
    with pytest.raises(UsageError, match=r"must be a tuple such as \(momentum.experiment,\); got"):
        tw.studies.Study("one", "One", experiment)
    with pytest.raises(UsageError, match=r"must be functions of the lab with @decides\(CLAIM\) above them"):
        tw.studies.Study("one", "One", (lambda lab: None,))
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    seeds = Lab().seeds(quick=2, full=2)
    with pytest.raises(UsageError, match=r"write seeds\.scored"):
        Lab().train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=1), seeds)


def test_a_catalog_entry_that_is_another_study_is_said(catalog_of_one, fake_study) -> None:
    from thalweg.studies import catalog

    catalog_of_one(dataclasses.replace(fake_study, name="other"))
    with pytest.raises(UsageError, match=r'must hold STUDY = Study\("fake", ...\); it holds the study \'other\''):
        catalog.find("fake")
    catalog_of_one(dataclasses.replace(fake_study, experiments=2 * fake_study.experiments))
    with pytest.raises(UsageError, match="FK1, FK2, FK3 is there more than once"):
        catalog.studies()
