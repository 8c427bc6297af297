"""What the spec says and the code says too, it says alike."""

from pathlib import Path
from typing import Any

from tinker_local.saving import MAX_TTL_SECONDS, MIN_TTL_SECONDS
from tinker_local.settings import Settings


def test_lifetimes_have_the_same_limits(canonical: dict[str, Any]) -> None:
    ttl = canonical["components"]["schemas"]["TtlSeconds"]
    assert (ttl["x-minimum"], ttl["x-maximum"]) == (MIN_TTL_SECONDS, MAX_TTL_SECONDS)


def test_a_local_service_is_where_the_spec_says(canonical: dict[str, Any]) -> None:
    settings = Settings(data_dir=Path(), models=())
    assert canonical["servers"][0]["url"] == f"http://{settings.host}:{settings.port}"
