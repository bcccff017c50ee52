"""To a Ray cluster: one of this machine that is started, or one that is joined."""

import contextlib
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from thalweg.errors import WorkerError
from thalweg.workers.own_cluster import cores, settings_kept, settings_of_own, start

_PATIENCE = 10.0  # seconds until a cluster that does not answer is given up
_QUIET = {"configure_logging": True, "log_to_driver": False, "logging_level": "ERROR"}
_SETTINGS = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # what Ray will do in future versions, which it warns of

_lock = threading.Lock()
_users = 0  # calls that use a connection made here
_made = contextlib.ExitStack()  # what goes with it


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected while the block runs; a connection that the process has already is used and kept.

    Args:
        address: of a cluster; None starts one of this machine, which ends with the block.

    Raises:
        WorkerError: Ray is not installed, or no cluster answers.
    """
    global _users
    ray = _import()
    with _lock:
        ours = _users > 0 or not ray.is_initialized()
        if ours and _users == 0:
            _connect(ray, address)
        _users += ours
    try:
        yield ray
    finally:
        with _lock:
            _users -= ours
            if ours and _users == 0:
                _made.close()


def processors(address: str | None) -> int:
    """How many a cluster has.

    Args:
        address: of the cluster; None is this machine.
    """
    if address is None:
        return cores()
    with connected(address) as ray:
        return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _import() -> Any:
    os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
    try:
        import ray
    except ImportError as error:
        msg = "Ray is not installed; write: pip install 'thalweg[cluster]'."
        raise WorkerError(msg) from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        _made.enter_context(settings_of_own(ray) if address is None else settings_kept(ray))
        _made.callback(ray.shutdown)
        if address is None:
            start(ray, _QUIET)
        else:
            _join(ray, address)
    except BaseException:
        with contextlib.suppress(Exception):
            _made.close()
        raise
    finally:
        if threading.current_thread() is threading.main_thread() and terminated is not None:
            signal.signal(signal.SIGTERM, terminated)  # Ray takes it for itself


def _join(ray: Any, address: str) -> None:
    if address != "auto":
        _knock(address)
    error = _within(_PATIENCE, lambda: ray.init(address, **_QUIET))
    if error is not None:
        words = " ".join(str(error).split()).rstrip(".")
        reason = f" ({words})" if words else ""
        msg = (
            f"The Ray cluster at {address} could not be joined within {_PATIENCE:.0f} s{reason}: start it with "
            "`ray start --head`, and where it wants a token, give the same one by RAY_AUTH_TOKEN."
        )
        raise WorkerError(msg) from error
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        warnings.warn(
            f"The Ray cluster at {address} was joined without a token: whoever reaches it can run code in it. Start it "
            "with RAY_AUTH_MODE=token and a token of `ray get-auth-token --generate`, here too.",
            stacklevel=2,
        )


def _knock(address: str) -> None:
    """Refuse an address where nothing listens, for which Ray would wait long."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        msg = f"No Ray cluster answers at {address} within {_PATIENCE:.0f} s ({error}); start it, or write its address."
        raise WorkerError(msg) from error


def _within(seconds: float, call: Callable[[], Any]) -> Exception | None:
    """What a call raised; it is left behind when it takes longer."""
    errors: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return TimeoutError("it does not answer")
    return errors[0] if errors else None
