"""Nothing of a service outlives it: no task is left pending, whoever began it, and whenever."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from service_bench import Api, Bench, GatedEngine, pass_body

from tinker_local.digests import Digests
from tinker_local.engine.protocol import EngineDiedError
from tinker_local.futures import Answer, JsonAnswer, Promise
from tinker_local.scheduler import Handover, Lane, Samples, Work
from tinker_local.store.database import Database


def tasks(api: Api) -> set["asyncio.Task[object]"]:
    async def all_but_this() -> set["asyncio.Task[object]"]:
        return asyncio.all_tasks() - {asyncio.current_task()}

    return api.run(all_but_this())


def promise() -> Promise:
    return Promise(request_id="r", owner="local")


async def forever() -> Answer:
    await asyncio.Event().wait()
    return JsonAnswer({})


@pytest.mark.parametrize("engine_dies", [False, True])
def test_the_work_of_a_session_that_is_over_ends_with_the_service(bench: Bench, engine_dies: bool) -> None:
    """Such a model is forgotten, but what the engine has of it goes on."""
    engine = GatedEngine()
    api = bench.start(engine)
    before = tasks(api)
    session_id = api.session()
    model_id = api.model(session_id)
    api.do(engine.gate.clear)
    for number in (1, 2):
        api.ok("forward_backward", body=pass_body(model_id, number))
    model = api.service.models.in_memory(model_id)
    assert model is not None
    under_way = set(model.lane.running)
    assert len(under_way) == 2
    api.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    assert api.service.models.all() == []
    assert set(api.do(lambda: [*api.service.models.running()])) == under_way, "draining waits for it, too"
    if engine_dies:
        api.do(engine.die)
        api.run(asyncio.wait_for(asyncio.wait(under_way), 10))
        assert api.do(lambda: [*api.service.models.running()]) == []
    bench.stop(api)
    assert all(task.done() for task in under_way)
    assert tasks(api) <= before


def test_what_comes_after_the_end_is_failed_and_never_begun(bench: Bench) -> None:
    """A request that is still under way adds its work to a model or to the samples of a service that has ended."""
    api = bench.start()
    model = api.service.models.in_memory(api.model())
    assert model is not None
    bench.stop(api)
    begun: list[str] = []

    async def run() -> Answer:
        begun.append("work")
        return JsonAnswer({})

    late = [promise(), promise()]
    api.do(model.submit, None, Work(late[0], run), 0.0)
    api.do(api.service.samples.start, Work(late[1], run))
    for failed in late:
        assert failed.answer is not None
        assert failed.answer.failed
    api.do(api.service.in_background, run())
    assert begun == []
    with pytest.raises(sqlite3.ProgrammingError, match="its store is closed"):
        api.run(asyncio.wait_for(api.service.records.write(("SELECT 1", ())), 10))


def test_a_lane_and_the_samples_end_what_they_began() -> None:
    async def story() -> None:
        lane, samples = Lane(), Samples(10)
        began = [promise() for _ in range(7)]
        for one in began[:6]:
            lane.add(Work(one, forever))
        samples.start(Work(began[6], forever))
        running = [*lane.running, *samples.running]
        await asyncio.sleep(0)
        await lane.close()
        await samples.close()
        assert all(task.done() for task in running)
        for one in began:
            assert one.answer is not None
            assert one.answer.failed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_what_follows_a_work_that_has_not_called_the_engine_does_not_begin_on_its_way_out() -> None:
    async def story() -> None:
        lane, first, behind = Lane(), promise(), promise()
        lane.follow = lambda work: Work(behind, forever) if work.promise is first else None
        lane.add(Work(first, forever, handover=Handover()))
        await asyncio.sleep(0)
        await lane.close()
        for failed in (first, behind):
            assert failed.answer is not None
            assert failed.answer.failed
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_a_run_whose_restoration_was_begun_anew_is_given_up_with_all_of_them(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine, autosave_every=1)
    before = tasks(api)
    model_id = api.model()
    api.ok("forward_backward", body=pass_body(model_id, 1))
    load = asyncio.Event()

    async def never(*_: object, **__: object) -> None:
        await load.wait()
        raise EngineDiedError("never")

    engine.create_adapter = never  # type: ignore[method-assign]
    api.do(engine.die)
    api.run(asyncio.wait_for(api.service.supervision.wait_ready(), 10))
    restoration = api.service.restoration

    async def begun_anew_and_given_up() -> "list[asyncio.Task[None]]":
        restoration.begin()
        earlier = restoration._tasks[model_id]
        restoration.begin()
        later = restoration._tasks[model_id]
        await restoration.close()
        return [earlier, later]

    earlier, later = api.run(begun_anew_and_given_up())
    assert earlier is not later
    assert earlier.done()
    assert later.done()
    bench.stop(api)
    assert tasks(api) <= before


def test_a_digest_that_is_being_read_is_given_up() -> None:
    async def content() -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    async def story() -> None:
        digests = Digests()
        asked = asyncio.create_task(digests.header("a", 1, content))
        await asyncio.sleep(0)
        await digests.close()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_a_write_after_the_end_fails_instead_of_waiting(tmp_path: Path) -> None:
    async def story() -> None:
        database = Database(tmp_path / "db", "CREATE TABLE IF NOT EXISTS t (k INTEGER)")
        database.close()
        with pytest.raises(sqlite3.ProgrammingError, match="its store is closed"):
            await asyncio.wait_for(database.write(("INSERT INTO t VALUES (1)", ())), 10)

    asyncio.run(story())
