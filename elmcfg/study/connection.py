"""A connection to one dask scheduler, and what that scheduler knows of our tasks.

dask's client connects again by itself, but tasks that are submitted at that moment can get lost:
no error ever comes. So a connection here lasts as long as its scheduler process, which is known by
its id and not by its address; whoever holds one asks, from time to time, whether the scheduler
knows the tasks that it was given. Every call has a limit of time.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elmcfg.document import open_regular

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_MAX_CERTIFICATE_BYTES = 2**20
_SCHEMES = {"tcp": False, "tls": True, "ucx": False, "ws": False, "wss": True}
"""Protocols of dask between machines; whether each is encrypted."""


class ClusterError(RuntimeError):
    """The cluster cannot be used; the message says why and what to do."""


class ConnectionLostError(Exception):
    """The scheduler is gone, or another one stands in its place."""


@dataclass(frozen=True, slots=True)
class Status:
    """What a scheduler says.

    Attributes:
        workers: How many workers it has.
        states: The state of each task that was asked for; None where it does not know the task.
    """

    workers: int
    states: dict[str, str | None]


def require_dask() -> Any:
    """Return the package ``distributed`` of dask.

    Raises:
        ClusterError: If it is not installed.
    """
    try:
        import distributed
    except ImportError:
        raise ClusterError(
            "dask is not installed here; install the extra: pip install 'elmcfg[dask]'"
        ) from None
    return distributed


class Connection:
    """A client of one scheduler process.

    Args:
        address: Of the scheduler, such as ``tcp://10.0.0.1:8786``, or ``tls://...``, for which the
            certificates stand in dask's own configuration.

    Raises:
        ClusterError: If dask is not installed, or no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        distributed = require_dask()
        _require_usable(address)
        try:
            self._client: Client = distributed.Client(
                address, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except Exception as error:
            raise ClusterError(_explained(address, error)) from None
        try:
            self._scheduler_id = str(self._ask("identity")["id"])
            self._executor = self._client.get_executor(pure=False, retries=0)
        except Exception as error:
            self.close()
            raise ClusterError(_explained(address, error)) from None
        except BaseException:
            self.close()
            raise

    def submit(self, function: Callable[..., Any], *arguments: Any) -> tuple[str, Future[Any]]:
        """Give the scheduler a task.

        Returns:
            The task's key, which no other task ever has, and its result to come.

        Raises:
            ConnectionLostError: If the connection was lost.
        """
        key = f"elmcfg-{uuid.uuid4().hex}"
        try:
            return key, self._executor.submit(function, *arguments, key=key)
        except Exception as error:
            raise ConnectionLostError(str(error)) from error

    def status(self, keys: Sequence[str] = ()) -> Status:
        """Ask the scheduler for its workers and for the states of tasks.

        Raises:
            ConnectionLostError: If the scheduler that was connected to is gone.
            OSError: If there was no answer in time.
        """
        if self._client.status != "running":  # Its connection is broken, and it makes another.
            raise ConnectionLostError("the connection was closed")
        try:
            identity = self._ask("identity")
            states = self._ask("get_task_status", keys=list(keys)) if keys else {}
        except OSError:
            raise
        except Exception as error:  # dask raises what it likes while it closes.
            raise OSError(str(error)) from error
        if identity["id"] != self._scheduler_id:
            raise ConnectionLostError("another scheduler answers at the address")
        return Status(len(identity["workers"]), states)

    def alive(self) -> bool:
        """Whether the connection stands, as far as one can say without asking the scheduler."""
        return bool(self._client.status == "running")

    def run_on_workers(self, function: Callable[[], Any], seconds: float) -> dict[str, Any]:
        """Run a function in every worker, also in those that are busy.

        Returns:
            What it returned, or raised, by the worker's address.

        Raises:
            TimeoutError: If that took too long.
        """
        answer: Future[dict[str, Any]] = Future()

        def run() -> None:
            try:
                answer.set_result(self._client.run(function, on_error="return"))
            except Exception as error:
                answer.set_exception(error)

        # A worker that has stopped would hold up dask's own call for ever.
        threading.Thread(target=run, daemon=True).start()
        return answer.result(seconds)

    def close(self) -> None:
        """Take back what is not done, and leave the cluster as it was."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=_CLOSE_SECONDS)  # type: ignore[no-untyped-call]

    def _ask(self, operation: str, **arguments: Any) -> Any:
        call = getattr(self._client.scheduler, operation)
        sync: Callable[..., Any] = self._client.sync
        return sync(call, callback_timeout=_ANSWER_SECONDS, **arguments)


def _require_usable(address: str) -> None:
    """See that dask's client can begin with an address: else it waits for itself when it ends.

    Raises:
        ClusterError: If it is no address, or does not go with dask's configuration of TLS.
    """
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.security import Security

    try:
        scheme, place = parse_address(address)
        host, _ = parse_host_port(place)
    except ValueError:
        host = scheme = ""
    if scheme not in _SCHEMES or not host:
        raise ClusterError(
            f"{address!r} is not the address of a scheduler; write tcp://HOST:PORT or "
            "tls://HOST:PORT, as 'dask scheduler' prints it"
        )
    security = Security()  # type: ignore[no-untyped-call]
    if _SCHEMES[scheme]:
        _require_certificates(address, security)
    elif security.require_encryption:
        raise ClusterError(
            f"dask's configuration requires encryption, and {address} has none; start the "
            "scheduler with --protocol tls and name its address, tls://..."
        )


def _require_certificates(address: str, security: Security) -> None:
    """See that the files for TLS are there, and are what they should be."""
    files = security.get_tls_config_for_role("client")  # type: ignore[no-untyped-call]
    for key, setting in (("ca_file", "ca-file"), ("cert", "client.cert"), ("key", "client.key")):
        name = files[key]
        if name is None and key != "key":  # A key may stand in the certificate's file.
            raise ClusterError(
                f"{address} needs certificates, and dask's configuration does not say "
                f"distributed.comm.tls.{setting}; docs/how-to/cluster.md shows how to make them"
            )
        if name is None or "\n" in name:  # The text itself, in place of a file's name.
            continue
        try:
            with open_regular(Path(name), _MAX_CERTIFICATE_BYTES):
                pass
        except OSError as error:
            raise ClusterError(
                f"{name}: cannot be read: {error.strerror}; dask's configuration names it as "
                f"distributed.comm.tls.{setting}"
            ) from None
    try:
        security.get_connection_args("client")  # type: ignore[no-untyped-call]
    except OSError as error:
        names = ", ".join(name for name in dict.fromkeys(files.values()) if name)
        raise ClusterError(f"{names}: no certificates and keys of TLS: {error}") from None


def _explained(address: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    cause = " ".join(str(error.__cause__ or "").split())
    if cause not in reason:
        reason += f": {cause}"
    help_ = (
        "see that it was started with --protocol tls, and which certificates it trusts"
        if address.startswith("tls://")
        else "start one with 'dask scheduler' and name the address that it prints; that of one "
        "with TLS begins with tls://"
    )
    return f"no scheduler answers at {address} ({reason}); {help_}"
