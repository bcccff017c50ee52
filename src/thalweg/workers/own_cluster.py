"""A Ray cluster of this machine, for one user: it listens on the loopback device only, and wants a token."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_MULTIPLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # whether nodes of other machines may join
_USAGE = "RAY_USAGE_STATS_ENABLED"  # nothing is sent to Ray's makers


def cores() -> int:
    """How many this process may use."""
    from joblib.externals.loky import cpu_count  # takes a while to import, and knows of quotas

    return cpu_count()


def start(ray: Any, options: Mapping[str, Any]) -> None:
    """Start a cluster; it ends with `ray.shutdown`."""
    with _loopback(ray):
        ray.init("local", num_cpus=cores(), include_dashboard=False, **options)


@contextlib.contextmanager
def settings_of_own(ray: Any) -> Iterator[None]:
    """The environment of a cluster that is started while the block runs: with a token, which no file keeps.

    Where the environment says that clusters want none, or which they want, that is so.
    """
    own = {_USAGE: "0", _MODE: "token"}
    if os.environ.get(_MODE, "token").lower() == "token" and _TOKEN_PATH not in os.environ:
        own[_TOKEN] = secrets.token_hex(32)
    with settings_kept(ray):
        os.environ.update({name: value for name, value in own.items() if name not in os.environ})
        _read_settings(ray)
        yield


@contextlib.contextmanager
def settings_kept(ray: Any) -> Iterator[None]:
    """Leave the environment as it was: Ray too writes there that a cluster wants a token."""
    names = _MODE, _TOKEN, _TOKEN_PATH, _USAGE
    before = {name: os.environ[name] for name in names if name in os.environ}
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)
        _read_settings(ray)


def _read_settings(ray: Any) -> None:
    """Have Ray read the environment again: in this order, as it would not find the token that it still wants."""
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _loopback(ray: Any) -> Iterator[None]:
    """Have a cluster that starts listen on the loopback device only, as Ray does by itself on Windows and macOS."""
    constants = ray._private.ray_constants
    said, clusters = os.environ.get(_MULTIPLE), constants.ENABLE_RAY_CLUSTER
    os.environ[_MULTIPLE], constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = clusters
        if said is None:
            del os.environ[_MULTIPLE]
        else:
            os.environ[_MULTIPLE] = said
