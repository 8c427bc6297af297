"""What the server at the other end can do, found once and adapted to: capabilities, not versions.

It is read from `client/config`, which older and partial servers lack; then everything optional is taken to be missing.
Whether protobuf bodies are understood is only certain after the first one, so that is settled by trying.
"""

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Capabilities", "DynamicCapabilities"]


@attrs.frozen(kw_only=True)
class Capabilities:
    """One server's abilities and limits. Field names are the wire's; unknown ones are ignored."""

    has_config: bool = True
    """Whether the server knows `client/config` at all."""
    pjwt_auth_enabled: bool = False
    credential_default_source: str = "api_key"
    parallel_fwdbwd_chunks: bool = True
    proto_compress_fwdbwd: bool = False
    fwdbwd_max_chunk_len: int = 1024
    fwdbwd_max_chunk_bytes_count: int = 5_000_000
    custom_loss_server_side: bool = False
    """Whether the server runs custom losses that are uploaded to it."""
    sample_use_retrieve_futures: bool = False
    sample_join_sampling_session: bool = False
    sample_max_concurrent_requests: int = 2000
    sample_no_retries: bool = False
    sample_enable_stuck_detection: bool = True
    sample_dispatch_bytes_semaphore_size: int = 10 * 2**20
    fwdbwd_dispatch_bytes_semaphore_size: int = 50_000_000
    inflight_response_bytes_semaphore_size: int = 50 * 2**20
    billing_exception_max_pause_duration_sec: int = 3600
    named: frozenset[str] = frozenset()
    """The fields that the server has named; the others have the protocol's defaults."""

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "Capabilities":
        """From the answer of `client/config`; what it does not say has the protocol's default."""
        known = _known(cls, config)
        return cls(**known, named=frozenset(known))

    @classmethod
    def without_config(cls) -> "Capabilities":
        """Of a server that has no `client/config`: JSON bodies, one chunk after the other, one poll per future."""
        return cls(has_config=False, parallel_fwdbwd_chunks=False)


@attrs.frozen(kw_only=True)
class DynamicCapabilities:
    """What may change while a client lives, from `client/dynamic_config`."""

    refresh_interval_sec: float = 300.0
    sample_cancel_enabled: bool = False

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "DynamicCapabilities":
        """From the answer; what it does not say has the protocol's default."""
        return cls(**_known(cls, config))


def _known(kind: type[attrs.AttrsInstance], config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `kind` that the answer holds with a value of the right type."""
    found: dict[str, Any] = {}
    for field in attrs.fields(kind):
        value: Any = config.get(field.name)
        wanted: Any = type(field.default)
        if isinstance(value, wanted) or (wanted in (int, float) and type(value) in (int, float)):
            found[field.name] = wanted(value)
    return found
