"""`RetryConfig`: how a sampling client retries, in the official SDK's words. It retries nothing itself."""

import asyncio
import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from tinker_hl.errors import APIConnectionError, APIStatusError, ConfigurationError, ResultExpiredError
from tinker_hl.retry.policy import RetryPolicy
from tinker_hl.retry.statuses import status_is_retryable

__all__ = ["DEFAULT_PROGRESS_TIMEOUT", "RetryConfig"]

DEFAULT_PROGRESS_TIMEOUT = 7200.0


@dataclasses.dataclass(unsafe_hash=True)
class RetryConfig:
    """How a sampling client retries, in the official SDK's words. Do not change one that a client has.

    Attributes:
        max_connections: Samples of this client under way at once; None leaves it to the server's limit, which holds in
            any case for all clients together.
        progress_timeout: Seconds after which a sample that keeps failing is given up, and after which all samples of
            the client are if none of them has finished.
        retry_delay_base: Seconds; the longest wait before the first retry, which doubles with each one.
        retry_delay_max: Seconds; the longest wait before any retry.
        jitter_factor: The share, from 0 to 1, by which waits vary.
        enable_retry_logic: False reports the first failure.
        enable_stuck_detection: False leaves samples waiting for as long as the server answers and has no result.
        retryable_exceptions: Errors after which the sample is drawn again, beside the statuses that are retried.
    """

    max_connections: int | None = 1000
    progress_timeout: float = DEFAULT_PROGRESS_TIMEOUT
    retry_delay_base: float = 0.5
    retry_delay_max: float = 10.0
    jitter_factor: float = 0.25
    enable_retry_logic: bool = True
    enable_stuck_detection: bool = True
    retryable_exceptions: tuple[type[Exception], ...] = (asyncio.TimeoutError, APIConnectionError, ResultExpiredError)

    def __post_init__(self) -> None:
        if self.max_connections is not None and self.max_connections <= 0:
            raise ValueError(f"max_connections must be greater than 0 or None, got {self.max_connections}")

    def policy(self) -> RetryPolicy:
        """The same as a policy."""
        return RetryPolicy(
            deadline=self.progress_timeout,
            delay_base=self.retry_delay_base,
            delay_max=self.retry_delay_max,
            jitter_factor=self.jitter_factor,
            enabled=self.enable_retry_logic,
        )

    def retries(self, error: BaseException) -> bool:
        """Whether a sample that failed so is drawn again."""
        if isinstance(error, self.retryable_exceptions):
            return True
        if not isinstance(error, APIStatusError) or error.response is None:
            return False
        return status_is_retryable(error.status_code, error.response.headers)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a handle; `of_json` reads them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["retryable_exceptions"] = [_name(kind) for kind in self.retryable_exceptions]
        return values

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "RetryConfig":
        """From `to_json`; what a newer client wrote and this one does not know is left out.

        Raises:
            ConfigurationError: It names an error class of a module that this process has not imported.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        read = {name: value for name, value in values.items() if name in known}
        if "retryable_exceptions" in read:
            read["retryable_exceptions"] = tuple(_named(name) for name in read["retryable_exceptions"])
        return cls(**read)


def _name(kind: type[Exception]) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _named(name: str) -> type[Exception]:
    """The error class of that name, among what is imported already: a handle must not make anybody import anything."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        raise ConfigurationError(
            f"retryable_exceptions names {name!r}, which is no error class of an imported module",
            hint=f"Import {module} before you use the handle.",
        )
    return found
