from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.load_weights_request import LoadWeightsRequest
from ...models.untyped_api_future import UntypedAPIFuture
from ...types import Response


def _get_kwargs(
    *,
    body: LoadWeightsRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/load_weights",
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
    body: LoadWeightsRequest,
) -> Response[UntypedAPIFuture]:
    """Load a checkpoint

     With `model_id` and `seq_id` into a model, as its first request; with `session_id` and
    `model_seq_id` it makes the model, whose id is then `{session_id}:train:{model_seq_id}`.

    Args:
        body (LoadWeightsRequest): Loads a checkpoint into a model (`model_id`, `seq_id`), or
            makes a model from it (`session_id`, `model_seq_id`).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[UntypedAPIFuture]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: LoadWeightsRequest,
) -> UntypedAPIFuture | None:
    """Load a checkpoint

     With `model_id` and `seq_id` into a model, as its first request; with `session_id` and
    `model_seq_id` it makes the model, whose id is then `{session_id}:train:{model_seq_id}`.

    Args:
        body (LoadWeightsRequest): Loads a checkpoint into a model (`model_id`, `seq_id`), or
            makes a model from it (`session_id`, `model_seq_id`).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        UntypedAPIFuture
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: LoadWeightsRequest,
) -> Response[UntypedAPIFuture]:
    """Load a checkpoint

     With `model_id` and `seq_id` into a model, as its first request; with `session_id` and
    `model_seq_id` it makes the model, whose id is then `{session_id}:train:{model_seq_id}`.

    Args:
        body (LoadWeightsRequest): Loads a checkpoint into a model (`model_id`, `seq_id`), or
            makes a model from it (`session_id`, `model_seq_id`).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[UntypedAPIFuture]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: LoadWeightsRequest,
) -> UntypedAPIFuture | None:
    """Load a checkpoint

     With `model_id` and `seq_id` into a model, as its first request; with `session_id` and
    `model_seq_id` it makes the model, whose id is then `{session_id}:train:{model_seq_id}`.

    Args:
        body (LoadWeightsRequest): Loads a checkpoint into a model (`model_id`, `seq_id`), or
            makes a model from it (`session_id`, `model_seq_id`).

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
        )
    ).parsed
