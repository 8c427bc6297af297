"""What a service can be told: one frozen object, made by the command line or by a test, read everywhere.

It knows nothing of where its values come from. Sizes are bytes, times are seconds.
"""

import ipaddress
import os
from pathlib import Path
from typing import Literal

import attrs

__all__ = ["DATABASE_FILE", "ModelSource", "Settings", "default_data_dir", "is_loopback"]

DATABASE_FILE = "service.sqlite"
"""In the data folder."""


def default_data_dir() -> Path:
    """Where a service keeps its data unless told: `$TINKER_HL_HOME/local`, else `~/.tinker-hl/local`."""
    home = os.environ.get("TINKER_HL_HOME")
    return (Path(home) if home else Path.home() / ".tinker-hl") / "local"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@attrs.frozen(kw_only=True)
class ModelSource:
    """A base model to serve: the name clients ask for, and where its weights are."""

    name: str
    path: str
    """A folder in Hugging Face layout, or a name on a hub."""
    aliases: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that can be chosen about one service."""

    data_dir: Path
    models: tuple[ModelSource, ...]
    host: str = "127.0.0.1"
    port: int = 8787
    """0 takes a free one."""
    api_keys: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Keys that are let in, beside those in the store; none of either on a loopback address lets everybody in."""
    token_auth: bool = True
    """Whether clients are told to exchange their key for short-lived tokens; those that do so unasked may."""
    token_lifetime_seconds: float = 3600.0
    threads: int | None = None
    """Torch threads of the engine; None leaves it to torch."""
    device: str | None = None
    """A torch device; None takes CUDA where there is one, else the CPU."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """Of the base weights; None is float32 on the CPU and bfloat16 elsewhere. Adapters and optimizers are float32."""
    activation_checkpointing: bool = False
    """Whether layers are computed again for their gradients instead of kept: less memory, more time."""
    compiled: bool = False
    """Whether training passes are compiled by torch: the first ones take minutes, and a compiler."""
    long_poll_seconds: float = 25.0
    """How long a poll is held; clients give up after 45, and the promise (R3) is 30."""
    result_retention_seconds: float = 600.0
    """How long a finished result is kept; the promise (R4) is 300 after delivery."""
    autosave_every: int | None = None
    """Optimizer steps after which each run is saved so that it can be restored; None saves nothing by itself."""
    max_autosave_bytes: int = 64 * 2**30
    """Of automatic saves and the calls since them, on the disk. Beyond it weights of sampling sessions go, those used
    least lately first; if that is not enough new runs and passes are answered 429.
    """
    session_timeout_seconds: float = 300.0
    """A session without a heartbeat for this long is over."""
    url_lifetime_seconds: float = 900.0
    max_body_bytes: int = 256 * 2**20
    max_inflated_bytes: int = 1024 * 2**20
    max_small_body_bytes: int = 4 * 2**20
    """Of every request but passes and samples, as it is sent and unpacked: those carry data, the others only words."""
    max_bytes_under_way: int = 2 * 2**30
    """Of all bodies together in memory, unpacked, from their first byte to the result of what they ask for; while there
    are so many, others are answered 429. Beyond a quarter of it, passes that wait for a missing one go to the disk.
    """
    max_spooled_bytes: int = 16 * 2**30
    """Of those on the disk."""
    max_metadata_bytes: int = 64 * 2**10
    """Of labels (`user_metadata`, `tags`, names) of one thing, as JSON: they are kept, and shown in lists."""
    max_sessions: int = 1024
    """Open ones of one owner."""
    max_models: int = 4096
    """Of one owner, in open sessions; the engine's memory may be full long before."""
    max_samplers: int = 65536
    """Sampling sessions of one owner, in open sessions; some programs make one each step."""
    max_custom_losses: int = 1024
    """Of one session."""
    max_checkpoints: int = 100_000
    """Of one owner."""
    max_pending_requests: int = 4096
    """Requests of one model that wait at once; beyond it a submission is answered 429."""
    max_unfetched_results: int = 65536
    """Of one open session: beyond it the oldest go that have been there for `result_retention_seconds`, and where there
    is none of those, submissions are answered 429.
    """
    max_unfetched_bytes: int = 2**30
    """The same of the bytes of their numbers."""
    max_num_samples: int = 1024
    max_lora_rank: int = 1024
    custom_loss_nodes: int = 1024
    """Nodes that the graph of an uploaded loss may have."""
    custom_loss_elements: int = 2**26
    """Elements that the tensors of an uploaded loss may have, over all of its nodes, for one datum."""
    custom_loss_seconds: float = 30.0
    """How long an uploaded loss may take in one pass, over all of its data."""
    kv_cache_tokens: int | None = None
    """Tokens of each base model whose keys and values are kept at once for samples; None takes what a part of the
    memory holds.
    """
    max_pending_samples: int = 4096
    """Samples admitted at once; beyond it a submission is answered 429."""
