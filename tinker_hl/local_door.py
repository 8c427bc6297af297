"""`base_url="local"`: the one lazy door from the client to a service on this machine.

One service serves the whole process: the first client that needs it starts it, the last one to close ends it. The
module knows the service only by the name of the package and by what it offers: `base_url`, `api_key`, `close()`.
"""

import importlib
import os
import threading
from typing import Protocol

from tinker_hl import loop
from tinker_hl.errors import ConfigurationError

__all__ = ["EmbeddedService", "acquire", "key_of", "release"]

ENVIRONMENT = "TINKER_HL_LOCAL_SERVICE"
"""Tells child processes the address and the key of the service, so that a pickled client needs to hold neither."""


class EmbeddedService(Protocol):
    """A service that this process started."""

    @property
    def base_url(self) -> str:
        """Where it listens."""
        ...

    @property
    def api_key(self) -> str:
        """What opens it."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class _Shared:
    """The process's service and the number of its users. Invariant: it runs exactly while there are users."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._service: EmbeddedService | None = None
        self._users = 0
        self._process = os.getpid()
        loop.reset_after_fork(self)

    def acquire(self) -> EmbeddedService:
        with self._lock:
            if self._service is None:
                self._service = _start()
                os.environ[ENVIRONMENT] = f"{self._service.base_url.rstrip('/')} {self._service.api_key}"
            self._users += 1
            return self._service

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users > 0 or self._service is None:
                return
            service, self._service = self._service, None
            os.environ.pop(ENVIRONMENT, None)
        if os.getpid() == self._process:
            service.close()

    def after_fork(self) -> None:
        # A child may go on using its parent's service, and never ends it.
        self._lock = threading.Lock()


def acquire() -> EmbeddedService:
    """The process's service, started if need be; blocks until it is ready."""
    return _shared.acquire()


def release() -> None:
    """One user fewer; the last one ends the service."""
    _shared.release()


def key_of(base_url: str) -> str | None:
    """The key of the service at this address, if it is this process's or an ancestor's own."""
    address, _, key = os.environ.get(ENVIRONMENT, "").partition(" ")
    return key if key and address == base_url else None


def _start() -> EmbeddedService:
    try:
        embedded = importlib.import_module("tinker_local.embedded")
    except ImportError as error:
        raise ConfigurationError(
            f'base_url="local" needs the local service, which cannot be imported: {error}',
            hint="Install it with: pip install 'tinker-hl[local]'",
        ) from error
    try:
        service: EmbeddedService = embedded.start()
    except RuntimeError as error:
        raise ConfigurationError(f'base_url="local": {error}') from error
    return service


_shared = _Shared()
