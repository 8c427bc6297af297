"""`/metrics`: what a service did and holds, in a form that Prometheus reads, shown to those who may see everything."""

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from service_bench import Api, Bench, GatedEngine

from tinker_local.keys_cli import keys


def numbers(api: Api, **headers: str) -> dict[tuple[str, str], float]:
    """Every sample by its name and the values of its labels."""
    answer = api.request("GET", "/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, " ".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_and_timed_by_operation_and_status(api: Api) -> None:
    session_id = api.session()
    api.session()
    api.refused(404, "get_session", path={"session_id": "nobody"})
    api.request("GET", "/api/v1/nothing")
    seen = numbers(api)
    assert seen["tinker_requests_total", "create_session 200"] == 2
    assert seen["tinker_requests_total", "get_session 404"] == 1
    assert seen["tinker_requests_total", "other 404"] == 1
    assert seen["tinker_request_seconds_count", "create_session"] == 2
    assert 0 < seen["tinker_request_seconds_sum", "create_session"] < 60
    assert session_id not in str(seen), "no label may grow with use"


def test_what_the_service_holds_is_told(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    session_id = api.session()
    model_id = api.model(session_id)
    api.save(model_id, 1, "kept")
    sampler_id = api.sampler(session_id)
    api.result(api.sample(sampler_id))
    api.result(api.forward_backward(model_id, 2))
    engine.gate.clear()
    for seq_id in range(3, 10):
        api.forward_backward(model_id, seq_id)
    api.sample(sampler_id, 1)
    seen = numbers(api)
    assert seen["tinker_engine_up", ""] == 1
    assert seen["tinker_engine_starts_total", ""] == 1
    assert (seen["tinker_sessions", ""], seen["tinker_models", ""], seen["tinker_samplers", ""]) == (1, 1, 1)
    assert seen["tinker_training_calls_waiting", ""] == 3, "four of seven are with the engine"
    assert seen["tinker_samples_under_way", ""] == 1
    assert seen["tinker_results_held", ""] == len(api.service.futures)
    assert seen["tinker_tokens_total", "training"] == 2
    assert seen["tinker_tokens_total", "sampling_prefill"] == 3
    assert seen["tinker_tokens_total", "sampling_sample"] == 2
    (record,) = api.service.records.all_checkpoints()
    assert (seen["tinker_checkpoints", ""], seen["tinker_checkpoint_bytes", ""]) == (1, record.size_bytes)
    assert seen["process_resident_memory_bytes", ""] > 0
    assert seen["process_open_fds", ""] > 0
    engine.gate.set()


def test_a_dead_engine_is_seen(bench: Bench) -> None:
    engine = GatedEngine()
    api = bench.start(engine)
    api.do(engine.die)
    api.run(api.service.supervision.wait_ready())
    assert numbers(api)["tinker_engine_starts_total", ""] == 2


def test_a_request_that_is_cut_and_one_that_fails_are_counted_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(api.service.sessions, "record", broken)
    assert api.request("GET", "/api/v1/sessions/x").status_code == 500
    assert numbers(api)["tinker_requests_total", "get_session 500"] == 1


def test_who_needs_a_key_needs_one_for_all(bench: Bench) -> None:
    def made(name: str, *options: str) -> str:
        arguments = ["create", "--name", name, *options, "--data-dir", str(bench.data_dir)]
        return CliRunner().invoke(keys, arguments, catch_exceptions=False).output.strip()

    own, all_seeing = made("ann"), made("boss", "--scope", "all")
    api = bench.start()
    assert api.request("GET", "/metrics").status_code == 401
    assert api.request("GET", "/metrics", headers={"x-api-key": own}).status_code == 403
    assert numbers(api, authorization=f"Bearer {all_seeing}")
    assert numbers(api, **{"x-api-key": all_seeing})


def test_services_of_one_process_do_not_mix(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> None:
    one = bench.start()
    one.session()
    other = bench.start(data_dir=tmp_path_factory.mktemp("other"))
    assert ("tinker_requests_total", "create_session 200") not in numbers(other)
