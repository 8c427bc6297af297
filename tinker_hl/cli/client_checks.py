"""What `tinker-hl doctor` looks at for the client: Python, packages, credential, server, and a training of three steps.

None of them shows a key. The training goes to the service that the client would use, or to one of its own on this
machine.
"""

import os
import platform
import sys
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tinker_hl.cli.doctor import Check

__all__ = ["CHECKS"]

_PACKAGES = ("tinker-hl", "numpy", "aiohttp", "httpx", "protobuf", "tokenizers", "zstandard")
_OLDEST = (3, 11)
_CREDENTIALS = ("TINKER_API_KEY", "TINKER_CREDENTIAL_CMD")
_SKEW: Final = 60.0
"""Seconds that two clocks may differ: tokens and links end by the clock."""
_TIMEOUT: Final = 20.0
_TRAINING_TIMEOUT: Final = 180.0
_STEPS: Final = 3


def python() -> str:
    """The interpreter is new enough."""
    if sys.version_info < _OLDEST:
        raise RuntimeError(f"Python {platform.python_version()} is too old; 3.11 or newer is needed")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def packages() -> str:
    """What the client needs is installed."""
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def credential() -> str:
    """There is a key where one is needed; which one it is stays unsaid."""
    from tinker_hl.auth import tinker_has_credentials
    from tinker_hl.credentials import find_source, is_hosted, resolve_base_url
    from tinker_hl.retry import default_clock

    base_url = resolve_base_url(None)
    origin = next((name for name in _CREDENTIALS if os.environ.get(name)), None)
    if origin is None and not tinker_has_credentials():
        if is_hosted(base_url):
            return 'none: base_url="local" needs none, the hosted service wants TINKER_API_KEY'
        return f"none; {base_url} is asked without"
    find_source(None, base_url, default_clock(), lambda *_: None)  # refuses one that cannot be sent there
    return f"from {origin or 'the stored login'}, for {base_url}"


def server() -> str:
    """The server that TINKER_BASE_URL names answers, takes the credential, and has the same time."""
    from tinker_api.api.service import get_server_capabilities

    from tinker_hl import loop
    from tinker_hl.connection import Connection

    base_url = os.environ.get("TINKER_BASE_URL", "").strip()
    if not base_url:
        return "TINKER_BASE_URL is not set, so there is none to reach"

    async def asked() -> Any:
        connection = Connection(base_url)
        try:
            call = connection.call("doctor")
            return await connection.request(get_server_capabilities.asyncio_detailed, call)
        finally:
            await connection.aclose()

    answer = loop.run(asked()).result(_TIMEOUT)
    skew = _skew(answer.headers.get("date"))
    if abs(skew) > _SKEW:
        raise RuntimeError(
            f"the clock of this machine differs from that of {base_url} by {skew:.0f} s, so tokens and links would "
            "end at the wrong time; set it right"
        )
    names = [str(model.model_name) for model in answer.parsed.supported_models]
    return f"{base_url} serves {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"


def training() -> str:
    """Three steps on a tiny model, in a service of its own; the loss falls."""
    import tinker_hl

    words = ("lemon is yellow", "plum is purple", "lime is green", "cherry is red")
    began = time.perf_counter()
    losses = []
    with tinker_hl.ServiceClient(base_url="local") as service:
        trainer = service.create_lora_training_client("tinker-hl/tiny", rank=8, seed=1).result(_TRAINING_TIMEOUT)
        tokenizer = trainer.get_tokenizer()
        rows = [tokenizer.encode(text) for text in words]
        data = [tinker_hl.Datum(tinker_hl.ModelInput.from_ints(row[:-1]), {"target_tokens": row[1:]}) for row in rows]
        for _ in range(_STEPS):
            passed = trainer.forward_backward(data, "cross_entropy")
            trainer.optim_step(tinker_hl.AdamParams(learning_rate=3e-3)).result(_TRAINING_TIMEOUT)
            losses.append(passed.result(_TRAINING_TIMEOUT).metrics["loss:sum"])
    path = " -> ".join(f"{loss:.1f}" for loss in losses)
    if not losses[-1] < losses[0]:
        raise RuntimeError(f"the loss did not fall in {_STEPS} steps ({path}): torch computes wrongly on this machine")
    return f"loss {path} in {_STEPS} steps, {time.perf_counter() - began:.1f} s with the start of a service"


def _skew(date: str | None) -> float:
    """How far a server's clock is behind ours, in seconds; 0 where it does not tell the time."""
    return time.time() - parsedate_to_datetime(date).timestamp() if date else 0.0


CHECKS: "Mapping[str, Check]" = {
    "python": python,
    "packages": packages,
    "credential": credential,
    "server": server,
    "training": training,
}
