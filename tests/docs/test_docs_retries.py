"""The page about retries says the numbers that the code goes by."""

import inspect
import re
from pathlib import Path

import attrs
import pytest

import tinker_hl
from tinker_hl import CircuitBreaker, RetryConfig, RetryPolicy, backpressure, billing_pause, poller, retry
from tinker_hl.capabilities import Capabilities
from tinker_hl.circuit_breaker import EndpointClass

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "retries.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())


def row(name: str) -> list[str]:
    """The cells of a table's row whose first cell names something."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.search(rf"`{re.escape(name)}`", cells[0] + cells[-1]):
            return cells
    raise AssertionError(f"docs/retries.md has no row for {name}")


def number(cell: str) -> float:
    found = re.search(r"[\d.]+", cell)
    assert found, cell
    return float(found[0])


@pytest.mark.parametrize("field", attrs.fields(RetryPolicy), ids=lambda field: field.name)
def test_the_policys_defaults(field: "attrs.Attribute[object]") -> None:
    cell = row(field.name)[1]
    if isinstance(field.default, float):
        assert number(cell) == field.default
    else:
        assert cell == str(field.default)


def test_every_field_of_the_retry_config() -> None:
    section = PAGE.partition("## Samples")[2].partition("## Limits")[0]
    for name, parameter in inspect.signature(RetryConfig).parameters.items():
        lines = [line for line in section.splitlines() if line.startswith("|") and f"`{name}`" in line]
        assert len(lines) == 1, name
        if isinstance(parameter.default, (int, float)):
            assert f"{parameter.default:g}" in lines[0].replace("True", "1").replace("False", "0"), name


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("sample_max_concurrent_requests", 1),
        ("sample_dispatch_bytes_semaphore_size", 2**20),
        ("fwdbwd_dispatch_bytes_semaphore_size", 10**6),
        ("inflight_response_bytes_semaphore_size", 2**20),
    ],
)
def test_the_servers_limits(name: str, unit: int) -> None:
    assert number(row(name)[1]) * unit == getattr(Capabilities(), name)


@pytest.mark.parametrize(
    "sentence",
    [
        f"share {retry.RESERVE:g} tokens",
        f"what it took and {retry.SUCCESS_BONUS:g} more",
        f"one arrives every {retry.TRICKLE_SECONDS:g} s",
        f"at most {retry.RESERVE + 60 / retry.TRICKLE_SECONDS:g} requests more in a minute",
        f"at most {retry.MAX_NAMED_WAIT:g} s (`retry-after-ms`",
        f"and once every {poller.WARN_EVERY:g} s",
        f"at most {poller.BAD_REQUESTS} times in a row",
        f"or {backpressure.PAUSE:g} s, or {backpressure.LARGE_PAUSE:g} s after a prompt of more than "
        f"{backpressure.LARGE_PROMPT_BYTES // 1024} KiB; until {backpressure.CAUTION_SECONDS:g} s after that only "
        f"{backpressure.CAUTIOUS_SUBMISSIONS} submissions go at once, and their bytes count "
        f"{backpressure.CAUTIOUS_WEIGHT}-fold",
        f"| submissions of samples | {backpressure.SUBMISSIONS} |",
        f"pause {billing_pause.PAUSE:g} s and try again, for at most an hour",
        f"at most once in {billing_pause.TOLD_EVERY:g} s",
        f"no 402 for {billing_pause.INCIDENT_ENDS:g} s",
        f"CircuitBreaker(failures={CircuitBreaker().failures}, open_seconds={CircuitBreaker().open_seconds}",
    ],
)
def test_the_numbers_in_the_prose(sentence: str) -> None:
    assert sentence in TEXT


def test_the_window_of_an_unpaid_account_is_an_hour() -> None:
    assert Capabilities().billing_exception_max_pause_duration_sec == 3600


def test_every_class_of_endpoints_and_every_error_that_is_named_exists() -> None:
    for name in EndpointClass.__args__:  # type: ignore[attr-defined]
        assert f"`{name}`" in PAGE
    for name in set(re.findall(r"`(\w+Error)`", PAGE)):
        assert hasattr(tinker_hl, name), name


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
def test_the_statuses_that_are_tried_again(status: int) -> None:
    assert retry.status_is_retryable(status, {})
    assert not retry.status_is_retryable(501, {})
