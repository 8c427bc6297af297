from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="ClientConfigResponse")


@_attrs_define
class ClientConfigResponse:
    """Settings that a server gives its clients once, at the start. Whatever is absent has its default."""

    pjwt_auth_enabled: bool | Unset = UNSET
    """ The credential is to be exchanged for a JWT. """
    credential_default_source: str | Unset = UNSET
    """ `api_key` or `credential_cmd`. """
    sample_dispatch_bytes_semaphore_size: int | Unset = UNSET
    """ Bytes of prompts under submission at one time. """
    inflight_response_bytes_semaphore_size: int | Unset = UNSET
    """ Bytes of results under download at one time. """
    parallel_fwdbwd_chunks: bool | Unset = UNSET
    """ The chunks of one call are submitted together, the first of them last. """
    proto_compress_fwdbwd: bool | Unset = UNSET
    """ Protobuf bodies of `forward_backward` are compressed with zstd. """
    fwdbwd_max_chunk_len: int | Unset = UNSET
    """ Datums in one request at most. """
    fwdbwd_max_chunk_bytes_count: int | Unset = UNSET
    """ Estimated bytes in one request at most. """
    fwdbwd_dispatch_bytes_semaphore_size: int | Unset = UNSET
    """ Estimated bytes of training requests under submission at one time. """
    billing_exception_max_pause_duration_sec: int | Unset = UNSET
    """ Seconds that a client waits out a 402. """
    sample_no_retries: bool | Unset = UNSET
    """ Failed samples are not submitted again. """
    sample_enable_stuck_detection: bool | Unset = UNSET
    """ Samples without progress for 7200 seconds fail. """
    sample_max_concurrent_requests: int | Unset = UNSET
    """ Samples in flight for one sampling client. """
    use_pyqwest_transport: bool | Unset = UNSET
    """ Choice of transport in the official SDK. """
    sample_use_retrieve_futures: bool | Unset = UNSET
    """ Completions are learned through `retrieve_futures`. """
    custom_loss_server_side: bool | Unset = UNSET
    """ Custom losses are uploaded. """
    sample_join_sampling_session: bool | Unset = UNSET
    """ A copied sampling client asks for an id of its own. """
    proto_write_fwdbwd: bool | Unset = UNSET
    """ `forward_backward` takes protobuf. """
    fwd_via_fwdbwd: bool | Unset = UNSET
    """ Forward passes go to `forward_backward`. """
    create_model_via_load_weights: bool | Unset = UNSET
    """ A model is made from a checkpoint by one `load_weights`. """

    def to_dict(self) -> dict[str, Any]:
        pjwt_auth_enabled = self.pjwt_auth_enabled

        credential_default_source = self.credential_default_source

        sample_dispatch_bytes_semaphore_size = self.sample_dispatch_bytes_semaphore_size

        inflight_response_bytes_semaphore_size = self.inflight_response_bytes_semaphore_size

        parallel_fwdbwd_chunks = self.parallel_fwdbwd_chunks

        proto_compress_fwdbwd = self.proto_compress_fwdbwd

        fwdbwd_max_chunk_len = self.fwdbwd_max_chunk_len

        fwdbwd_max_chunk_bytes_count = self.fwdbwd_max_chunk_bytes_count

        fwdbwd_dispatch_bytes_semaphore_size = self.fwdbwd_dispatch_bytes_semaphore_size

        billing_exception_max_pause_duration_sec = self.billing_exception_max_pause_duration_sec

        sample_no_retries = self.sample_no_retries

        sample_enable_stuck_detection = self.sample_enable_stuck_detection

        sample_max_concurrent_requests = self.sample_max_concurrent_requests

        use_pyqwest_transport = self.use_pyqwest_transport

        sample_use_retrieve_futures = self.sample_use_retrieve_futures

        custom_loss_server_side = self.custom_loss_server_side

        sample_join_sampling_session = self.sample_join_sampling_session

        proto_write_fwdbwd = self.proto_write_fwdbwd

        fwd_via_fwdbwd = self.fwd_via_fwdbwd

        create_model_via_load_weights = self.create_model_via_load_weights

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if pjwt_auth_enabled is not UNSET:
            field_dict["pjwt_auth_enabled"] = pjwt_auth_enabled
        if credential_default_source is not UNSET:
            field_dict["credential_default_source"] = credential_default_source
        if sample_dispatch_bytes_semaphore_size is not UNSET:
            field_dict["sample_dispatch_bytes_semaphore_size"] = sample_dispatch_bytes_semaphore_size
        if inflight_response_bytes_semaphore_size is not UNSET:
            field_dict["inflight_response_bytes_semaphore_size"] = inflight_response_bytes_semaphore_size
        if parallel_fwdbwd_chunks is not UNSET:
            field_dict["parallel_fwdbwd_chunks"] = parallel_fwdbwd_chunks
        if proto_compress_fwdbwd is not UNSET:
            field_dict["proto_compress_fwdbwd"] = proto_compress_fwdbwd
        if fwdbwd_max_chunk_len is not UNSET:
            field_dict["fwdbwd_max_chunk_len"] = fwdbwd_max_chunk_len
        if fwdbwd_max_chunk_bytes_count is not UNSET:
            field_dict["fwdbwd_max_chunk_bytes_count"] = fwdbwd_max_chunk_bytes_count
        if fwdbwd_dispatch_bytes_semaphore_size is not UNSET:
            field_dict["fwdbwd_dispatch_bytes_semaphore_size"] = fwdbwd_dispatch_bytes_semaphore_size
        if billing_exception_max_pause_duration_sec is not UNSET:
            field_dict["billing_exception_max_pause_duration_sec"] = billing_exception_max_pause_duration_sec
        if sample_no_retries is not UNSET:
            field_dict["sample_no_retries"] = sample_no_retries
        if sample_enable_stuck_detection is not UNSET:
            field_dict["sample_enable_stuck_detection"] = sample_enable_stuck_detection
        if sample_max_concurrent_requests is not UNSET:
            field_dict["sample_max_concurrent_requests"] = sample_max_concurrent_requests
        if use_pyqwest_transport is not UNSET:
            field_dict["use_pyqwest_transport"] = use_pyqwest_transport
        if sample_use_retrieve_futures is not UNSET:
            field_dict["sample_use_retrieve_futures"] = sample_use_retrieve_futures
        if custom_loss_server_side is not UNSET:
            field_dict["custom_loss_server_side"] = custom_loss_server_side
        if sample_join_sampling_session is not UNSET:
            field_dict["sample_join_sampling_session"] = sample_join_sampling_session
        if proto_write_fwdbwd is not UNSET:
            field_dict["proto_write_fwdbwd"] = proto_write_fwdbwd
        if fwd_via_fwdbwd is not UNSET:
            field_dict["fwd_via_fwdbwd"] = fwd_via_fwdbwd
        if create_model_via_load_weights is not UNSET:
            field_dict["create_model_via_load_weights"] = create_model_via_load_weights

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        pjwt_auth_enabled = d.pop("pjwt_auth_enabled", UNSET)

        credential_default_source = d.pop("credential_default_source", UNSET)

        sample_dispatch_bytes_semaphore_size = d.pop("sample_dispatch_bytes_semaphore_size", UNSET)

        inflight_response_bytes_semaphore_size = d.pop("inflight_response_bytes_semaphore_size", UNSET)

        parallel_fwdbwd_chunks = d.pop("parallel_fwdbwd_chunks", UNSET)

        proto_compress_fwdbwd = d.pop("proto_compress_fwdbwd", UNSET)

        fwdbwd_max_chunk_len = d.pop("fwdbwd_max_chunk_len", UNSET)

        fwdbwd_max_chunk_bytes_count = d.pop("fwdbwd_max_chunk_bytes_count", UNSET)

        fwdbwd_dispatch_bytes_semaphore_size = d.pop("fwdbwd_dispatch_bytes_semaphore_size", UNSET)

        billing_exception_max_pause_duration_sec = d.pop("billing_exception_max_pause_duration_sec", UNSET)

        sample_no_retries = d.pop("sample_no_retries", UNSET)

        sample_enable_stuck_detection = d.pop("sample_enable_stuck_detection", UNSET)

        sample_max_concurrent_requests = d.pop("sample_max_concurrent_requests", UNSET)

        use_pyqwest_transport = d.pop("use_pyqwest_transport", UNSET)

        sample_use_retrieve_futures = d.pop("sample_use_retrieve_futures", UNSET)

        custom_loss_server_side = d.pop("custom_loss_server_side", UNSET)

        sample_join_sampling_session = d.pop("sample_join_sampling_session", UNSET)

        proto_write_fwdbwd = d.pop("proto_write_fwdbwd", UNSET)

        fwd_via_fwdbwd = d.pop("fwd_via_fwdbwd", UNSET)

        create_model_via_load_weights = d.pop("create_model_via_load_weights", UNSET)

        client_config_response = cls(
            pjwt_auth_enabled=pjwt_auth_enabled,
            credential_default_source=credential_default_source,
            sample_dispatch_bytes_semaphore_size=sample_dispatch_bytes_semaphore_size,
            inflight_response_bytes_semaphore_size=inflight_response_bytes_semaphore_size,
            parallel_fwdbwd_chunks=parallel_fwdbwd_chunks,
            proto_compress_fwdbwd=proto_compress_fwdbwd,
            fwdbwd_max_chunk_len=fwdbwd_max_chunk_len,
            fwdbwd_max_chunk_bytes_count=fwdbwd_max_chunk_bytes_count,
            fwdbwd_dispatch_bytes_semaphore_size=fwdbwd_dispatch_bytes_semaphore_size,
            billing_exception_max_pause_duration_sec=billing_exception_max_pause_duration_sec,
            sample_no_retries=sample_no_retries,
            sample_enable_stuck_detection=sample_enable_stuck_detection,
            sample_max_concurrent_requests=sample_max_concurrent_requests,
            use_pyqwest_transport=use_pyqwest_transport,
            sample_use_retrieve_futures=sample_use_retrieve_futures,
            custom_loss_server_side=custom_loss_server_side,
            sample_join_sampling_session=sample_join_sampling_session,
            proto_write_fwdbwd=proto_write_fwdbwd,
            fwd_via_fwdbwd=fwd_via_fwdbwd,
            create_model_via_load_weights=create_model_via_load_weights,
        )

        return client_config_response
