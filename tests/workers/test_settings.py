"""What is set in the process that sends work holds where the work is done, and is no longer there for the next."""

import warnings

import pytest
import torch
from working import results

import thalweg as tw
from thalweg.workers import Processes
from thalweg.workers.settings import Settings
from thalweg.workers.team import dismiss


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    dismiss()


@pytest.fixture
def unusual():
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.mkldnn.enabled = False
    torch.backends.cuda.enable_flash_sdp(False)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    torch.backends.mkldnn.enabled = True
    torch.backends.cuda.enable_flash_sdp(True)
    torch.set_default_dtype(torch.float32)


def reading():
    def read(item, tell):
        import torch

        return (
            torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch._C._get_mkldnn_enabled(),
            torch.backends.cuda.flash_sdp_enabled(),
            str(torch.get_default_dtype()),
        )

    return read


USUAL = ("highest", False, False, True, True, "torch.float32")


def test_switches_of_torch(unusual):
    found = results(Processes(1), reading(), [0])[0]
    assert found == ("medium", True, True, False, False, "torch.float64")


def test_switches_are_those_of_each_call():
    torch.set_default_dtype(torch.float64)
    try:
        assert results(Processes(1), reading(), [0])[0][-1] == "torch.float64"
    finally:
        torch.set_default_dtype(torch.float32)
    assert results(Processes(1), reading(), [0])[0] == USUAL


def test_torch_is_not_loaded_for_what_is_usual():
    assert not results(Processes(1), lambda item, tell: "torch" in __import__("sys").modules, [0])[0]


def warning():
    def warn(item, tell):
        import warnings

        warnings.warn("unusual numbers", RuntimeWarning, stacklevel=1)
        return item

    return warn


def test_filters_of_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "unusual", RuntimeWarning)
        with pytest.raises(RuntimeWarning, match="unusual numbers"):
            results(Processes(1), warning(), [0])
        warnings.filterwarnings("ignore", "unusual", RuntimeWarning)
        assert results(Processes(1), warning(), [0]) == {0: 0}


def test_filters_of_what_is_not_loaded_are_left_out():
    kind = type("Own", (UserWarning,), {"__module__": "nowhere.at_all"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kind)
        settings = Settings.here()
    before = list(warnings.filters)
    with settings.taken():
        assert all(one[2].__name__ != "Own" for one in warnings.filters)
    assert warnings.filters == before


def test_work_may_refer_to_modules_of_a_kind_of_their_own():
    """Cloudpickle sends submodules that a function of a script names."""

    def work(item, tell):
        torch.backends.mkldnn.is_available()
        return torch.backends.cudnn.__name__

    assert results(Processes(1), work, [0]) == {0: "torch.backends.cudnn"}


def test_a_run_is_that_of_one_process(unusual):
    """A loss that looks, in float64 as the problem is."""
    recipe = tw.Recipe(tw.optim.SGD(0.1), steps=3, batch_size=64)

    def loss(outputs, labels):
        assert torch.get_float32_matmul_precision() == "medium"
        return torch.nn.functional.cross_entropy(outputs, labels, reduction="none")

    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits(), loss=loss)
    one = tw.train(problem, recipe, 4, plan="looped")
    cut = tw.train(problem, recipe, 4, plan="looped", workers=Processes(2))
    assert torch.equal(one.final.theta, cut.final.theta)
    assert cut.final.theta.dtype == torch.float64
