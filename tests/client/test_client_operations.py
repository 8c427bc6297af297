"""What stands for the generated operations: each is there, under its own name, and is loaded by its first call."""

import asyncio
import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from tinker_hl import operations
from tinker_hl.operations import Operation

OPERATIONS = {name: one for name, one in vars(operations).items() if isinstance(one, Operation)}


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_stands_for_a_generated_function_of_its_name(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.name.partition(".")[2] == name
    assert name in repr(operation)
    module = import_module(f"tinker_api.api.{operation.name}")
    assert inspect.iscoroutinefunction(module.asyncio_detailed)


def test_a_call_goes_to_the_generated_function(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinker_api.api.training import optim_step

    async def told(**arguments: object) -> object:
        return arguments

    monkeypatch.setattr(optim_step, "asyncio_detailed", told)
    operation = Operation("training.optim_step")
    for number in (1, 2):
        assert asyncio.run(operation.asyncio_detailed(client=None, body=number)) == {"client": None, "body": number}


def test_none_is_loaded_before_it_is_called_and_a_client_loads_what_they_share() -> None:
    program = """
import sys
from tinker_hl import ServiceClient
assert not [name for name in sys.modules if name.startswith(("tinker_api", "httpx", "aiohttp"))]
ServiceClient(base_url="http://127.0.0.1:9", api_key="tml-x")
assert {"tinker_api.client", "tinker_api.models", "httpx", "aiohttp"} <= set(sys.modules)
assert not [name for name in sys.modules if name.startswith("tinker_api.api.")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
