"""Tasks on Ray: one cluster of this machine for most tests, and scripts with clusters of their own."""

import builtins
import os
import re
import signal
import socket
import sys
import textwrap
import time
from pathlib import Path

import pytest
from working import WAITS, alive, interruptible, quiet, results, script, until, workers_of

import thalweg as tw
from thalweg.progress import Progress
from thalweg.workers import Place, Ray, Workers, connection

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def cluster():
    with connection.connected(None) as ray:
        yield ray
    assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & set(os.environ)  # so that it is not taken for another's


def test_each_item_gives_its_result(cluster):
    assert isinstance(Ray(), Workers)
    scale = 10
    assert results(Ray(), lambda item, tell: item * scale, [3, 1, 2]) == {0: 30, 1: 10, 2: 20}
    assert results(Ray(), lambda item, tell: item, []) == {}


def test_progress_is_heard(cluster):
    def work(item, tell):
        for step in range(1, 201):
            tell(Progress(f"piece {item}", step, 200, step / 200))
            time.sleep(0.005)

    heard = []
    results(Ray(), work, ["a", "b"], lambda number, progress: heard.append((number, progress.label)))
    assert set(heard) == {(0, "piece a"), (1, "piece b")}
    assert len(heard) < 100


def test_each_has_one_thread_and_says_where_it_ran(cluster):
    def work(item, tell):
        import torch

        return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.getcwd()

    (done,) = Ray().map(work, [0], quiet)
    here = Place.here()
    assert done.found == (1, "1", os.getcwd())
    assert done.place.node in cluster.get_runtime_context().get_node_id()
    assert (done.place.cpu, done.place.threads, done.place.torch) == (here.cpu, 1, here.torch)


def test_a_killed_process_is_replaced(cluster, tmp_path):
    def work(item, tell):
        if item == 1 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert results(Ray(), work, [0, 1, 2]) == {0: 0, 1: 1, 2: 2}


def test_what_kills_its_process_each_time_is_named(cluster, tmp_path):
    def work(item, tell):
        with open(tmp_path / "tries", "a") as file:
            file.write(".")
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(tw.WorkerError, match=r"^The process of piece 1 died 3 times in a row and .* memory ran out"):
        results(Ray(), work, ["piece 1"])
    assert (tmp_path / "tries").read_text() == "..."


def test_an_error_names_its_item_and_interrupts_the_others(cluster, tmp_path):
    wait = interruptible(tmp_path)

    def work(item, tell):
        if item == "bad":
            while not (tmp_path / "begun 1").exists():
                time.sleep(0.01)
            raise LookupError("nothing there")
        return wait(item, tell)

    with pytest.raises(LookupError, match="nothing there") as caught:
        results(Ray(), work, ["bad", 1, *range(2, 20)])
    assert "In bad." in caught.value.__notes__
    assert "In the worker:\nTraceback" in caught.value.__notes__[0]
    assert (tmp_path / "kept 1").exists()


def test_who_takes_no_more_results_interrupts_the_rest(cluster, tmp_path):
    found = Ray().map(interruptible(tmp_path), [0, 1], quiet)
    assert next(found).found == 0
    found.close()
    assert (tmp_path / "kept 1").exists()


def test_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(Place, "here", classmethod(lambda cls: cls(torch="9.9", thalweg="0.1", python="3")))
    with pytest.raises(tw.WorkerError, match=r"^Node 127.0.0.1 has python \d.*\d where this process has 3; install"):
        results(Ray(), lambda item, tell: item, [0])


def test_slices_are_as_many_as_processors(cluster):
    assert Ray("auto").slices == cluster.cluster_resources()["CPU"]
    assert Ray("auto", slices=7).slices == 7


def test_nothing_listens_beyond_this_machine(cluster):
    address = cluster.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: says which address others see
        outside = probe.getsockname()[0]
    if outside.startswith("127."):
        pytest.skip("the machine has no other address")
    with pytest.raises(OSError, match=r".*"):
        socket.create_connection((outside, int(address.rpartition(":")[2])), timeout=2)


def test_ray_that_is_not_installed(monkeypatch):
    importing = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "ray":
            raise ImportError(name)
        return importing(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "ray")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(tw.WorkerError, match=r"^Ray is not installed; write: pip install 'thalweg\[cluster\]'\.$"):
        results(Ray(), lambda item, tell: item, [0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"address": 3}, 'Ray address must be "auto", "HOST:PORT" or "ray://HOST:PORT"; got 3.'),
        ({"address": "head"}, 'Ray address must be "auto", "HOST:PORT" or "ray://HOST:PORT"; got \'head\'.'),
        ({"slices": 0}, "Ray slices must be a whole number of at least 1; got 0."),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(tw.UsageError) as caught:
        Ray(**arguments)
    assert str(caught.value) == message


def test_addresses_where_nothing_or_nobody_answers(tmp_path):
    """Of which one takes connections and says nothing."""
    text = """
    import socket
    from thalweg.workers import connection
    connection._PATIENCE = 2.0
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    closed = socket.create_server(("127.0.0.1", 0)); nobody = closed.getsockname()[1]; closed.close()
    for address in (f"127.0.0.1:{nobody}", f"127.0.0.1:{port}"):
        try:
            list(Ray(address).map(lambda item, tell: item, [1], quiet))
        except Exception as error:
            print(type(error).__name__, error, flush=True)
    os._exit(0)  # Ray still waits for the silent one
    """
    out, _ = script(tmp_path, text).communicate(timeout=60)
    nothing, nobody = out.splitlines()
    assert nothing.startswith("WorkerError No Ray cluster answers at 127.0.0.1:")
    assert nobody.startswith("WorkerError The Ray cluster at 127.0.0.1:")
    assert "could not be joined within 2 s (it does not answer): start it" in nobody


MARKED = """
def marked(number, progress):
    import ray
    (folder / "session").write_text(ray._private.worker._global_node.get_session_dir_path())
"""


def of_session(tmp_path):
    """Processes of the cluster that a script started."""
    session = (tmp_path / "session").read_bytes()
    return [path for path in Path("/proc").glob("[0-9]*") if session in read(path / "cmdline")]


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_ctrl_c_gives_what_is_there_and_then_interrupts(tmp_path):
    """The cluster was started by the call, and ends with it."""
    text = """
    for done in Ray().map(work, [0, 1, 2, 3, 4, 5], marked):
        print(done.found, flush=True)
    """
    process = script(tmp_path, WAITS + MARKED + textwrap.dedent(text))
    until(lambda: (tmp_path / "begun 1").exists() and (tmp_path / "session").exists(), 60)
    assert of_session(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == "done\n"
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert (tmp_path / "kept 1").exists()
    until(lambda: not any(map(alive, workers_of(tmp_path))) and not of_session(tmp_path))


def test_the_cluster_ends_when_the_driver_is_killed(tmp_path):
    process = script(tmp_path, WAITS + MARKED + "list(Ray().map(work, [1], marked))", start_new_session=True)
    until(lambda: (tmp_path / "begun 1").exists() and (tmp_path / "session").exists(), 60)
    assert of_session(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    until(lambda: not any(map(alive, workers_of(tmp_path))) and not of_session(tmp_path))


def test_a_killed_node_is_replaced_and_a_cluster_without_a_token_is_warned_of(tmp_path):
    """The other nodes' work waits until the node that is killed has begun some."""
    text = """
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # the latter: on loopback
    import warnings
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    other = [cluster.add_node(**node) for _ in range(2)][0]

    def work(item, tell):
        import ray
        node = ray.get_runtime_context().get_node_id()
        while node == other_id or not (folder / "killed").exists():
            tell(Progress(node, 0, 1, 0.0))
            time.sleep(0.02)
        return item

    other_id = other.node_id
    def heard(number, progress):
        if progress.label == other_id and not (folder / "killed").exists():
            cluster.remove_node(other, allow_graceful=False)
            (folder / "killed").touch()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = {done.number: done.found for done in Ray(cluster.address).map(work, [0, 1, 2], heard)}
    said = [str(one.message) for one in caught if one.category is UserWarning]
    (folder / "found").write_text("\\n".join([str(sorted(found.items())), *said]))  # Ray prints of the node's death
    cluster.shutdown()
    """
    _, err = script(tmp_path, text).communicate(timeout=120)
    assert (tmp_path / "found").exists(), err
    found, *said = (tmp_path / "found").read_text().splitlines()
    assert found == "[(0, 0), (1, 1), (2, 2)]"
    assert len(said) == 1
    assert re.match(r"The Ray cluster at 127.0.0.1:\d+ was joined without a token: whoever reaches it can", said[0])
