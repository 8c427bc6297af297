"""Work in a worker thread pauses between its pieces, so that the loop has its turn."""

import pytest

from tinker_hl import giving_way


def test_the_items_are_the_same_and_short_work_does_not_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr(giving_way, "PIECE", 3600.0)
    assert list(giving_way.giving_way(range(100))) == list(range(100))
    assert pauses == []
    monkeypatch.setattr(giving_way, "PIECE", -1.0)
    assert list(giving_way.giving_way(range(3))) == [0, 1, 2]
    assert pauses == [giving_way.PAUSE] * 3
