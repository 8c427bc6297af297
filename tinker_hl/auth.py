"""What can be said of this machine's credentials, without a client: whether there is one, and whether it opens the
service.
"""

from tinker_hl.connection import Connection
from tinker_hl.credentials import KEYLESS, find_source, resolve_base_url, static_key
from tinker_hl.errors import TinkerError
from tinker_hl.futures import APIFuture
from tinker_hl.operations import get_server_capabilities
from tinker_hl.retry import NEVER, LoopClock

__all__ = ["get_tinker_token", "raise_if_tinker_not_accessible", "tinker_has_credentials"]


def get_tinker_token() -> str | None:
    """The key of `TINKER_API_KEY`, else of the stored login; None if there is none, or it cannot be read.

    Asks nobody: `TINKER_CREDENTIAL_CMD` is not run.
    """
    try:
        return static_key(resolve_base_url(None))
    except (OSError, TinkerError):
        return None


def tinker_has_credentials() -> bool:
    """Whether a client made without arguments would have a credential; a command counts without being run.

    A service of one's own may take clients without any; this is False then.
    """
    try:
        source = find_source(None, resolve_base_url(None), LoopClock(), lambda detail, level: None)
    except (OSError, TinkerError):
        return False
    return source.known != KEYLESS


def raise_if_tinker_not_accessible() -> None:
    """Return if the service takes this machine's credential; ask it once, without retries.

    Raises:
        ConfigurationError: There is no credential, or it cannot be one.
        AuthenticationError: The service refuses it.
        BillingError: The account is not set up to pay.
        APIConnectionError: The service cannot be reached.
        TinkerError: Anything else.
    """
    try:
        APIFuture(_ask(Connection(policy=NEVER))).result()
    except TinkerError:
        raise
    except Exception as error:
        raise TinkerError(f"the service cannot be used: {error}") from error


async def _ask(connection: Connection) -> None:
    try:
        call = connection.call("ServiceClient.get_server_capabilities")
        await connection.request(get_server_capabilities.asyncio_detailed, call)
    finally:
        await connection.aclose()
