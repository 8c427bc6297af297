"""Programs written for the official SDK, unmodified: what our client sees under that name is what the official one saw.

The service is the same and so are the seeds, so losses and tokens must agree to the last bit.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from script_runs import run_script

from tinker_local.embedded import EmbeddedService

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]

PER_RUN = {
    "sessions",
    "runs",
    "all_checkpoints",
    "time",
    "last_request_time",
    "size_bytes",
    "text",
    "checkpoints",
    "alt_logprobs",
}
"""What makes any two runs differ: the sessions before, the clock, ids in files, an error's wording, unseeded draws."""


def neutral(value: Any) -> Any:
    """Without the ids of the run; 0.7.0 gives logprobs in the digits of float32."""
    if isinstance(value, dict):
        return {name: neutral(item) for name, item in value.items() if name not in PER_RUN}
    if isinstance(value, list):
        return [neutral(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", value) if isinstance(value, str) else value


@pytest.mark.parametrize(("script", "release"), [("style_of_0_7.py", "0.7.0"), ("style_of_0_38.py", "newest")])
def test_a_script_in_the_style_of_each_generation_sees_the_same(
    script: str, release: str, service: EmbeddedService
) -> None:
    theirs, ours = (run_script(client, service, script) for client in (release, "ours"))
    assert neutral(ours) == neutral(theirs)
    assert ours["losses"] == theirs["losses"]
    assert ours["losses"][-1] < 0.2 * ours["losses"][0]


def test_the_older_style_runs_here_though_no_longer_on_the_newest_release(service: EmbeddedService) -> None:
    with pytest.raises(AssertionError, match="base_model"):
        run_script("newest", service, "style_of_0_7.py")


def test_a_whole_research_script_sees_the_same(ran: Callable[[str], dict[str, Any]]) -> None:
    theirs, ours = ran("newest"), ran("ours")
    assert {name: neutral(value) for name, value in ours.items() if name != "asked"} == {
        name: neutral(value) for name, value in theirs.items() if name != "asked"
    }
    for name in ("losses", "went_on", "resumed", "weights_only", "weights_before", "snapshot_logprobs"):
        assert ours[name] == theirs[name], name
