"""Which key opens which address, where it comes from, and the short-lived token that some servers trade it for.

A key never leaves this package except as the value of the header `X-API-Key`; no `repr`, log line or error shows it.
"""

from tinker_hl.credentials.address import DEFAULT_BASE_URL, LOCAL, is_hosted, resolve_base_url
from tinker_hl.credentials.command import COMMAND_SECONDS, run_command
from tinker_hl.credentials.credential import Credential
from tinker_hl.credentials.renewal import Told
from tinker_hl.credentials.sources import (
    KEYLESS,
    CommandKey,
    KeySource,
    StaticKey,
    credential_origin,
    find_source,
    static_key,
)
from tinker_hl.credentials.store import CredentialStore, StoredKey, default_path
from tinker_hl.credentials.tokens import token_claims

__all__ = [
    "COMMAND_SECONDS",
    "DEFAULT_BASE_URL",
    "KEYLESS",
    "LOCAL",
    "CommandKey",
    "Credential",
    "CredentialStore",
    "KeySource",
    "StaticKey",
    "StoredKey",
    "Told",
    "credential_origin",
    "default_path",
    "find_source",
    "is_hosted",
    "resolve_base_url",
    "run_command",
    "static_key",
    "token_claims",
]
