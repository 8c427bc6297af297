from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.futures_retrieve_request import FuturesRetrieveRequest
from ...models.futures_retrieve_response import FuturesRetrieveResponse
from ...types import Response


def _get_kwargs(
    *,
    body: FuturesRetrieveRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/retrieve_futures",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> FuturesRetrieveResponse | None:
    if response.status_code == 200:
        response_200 = FuturesRetrieveResponse.from_dict(response.json())

        return response_200

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[FuturesRetrieveResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: FuturesRetrieveRequest,
) -> Response[FuturesRetrieveResponse]:
    """Learn which samples have ended

     Held until something ends or `timeout` passes. Results themselves come from `retrieve_future`.

    Args:
        body (FuturesRetrieveRequest): Whose completions, and which were taken.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[FuturesRetrieveResponse]
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
    body: FuturesRetrieveRequest,
) -> FuturesRetrieveResponse | None:
    """Learn which samples have ended

     Held until something ends or `timeout` passes. Results themselves come from `retrieve_future`.

    Args:
        body (FuturesRetrieveRequest): Whose completions, and which were taken.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        FuturesRetrieveResponse
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: FuturesRetrieveRequest,
) -> Response[FuturesRetrieveResponse]:
    """Learn which samples have ended

     Held until something ends or `timeout` passes. Results themselves come from `retrieve_future`.

    Args:
        body (FuturesRetrieveRequest): Whose completions, and which were taken.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[FuturesRetrieveResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: FuturesRetrieveRequest,
) -> FuturesRetrieveResponse | None:
    """Learn which samples have ended

     Held until something ends or `timeout` passes. Results themselves come from `retrieve_future`.

    Args:
        body (FuturesRetrieveRequest): Whose completions, and which were taken.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        FuturesRetrieveResponse
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
