"""The engine dies: every promise ends and says what to do, and the service goes on with a new one."""

from collections.abc import Sequence

from service_bench import SOURCES, Api, Bench, GatedEngine

from tinker_local.engine.protocol import BaseModelInfo, EngineDiedError, EngineError


class MortalEngine(GatedEngine):
    """An engine whose later starts may fail."""

    def __init__(self, failed_starts: int = 0) -> None:
        super().__init__(SOURCES)
        self.starts = 0
        self.failed_starts = failed_starts

    async def start(self) -> Sequence[BaseModelInfo]:
        self.starts += 1
        if 1 < self.starts <= 1 + self.failed_starts:
            raise EngineError("not yet")
        return await super().start()


def killed(api: Api, engine: MortalEngine) -> None:
    api.do(engine.die)
    api.run(api.service.supervision.wait_ready())


def test_what_was_under_way_ends_and_names_the_newest_checkpoint(bench: Bench) -> None:
    engine = MortalEngine()
    api = bench.start(engine)
    model_id = api.model()
    api.save(model_id, 1, "first")
    newest = api.save(model_id, 2, "second")
    api.do(engine.gate.clear)
    open_ones = [api.forward_backward(model_id, seq_id) for seq_id in (3, 4, 5, 6, 7, 8, 9)]
    held = api.forward_backward(model_id, 11)
    killed(api, engine)
    for promise in (*open_ones, held):
        failure = api.result(promise)
        assert (failure["category"], newest in failure["error"]) == ("server", True), failure


class DyingEngine(MortalEngine):
    """An engine that dies of being told to free a sampler."""

    async def unload_sampler(self, sampler_id: str) -> None:
        self.die()
        raise EngineDiedError("it died of it")


def test_a_session_ends_as_a_whole_though_the_engine_dies_of_it(bench: Bench) -> None:
    api = bench.start(DyingEngine())
    session_id = api.session()
    model_id = api.model(session_id)
    saved = api.result(api.ok("save_weights_for_sampler", body={"model_id": model_id, "seq_id": 1, "path": "a"}))[
        "path"
    ]
    for number, on in enumerate(({"base_model": "null/base"}, {"model_path": saved})):
        api.result(api.sample(api.sampler(session_id, number, **on)))
    api.ok("finish_session", path={"session_id": session_id}, body={"reason": {"type": "success"}})
    assert not len(api.service.engine_samplers)
    assert not api.service.samplers.of_session(session_id)


def test_a_lost_model_says_so_to_each_request_and_a_new_one_works(bench: Bench) -> None:
    engine = MortalEngine()
    api = bench.start(engine)
    session_id = api.session()
    model_id = api.model(session_id)
    saved = api.save(model_id, 1, "a")
    unsaved = api.model(session_id, 1)
    killed(api, engine)
    assert saved in api.result(api.forward_backward(model_id, 2))["error"]
    assert "no checkpoint" in api.result(api.forward_backward(unsaved, 5))["error"]
    load = {"session_id": session_id, "model_seq_id": 2, "path": saved, "optimizer": True}
    again = api.result(api.ok("load_weights", body=load))["model_id"]
    assert "metrics" in api.result(api.forward_backward(again, 1))


def test_samplers_come_back_unless_they_were_in_memory(bench: Bench) -> None:
    engine = MortalEngine()
    api = bench.start(engine)
    session_id = api.session()
    model_id = api.model(session_id)
    base = api.sampler(session_id, 0)
    on_disk = api.sampler(session_id, 1, model_path=api.save(model_id, 1, "a"))
    body = {"model_id": model_id, "seq_id": 2, "sampling_session_seq_id": 2}
    in_memory = api.result(api.ok("save_weights_for_sampler", body=body))["sampling_session_id"]
    for sampler_id in (base, on_disk, in_memory):
        assert "sequences" in api.result(api.sample(sampler_id, 0))
    api.do(engine.gate.clear)
    cut = api.sample(base, 1)
    killed(api, engine)
    assert api.result(cut)["category"] == "server"
    for sampler_id in (base, on_disk):
        assert "sequences" in api.result(api.sample(sampler_id, 2))
    assert "only in its memory" in api.result(api.sample(in_memory, 2))["error"]


def test_it_is_started_again_until_it_starts(bench: Bench) -> None:
    engine = MortalEngine(failed_starts=2)
    api = bench.start(engine)
    session_id = api.session()

    def die_and_ask() -> tuple[bool, str | None]:
        engine.die()
        return api.service.supervision.ready, api.service.supervision.problem

    ready, problem = api.do(die_and_ask)
    assert (ready, "started again" in (problem or "")) == (False, True)
    api.run(api.service.supervision.wait_ready())
    assert engine.starts == 4
    assert api.model(session_id)


def test_the_session_outlives_the_engine(bench: Bench) -> None:
    engine = MortalEngine()
    api = bench.start(engine)
    session_id = api.session()
    killed(api, engine)
    api.ok("heartbeat_session", body={"session_id": session_id})
    assert api.model(session_id) == f"{session_id}:train:0"
