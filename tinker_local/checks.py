"""What `tinker-hl doctor` looks at for the local service: torch, memory, the data folder, the port, the clock.

Each check returns a line on what it found, or raises with what to do. They change nothing but a file that they remove.
"""

import errno
import http.client
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Final

from tinker_local import durable
from tinker_local.datadir import is_free
from tinker_local.settings import default_data_dir

__all__ = ["CHECKS"]

_PACKAGES = ("torch", "transformers", "peft", "safetensors", "starlette", "uvicorn")
_PORT: Final = 8787
_LEAST_DISK: Final = 2**30
_LEAST_MEMORY: Final = 2**30
_EPOCH: Final = 1_767_225_600.0
"""The beginning of 2026, in Unix seconds: a clock before it is not set."""
_TIMEOUT: Final = 5.0
_GIBIBYTE: Final = 2**30


def service_packages() -> str:
    """What the service needs is installed."""
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def torch() -> str:
    """Torch multiplies and differentiates."""
    import torch

    weight = torch.full((8, 8), 0.5, requires_grad=True)
    (weight @ torch.ones(8)).sum().backward()  # type: ignore[no-untyped-call]
    if weight.grad is None or not torch.equal(weight.grad, torch.ones(8, 8)):
        raise RuntimeError("the gradient of a product is wrong: install torch anew")
    threads = torch.get_num_threads()
    devices = f"CUDA: {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "CPU"
    return f"{torch.__version__}, {devices}, {threads} thread{'' if threads == 1 else 's'}"


def memory() -> str:
    """There is enough for a small model."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if whole < _LEAST_MEMORY:
        raise RuntimeError(f"this machine has {whole / _GIBIBYTE:.1f} GiB of memory; a service needs 1 GiB at least")
    return f"{free / _GIBIBYTE:.1f} GiB unused of {whole / _GIBIBYTE:.1f} GiB"


def data_folder() -> str:
    """The service's folder can be written, flushed and holds some checkpoints yet."""
    folder = default_data_dir().expanduser()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".doctor-") as file:
            file.write(b"written")
            durable.flush_file(file.file)
    except OSError as error:
        raise RuntimeError(
            f"{existing} cannot be written ({error.strerror}); choose another folder with TINKER_HL_HOME or --data-dir"
        ) from None
    free = shutil.disk_usage(existing).free
    if free < _LEAST_DISK:
        raise RuntimeError(f"{free / _GIBIBYTE:.2f} GiB are free at {existing}; delete checkpoints, or choose another")
    taken = "" if is_free(folder) else ", in use by a running service"
    return f"{folder}{taken}, {free / _GIBIBYTE:.0f} GiB free"


def port() -> str:
    """The usual port is free, or a service of this kind answers on it."""
    try:
        socket.create_server(("127.0.0.1", _PORT)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise RuntimeError(f"port {_PORT} cannot be listened on ({error.strerror}); use serve --port") from None
    else:
        return f"{_PORT} is free"
    if (state := _state_of_service()) is None:
        raise RuntimeError(f"port {_PORT} is taken by something else; use serve --port, or 0 for a free one")
    return f"{_PORT} is taken by a service that is {state}"


def _state_of_service() -> str | None:
    """What a service on the usual port says of itself; None if what listens there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/api/v1/healthz")
        answer = connection.getresponse()
        body = answer.read(1000)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if answer.status == 200 and b'"ok"' in body:
        return "ready"
    return "starting" if answer.status == 503 and b'"unavailable"' in body else None


def clock() -> str:
    """The clock is set, and goes on."""
    now = time.time()
    if now < _EPOCH:
        raise RuntimeError(f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}; set it: links end by it")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


CHECKS: Mapping[str, Callable[[], str]] = {
    "service": service_packages,
    "torch": torch,
    "memory": memory,
    "data folder": data_folder,
    "port": port,
    "clock": clock,
}
