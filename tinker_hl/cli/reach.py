"""How a command reaches a server: `--base-url`, `--api-key`, `--timeout`, and the clients made of them.

Without options it is where any client would go (`TINKER_BASE_URL`, else the hosted service), with the key that it would
use. The module knows no command.
"""

from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs
import click

if TYPE_CHECKING:
    from tinker_hl import AdminClient, RestClient, ServiceClient

__all__ = ["Reach", "reaching"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@attrs.frozen
class Reach:
    """Which server, with which key, and how long an answer may take."""

    base_url: str | None = None
    api_key: str | None = attrs.field(default=None, repr=False)
    timeout: float = 300.0

    def rest(self) -> "RestClient":
        """A client for lists and records."""
        from tinker_hl import RestClient

        return RestClient(base_url=self.base_url, api_key=self.api_key)

    def admin(self) -> "AdminClient":
        """A client for the audit log and for what was used."""
        from tinker_hl import AdminClient

        return AdminClient(base_url=self.base_url, api_key=self.api_key)

    def service(self, **options: Any) -> "ServiceClient":
        """A client with a session; use it in a `with` block."""
        from tinker_hl import ServiceClient

        return ServiceClient(base_url=self.base_url, api_key=self.api_key, **options)

    def wait(self, future: "Future[T]") -> T:
        """The result of a call.

        Raises:
            APITimeoutError: It did not come in time.
            TinkerError: The call failed.
        """
        try:
            return future.result(self.timeout)
        except TimeoutError:
            if future.done():
                raise
            future.cancel()
            from tinker_hl import APITimeoutError

            raise APITimeoutError(
                message=f"no answer within {self.timeout:g} s", hint="Give it longer with --timeout."
            ) from None


def reaching(command: Callable[Concatenate[Reach, P], R]) -> Callable[P, R]:
    """Give a command the options; it gets a `Reach` as its first argument."""

    @click.option(
        "--base-url",
        metavar="URL",
        help="The server; `local` starts one here.  [default: TINKER_BASE_URL, else hosted]",
    )
    @click.option(
        "--api-key",
        metavar="KEY",
        help="Others on this machine can read a command's options: TINKER_API_KEY and `auth login` hide the key.",
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for an answer.",
    )
    @wraps(command)
    def called(base_url: str | None, api_key: str | None, timeout: float, *args: P.args, **kwargs: P.kwargs) -> R:
        from tinker_hl.cli.notices import show_notices

        show_notices()
        return command(Reach(base_url, api_key, timeout), *args, **kwargs)

    return called  # type: ignore[return-value]  # click passes what the options are called
