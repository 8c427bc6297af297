from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.sample_request import SampleRequest
from ...models.untyped_api_future import UntypedAPIFuture
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: SampleRequest,
    x_tinker_sampling_backpressure: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(x_tinker_sampling_backpressure, Unset):
        headers["X-Tinker-Sampling-Backpressure"] = x_tinker_sampling_backpressure

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/asample",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> UntypedAPIFuture | None:
    if response.status_code == 200:
        response_200 = UntypedAPIFuture.from_dict(response.json())

        return response_200

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[UntypedAPIFuture]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SampleRequest,
    x_tinker_sampling_backpressure: str | Unset = UNSET,
) -> Response[UntypedAPIFuture]:
    """Draw sequences after a prompt

     Samples of one session run side by side and end in any order. The same `sampling_session_id` and
    `seq_id` name the same request. 429 asks the client to wait and submit again.

    Args:
        x_tinker_sampling_backpressure (str | Unset):
        body (SampleRequest): Draws sequences after a prompt. From a sampling session
            (`sampling_session_id` with `seq_id`), a base model or a path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[UntypedAPIFuture]
    """

    kwargs = _get_kwargs(
        body=body,
        x_tinker_sampling_backpressure=x_tinker_sampling_backpressure,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: SampleRequest,
    x_tinker_sampling_backpressure: str | Unset = UNSET,
) -> UntypedAPIFuture | None:
    """Draw sequences after a prompt

     Samples of one session run side by side and end in any order. The same `sampling_session_id` and
    `seq_id` name the same request. 429 asks the client to wait and submit again.

    Args:
        x_tinker_sampling_backpressure (str | Unset):
        body (SampleRequest): Draws sequences after a prompt. From a sampling session
            (`sampling_session_id` with `seq_id`), a base model or a path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        UntypedAPIFuture
    """

    return sync_detailed(
        client=client,
        body=body,
        x_tinker_sampling_backpressure=x_tinker_sampling_backpressure,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: SampleRequest,
    x_tinker_sampling_backpressure: str | Unset = UNSET,
) -> Response[UntypedAPIFuture]:
    """Draw sequences after a prompt

     Samples of one session run side by side and end in any order. The same `sampling_session_id` and
    `seq_id` name the same request. 429 asks the client to wait and submit again.

    Args:
        x_tinker_sampling_backpressure (str | Unset):
        body (SampleRequest): Draws sequences after a prompt. From a sampling session
            (`sampling_session_id` with `seq_id`), a base model or a path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[UntypedAPIFuture]
    """

    kwargs = _get_kwargs(
        body=body,
        x_tinker_sampling_backpressure=x_tinker_sampling_backpressure,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: SampleRequest,
    x_tinker_sampling_backpressure: str | Unset = UNSET,
) -> UntypedAPIFuture | None:
    """Draw sequences after a prompt

     Samples of one session run side by side and end in any order. The same `sampling_session_id` and
    `seq_id` name the same request. 429 asks the client to wait and submit again.

    Args:
        x_tinker_sampling_backpressure (str | Unset):
        body (SampleRequest): Draws sequences after a prompt. From a sampling session
            (`sampling_session_id` with `seq_id`), a base model or a path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        UntypedAPIFuture
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            x_tinker_sampling_backpressure=x_tinker_sampling_backpressure,
        )
    ).parsed
