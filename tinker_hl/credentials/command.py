"""Runs the command that prints a credential, in a shell, with a deadline. It blocks: callers use a thread.

What the command prints is a secret and is never shown; what it says on the error stream is, as that tells what to do.
"""

import os
import signal
import subprocess

from tinker_hl.credentials.tokens import has_ended, is_sendable
from tinker_hl.errors import ConfigurationError
from tinker_hl.redaction import redacted

__all__ = ["COMMAND_SECONDS", "COMMAND_VARIABLE", "run_command"]

COMMAND_VARIABLE = "TINKER_CREDENTIAL_CMD"
COMMAND_SECONDS = 30.0
"""The command's deadline: long enough to ask another service, too short for somebody to wonder what hangs."""
MAX_SAID = 1000
"""Characters of the error stream, from its end, that an error shows."""


def run_command(command: str, seconds: float = COMMAND_SECONDS) -> str:
    """What the command prints, without the white space around it.

    Args:
        command: For the shell, as in `TINKER_CREDENTIAL_CMD`.
        seconds: How long it may take.

    Raises:
        ConfigurationError: It failed, took too long, printed nothing, or printed a token that has ended.
    """
    # A process group of its own, so that the deadline ends all that the shell started, and no input to wait for.
    with subprocess.Popen(
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        process_group=0 if os.name == "posix" else None,
    ) as process:
        try:
            output, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            output, said = _rest(process)
            raise _failure(f"did not end within {seconds:g} s", said, output.strip()) from None
    credential = output.strip()
    if process.returncode != 0:
        raise _failure(f"ended with status {process.returncode}", said, credential)
    if not credential:
        raise _failure("printed no credential", said)
    if not is_sendable(credential):
        raise _failure("printed more than a credential: a space, a line break or another character", said, credential)
    if has_ended(credential):
        raise _failure("printed a token that has ended", said, credential)
    return credential


def _rest(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """End it, and read what it has printed."""
    _end(process)
    try:
        return process.communicate(timeout=1.0)
    except subprocess.TimeoutExpired:
        # Something that left the group still holds the streams.
        return "", ""


def _end(process: "subprocess.Popen[str]") -> None:
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _failure(what: str, said: str, credential: str = "") -> ConfigurationError:
    text = redacted(said.strip(), (credential,))[-MAX_SAID:]
    heard = f"; it said: {text}" if text else "; it said nothing on its error stream"
    return ConfigurationError(
        f"the command in {COMMAND_VARIABLE} {what}{heard}",
        hint=f"Run it in a shell: it must print the credential and end with status 0. Unset {COMMAND_VARIABLE} to use "
        "TINKER_API_KEY or the stored login.",
    )
