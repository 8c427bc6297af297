from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.import_weights_request import ImportWeightsRequest
from ...models.import_weights_response import ImportWeightsResponse
from ...types import Response


def _get_kwargs(
    *,
    body: ImportWeightsRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/import_weights",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ImportWeightsResponse | None:
    if response.status_code == 200:
        response_200 = ImportWeightsResponse.from_dict(response.json())

        return response_200

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ImportWeightsResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ImportWeightsRequest,
) -> Response[ImportWeightsResponse]:
    """Make a checkpoint of an adapter that was trained elsewhere

     The checkpoint is of a run of its own, which cannot be trained; a run is made from it by loading it
    without an optimizer. Only this project's service has it.

    Args:
        body (ImportWeightsRequest): A LoRA adapter as peft writes it, and the run that it becomes
            a checkpoint of.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ImportWeightsResponse]
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
    body: ImportWeightsRequest,
) -> ImportWeightsResponse | None:
    """Make a checkpoint of an adapter that was trained elsewhere

     The checkpoint is of a run of its own, which cannot be trained; a run is made from it by loading it
    without an optimizer. Only this project's service has it.

    Args:
        body (ImportWeightsRequest): A LoRA adapter as peft writes it, and the run that it becomes
            a checkpoint of.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ImportWeightsResponse
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: ImportWeightsRequest,
) -> Response[ImportWeightsResponse]:
    """Make a checkpoint of an adapter that was trained elsewhere

     The checkpoint is of a run of its own, which cannot be trained; a run is made from it by loading it
    without an optimizer. Only this project's service has it.

    Args:
        body (ImportWeightsRequest): A LoRA adapter as peft writes it, and the run that it becomes
            a checkpoint of.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ImportWeightsResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: ImportWeightsRequest,
) -> ImportWeightsResponse | None:
    """Make a checkpoint of an adapter that was trained elsewhere

     The checkpoint is of a run of its own, which cannot be trained; a run is made from it by loading it
    without an optimizer. Only this project's service has it.

    Args:
        body (ImportWeightsRequest): A LoRA adapter as peft writes it, and the run that it becomes
            a checkpoint of.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ImportWeightsResponse
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
