"""Plain requests to a service, without a client of ours in between: what a load is made of.

It knows the protocol's forms that the loads need, no retries and no order.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

__all__ = ["Requests", "datum", "requests", "sample_body"]


class Requests:
    """A session with one service. Every answer must be a good one, else `AssertionError` shows it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of an answer; None where it has no body."""
        async with self.session.request(method, f"/api/v1/{path}", json=body) as answer:
            assert answer.status in (200, 204), f"{method} {path}: {answer.status} {await answer.text()}"
            return await answer.json() if answer.status == 200 else None

    async def post(self, operation: str, body: Mapping[str, Any]) -> Any:
        """The answer to a POST."""
        return await self.send("POST", operation, body)

    async def result(self, operation: str, body: Mapping[str, Any]) -> Any:
        """What the promise of a POST comes to, however many polls that takes."""
        return await self.outcome((await self.post(operation, body))["request_id"])

    async def outcome(self, request_id: str) -> Any:
        """What a promise comes to, which must be no failure."""
        while True:
            answer = await self.post("retrieve_future", {"request_id": request_id})
            if answer.get("type") != "try_again":
                assert "error" not in answer, answer
                return answer

    async def new_session(self) -> str:
        """The id of a new session."""
        made = await self.post("create_session", {"tags": [], "user_metadata": {}, "sdk_version": "0"})
        return str(made["session_id"])

    async def new_model(self, session_id: str, number: int, base_model: str) -> str:
        """The id of a new model."""
        body = {"session_id": session_id, "model_seq_id": number, "base_model": base_model, "lora_config": {"rank": 8}}
        return str((await self.result("create_model", body))["model_id"])

    async def new_sampler(self, session_id: str, number: int, base_model: str) -> str:
        """The id of a sampling session on a base model."""
        body = {"session_id": session_id, "sampling_session_seq_id": number, "base_model": base_model}
        return str((await self.post("create_sampling_session", body))["sampling_session_id"])


@asynccontextmanager
async def requests(api_key: str | None = None) -> AsyncIterator[Requests]:
    """Requests to the service that TINKER_BASE_URL and, unless a key is given, TINKER_API_KEY name."""
    headers = {"X-API-Key": api_key or os.environ["TINKER_API_KEY"]}
    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        os.environ["TINKER_BASE_URL"], headers=headers, connector=connections, timeout=aiohttp.ClientTimeout(120)
    ) as session:
        yield Requests(session)


def datum(tokens: Sequence[int]) -> dict[str, Any]:
    """One datum whose targets are its tokens."""
    length = len(tokens)
    return {
        "model_input": {"chunks": [{"tokens": list(tokens), "type": "encoded_text"}]},
        "loss_fn_inputs": {
            "target_tokens": {"data": list(tokens), "dtype": "int64", "shape": [length]},
            "weights": {"data": [1.0] * length, "dtype": "float32", "shape": [length]},
        },
    }


def sample_body(sampler_id: str, seq_id: int, tokens: Sequence[int], max_tokens: int) -> dict[str, Any]:
    """A sample of one sequence, which only its length ends."""
    return {
        "sampling_session_id": sampler_id,
        "seq_id": seq_id,
        "num_samples": 1,
        "prompt": {"chunks": [{"tokens": list(tokens), "type": "encoded_text"}]},
        "sampling_params": {"max_tokens": max_tokens, "stop": []},
    }
