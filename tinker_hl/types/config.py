"""How a service wants its clients to behave, and short-lived credentials."""

import attrs

from tinker_hl.types.record import Answer, Record

__all__ = ["AuthTokenResponse", "ClientConfigRequest", "ClientConfigResponse", "ClientDynamicConfigResponse"]


@attrs.frozen(kw_only=True)
class ClientConfigRequest(Record):
    """Says which client asks."""

    sdk_version: str


@attrs.frozen(kw_only=True)
class ClientConfigResponse(Answer):
    """Settings for the whole session; what a service leaves out has the value below."""

    pjwt_auth_enabled: bool = False
    credential_default_source: str = "api_key"
    sample_dispatch_bytes_semaphore_size: int = 10_485_760
    inflight_response_bytes_semaphore_size: int = 52_428_800
    parallel_fwdbwd_chunks: bool = True
    proto_compress_fwdbwd: bool = False
    fwdbwd_max_chunk_len: int = 1024
    fwdbwd_max_chunk_bytes_count: int = 5_000_000
    fwdbwd_dispatch_bytes_semaphore_size: int = 50_000_000
    billing_exception_max_pause_duration_sec: int = 3600
    sample_no_retries: bool = False
    sample_enable_stuck_detection: bool = True
    sample_max_concurrent_requests: int = 2000
    use_pyqwest_transport: bool = True
    sample_use_retrieve_futures: bool = False
    custom_loss_server_side: bool = False
    sample_join_sampling_session: bool = False


@attrs.frozen(kw_only=True)
class ClientDynamicConfigResponse(Answer):
    """Settings that may change while a session lasts; asked for every `refresh_interval_sec` seconds."""

    refresh_interval_sec: int = 300
    sample_cancel_enabled: bool = False
    sample_cancel_max_batch_size: int = 64


@attrs.frozen(kw_only=True)
class AuthTokenResponse(Answer):
    """A short-lived credential."""

    jwt: str = attrs.field(repr=False)
