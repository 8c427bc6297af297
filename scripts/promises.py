"""Write `docs/promises.md`: each promise, what proves it, and what came out.

    python scripts/promises.py            run the tests that prove something, read what the benchmarks found last
    python scripts/promises.py --measure  run the benchmarks too, first

A promise about reliability or agreement is held by tests, which either pass or do not; one about speed by a benchmark,
whose latest figures are in `benchmarks/results.json`. What no proof covers yet says which issue is to bring it. This
script knows where proofs are, not how they work.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs

from benchmarks.run import main as measure
from benchmarks.run import read_results

__all__ = ["PROMISES", "Promise", "page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "promises.md"
FAILED = 1
"""Pytest's exit code when tests ran and some failed; anything above it means that they did not run."""
HEADER = """# What we promise, and what is held

Each promise with its proof. **R** is reliability and **N** agreement of numbers: tests, which pass or do not. **P** is
speed: benchmarks, whose figures are ratios measured side by side in one run ([benchmarks](benchmarks.md)); "official"
is the newest official SDK. What is not proven yet names the issue that brings it.

This page is written by `make promises`.
"""


@attrs.frozen
class Promise:
    """One line of the page."""

    name: str
    what: str
    number: str
    proofs: tuple[str, ...] = ()
    """Tests as `file::test` below `tests/`, or the name of one benchmark."""
    open: str = ""
    """What the proofs do not cover, and the issue that does."""
    benchmark: str = ""
    """A benchmark that proves it beside the tests, or instead of them."""

    @property
    def is_measured(self) -> bool:
        """Whether a benchmark proves it, and not tests."""
        return self.name.startswith("P")


PROMISES = (
    Promise(
        "R1",
        "Every public wait ends by its deadline, with a result or a typed error",
        "timeout + 1 s",
        (
            "promises/test_r01_every_wait_ends.py::test_r01_every_public_wait_ends_by_the_deadline",
            "promises/test_r01_every_wait_ends.py::test_r01_every_timeout_holds",
            "promises/test_r01_every_wait_ends.py::test_r01_a_result_that_never_comes_ends_by_the_deadline_of_silence",
            "promises/test_r01_every_wait_ends.py::test_r01_the_interpreter_ends_soon_with_calls_under_way",
        ),
    ),
    Promise(
        "R2",
        "A poll that finds no result costs nothing",
        "job time + 1 round trip + 100 ms",
        (
            "promises/test_r02_polls.py::test_r02_a_slow_job_costs_its_time_and_a_round_trip",
            "promises/test_r02_polls.py::test_r02_any_job_and_any_window",
            "service/test_service_futures.py::test_a_poll_is_held_and_ends_with_the_result",
        ),
    ),
    Promise(
        "R3",
        "The service answers each long poll within 30 s",
        "always",
        (
            "promises/test_r03_long_polls.py::"
            "test_r03_each_poll_is_answered_within_30_seconds_however_long_the_work_takes",
            "promises/test_r03_long_polls.py::test_r03_so_is_each_poll_for_news_whatever_the_client_asks_for",
            "service/test_service_futures.py::test_a_poll_is_answered_within_its_time",
            "service/test_service_futures.py::test_the_settings_keep_the_promises",
        ),
    ),
    Promise(
        "R4",
        "No finished result is lost to a dropped connection",
        "0 of 10,000 polls; kept 300 s",
        (
            "service/test_service_futures.py::test_r04_a_thousand_dropped_polls_lose_no_result",
            "service/test_service_futures.py::test_r04_a_result_is_kept_for_300_seconds_after_each_delivery",
            "service/test_service_results.py::test_r04_results_go_when_their_time_is_over_and_leave_no_file",
        ),
        benchmark="r04_abandoned_polls",
    ),
    Promise(
        "R5",
        "Each training call is applied exactly once under faults",
        "200 faults in 50 steps, bit-equal",
        (
            "promises/test_r05_exactly_once.py::test_r05_two_hundred_faults_leave_no_trace",
            "promises/test_r05_exactly_once.py::test_r05_the_first_delivery_of_every_call_meets_the_fault",
        ),
    ),
    Promise(
        "R6",
        "The same `seq_id` with another body is refused, the model unchanged",
        "typed 409",
        (
            "promises/test_r06_another_body.py::test_r06_the_same_seq_id_with_another_body_is_a_typed_409",
            "service/test_service_training.py::test_a_repeat_is_the_same_request_and_another_body_is_refused",
        ),
    ),
    Promise(
        "R7",
        "`kill -9` of the service or its engine loses nothing acknowledged",
        "each acknowledged checkpoint loads",
        (
            "service/test_service_trains.py::test_killing_the_engine_ends_every_wait_and_loses_no_checkpoint",
            "service/test_service_autosave.py::test_r07_a_run_goes_on_after_the_death_of",
            "interop/test_r07_official_kills.py::test_r07_the_official_sdk_notices_no_more_than_a_pause",
            "promises/test_r07_kills.py::test_r07_ten_random_kills_lose_nothing_acknowledged",
        ),
        benchmark="r07_kills",
    ),
    Promise(
        "R8",
        "Resume is true",
        "bit-equal on CPU with the optimizer, not without",
        (
            "service/test_service_trains.py::test_r08_resuming_is_the_same_as_going_on",
            "engine/test_engine_checkpoint.py::test_r08_resume_is_bit_equal_with_optimizer_and_not_without",
        ),
    ),
    Promise(
        "R9",
        "Calls run in the order they were made",
        "no gap, no hang",
        (
            "promises/test_r09_order.py::test_r09_ten_thousand_interleavings_keep_the_order",
            "promises/test_r09_order.py::test_r09_no_sequence_of_calls_cancellations_and_faults_breaks_the_order",
            "service/test_service_order.py::test_ten_thousand_interleavings_keep_the_order",
        ),
    ),
    Promise(
        "R10",
        "An outage is not made worse",
        "extra requests <= 10% in 60 s; refusal told in 5 s",
        (
            "promises/test_r10_outage.py::"
            "test_r10_a_hundred_callers_of_a_dead_server_make_at_most_ten_more_requests_in_a_minute",
            "promises/test_r10_outage.py::"
            "test_r10_where_nobody_has_ever_answered_everybody_is_told_within_five_seconds",
            "promises/test_r10_outage.py::test_r10_a_refused_connection_is_told_within_five_seconds_of_real_time",
        ),
    ),
    Promise("R11", "The service stays alive under load", "0 errors, heartbeat p95 <= 250 ms", benchmark="r11_load"),
    Promise(
        "R12",
        "Bad input harms nobody",
        "typed, within 1 s, the next step bit-equal",
        (
            "promises/test_r12_bad_input.py::test_r12_bad_input_is_refused_by_name_and_the_next_step_is_as_without_it",
            "promises/test_r12_bad_input.py::test_r12_weights_of_zero_are_no_error_and_add_nothing",
            "engine/test_engine_training.py::test_bad_data_is_refused_and_leaves_no_trace",
            "client/test_client_vertical.py::test_bad_data_is_refused_at_the_call_and_harms_nobody",
        ),
    ),
    Promise(
        "R13",
        "No 5xx from any request, valid or not",
        "0 in the generated cases of each operation, also of 1,000 each (`TINKER_HL_R13_CASES=1000`)",
        (
            "service/test_service_generated_requests.py::test_r13_no_generated_request_is_answered_with_5xx",
            "service/test_service_generated_requests.py::test_r13_no_protobuf_body_is_answered_with_5xx",
            "service/test_service_generated_requests.py::test_r13_nothing_that_fits_into_http_is_answered_with_5xx",
            "service/test_service_sequences.py::test_r13_no_sequence_of_calls_is_answered_with_5xx",
            "service/test_service_fuzz.py::test_nothing_is_answered_with_5xx",
        ),
    ),
    Promise(
        "R14",
        "No secret leaves the process by another door than the auth header",
        "the key is found nowhere else",
        (
            "promises/test_r14_secrets.py::test_r14_a_run_shows_no_secret",
            "promises/test_r14_secrets.py::test_r14_the_log_of_a_program_shows_no_secret",
            "promises/test_r14_secrets.py::test_fault_26_clients_and_errors_are_pickled_without_keys",
        ),
    ),
    Promise(
        "R15",
        "A user error reaches the caller at once",
        "<= 50 ms after the response",
        (
            "promises/test_r15_user_error.py::test_r15_a_refusal_reaches_the_caller_at_once_and_without_a_wait",
            "promises/test_r15_user_error.py::test_r15_a_request_that_failed_by_the_users_fault_is_told_at_once",
            "promises/test_r15_user_error.py::test_r15_against_the_real_service_on_a_socket",
        ),
    ),
    Promise("P1", "`import`: time and memory / official", "<= 0.25x, <= 0.5x", ("p01_import",)),
    Promise(
        "P2",
        "`forward_backward` of 256 x 4,096 tokens: client CPU / official; longest block",
        "<= 0.4x; <= 5 ms",
        ("p02_forward_backward",),
    ),
    Promise("P3", "1,000 concurrent `sample` calls / official", "wall, CPU <= 0.25x; memory <= 0.5x", ("p03_sample",)),
    Promise(
        "P4", "From a result on the server to `.result()` / official", "<= 1.0x; p50 <= 5 ms", ("p04_result_latency",)
    ),
    Promise("P5", "Reading 256 x 4,096 logprobs / official", "<= 1.0x", ("p05_reading_logprobs",)),
    Promise(
        "P6",
        "10,000 futures pending / official",
        "constant connections; CPU <= 0.25x; <= 10 kB a future",
        ("p06_pending_futures",),
    ),
    Promise("P7", "`--help` of the command line", "<= 200 ms", ("p07_help",)),
    Promise("P8", "Round trip with a null engine, 32 in flight", "p50 <= 10 ms, p99 <= 50 ms", ("p08_round_trip",)),
    Promise(
        "P9",
        "Training tokens a second through HTTP / a loop of torch + peft",
        ">= 0.95x equal, >= 1.2x mixed lengths; memory <= 1.0x",
        ("p09_training",),
    ),
    Promise(
        "P10",
        "Sampling tokens a second, 64 callers / `generate` one by one; its best static batch",
        ">= 5x; >= 1.0x equal, >= 1.3x mixed lengths",
        ("p10_sampling",),
    ),
    Promise("P11", "Sampling through 8 adapters / one", ">= 0.7x", ("p11_adapters",)),
    Promise("P12", "Cost per call as records grow 100-fold", "<= 1.2x", ("p12_growth",)),
    Promise("P13", "Client command to first trained step", "<= 15 s", ("p13_first_step",)),
    Promise(
        "N1",
        "Sampling logprobs == training logprobs",
        "mean abs diff <= 1e-5",
        (
            "engine/test_engine_sampling.py::test_n01_sample_logprobs_are_training_logprobs",
            "engine/test_engine_sampling_twin.py::test_n01_a_crowd_of_adapters_has_the_logprobs_of_training",
        ),
    ),
    Promise(
        "N2",
        "The exported adapter in plain peft",
        "<= 1e-4 a token",
        (
            "engine/test_engine_training.py::test_n02_agrees_with_plain_peft",
            "checkpoints/test_checkpoints_export.py::test_n2_an_exported_adapter_agrees_with_plain_peft",
            "checkpoints/test_checkpoints_importing.py::test_n2_an_imported_adapter_says_what_it_said_in_peft",
        ),
    ),
    Promise(
        "N3",
        "Same seed, same tokens; samples of one request differ; independent of batch mates",
        "always",
        (
            "engine/test_engine_sampling.py::test_n03_same_seed_same_tokens_whoever_shares_the_batch",
            "engine/test_engine_sampling.py::test_n03_requests_without_a_seed_differ",
            "engine/test_engine_sampling_twin.py::test_n03_a_hundred_of_a_hundred_samples_are_the_same_in_a_crowd",
            "engine/test_engine_sampling_twin.py::test_n03_seeds_of_64_bits_are_all_different",
        ),
    ),
    Promise(
        "N4",
        "Gradients of each loss, custom loss and optimizer against plain autograd",
        "1e-6 relative (fp64)",
        (
            "engine/test_engine_losses.py::test_n04_value_and_gradient",
            "engine/test_engine_optimizer.py::test_n04_agrees_with_torch_step_by_step",
            "promises/test_n04_custom_loss.py::test_n04_a_built_in_loss_written_by_hand_has_its_gradient",
            "promises/test_n04_custom_loss.py::test_n04_any_loss_has_the_gradient_of_plain_autograd",
            "promises/test_n04_custom_loss.py::test_n04_a_pipeline_has_the_gradient_of_plain_autograd",
            "promises/test_n04_custom_loss.py::test_n04_soft_targets_over_candidates",
            "promises/test_n04_custom_loss.py::test_n04_a_traced_loss_has_the_gradient_of_plain_autograd",
            "promises/test_n04_custom_loss.py::test_n04_weights_are_minus_the_derivative",
        ),
    ),
    Promise(
        "N5",
        "Metric reductions and chunking: one chunk == many chunks",
        "exact",
        (
            "client/test_client_metrics_reduction.py::test_n05_many_chunks_say_what_one_would",
            "client/test_client_metrics_reduction.py::test_n05_whole_numbers_are_exact_however_they_are_cut",
            "engine/test_engine_training.py::test_n05_micro_batches_change_nothing",
        ),
        "gradients of the service to the bit: they agree to float32 rounding, 1e-6 relative",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/promises.md.")
    parser.add_argument("--measure", action="store_true", help="run the benchmarks first")
    options = parser.parse_args(arguments)
    if options.measure:
        measure([])
    tests = [proof for promise in PROMISES if not promise.is_measured for proof in promise.proofs]
    PAGE.write_text(page(outcomes(tests), read_results()), encoding="utf-8")
    return 0


def outcomes(tests: Sequence[str]) -> dict[str, bool]:
    """Run tests, and say of each whether all its cases passed.

    Args:
        tests: `file::test` below `tests/`.
    """
    passed: dict[str, bool] = {}
    for _, group in groupby(sorted(tests), key=lambda test: test.partition("/")[0]):
        passed |= _folder_outcomes(list(group))
    return passed


def _folder_outcomes(tests: Sequence[str]) -> dict[str, bool]:
    with tempfile.NamedTemporaryFile(suffix=".xml") as found:
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={found.name}"]
        ended = subprocess.run(
            [*command, *(f"tests/{test}" for test in tests)], cwd=ROOT, check=False, stdout=sys.stderr
        )
        cases = list(ElementTree.parse(found.name).iter("testcase"))
    if ended.returncode > FAILED:
        raise RuntimeError(f"pytest could not run {', '.join(tests)}")
    return {test: _passed(test, cases) for test in tests}


def _passed(test: str, cases: Sequence[ElementTree.Element]) -> bool:
    path, _, name = test.partition("::")
    module = "tests." + path.removesuffix(".py").replace("/", ".")
    mine = [
        case for case in cases if case.get("classname") == module and case.get("name", "").partition("[")[0] == name
    ]
    bad = ("failure", "error", "skipped")
    return bool(mine) and not any(case.find(kind) is not None for case in mine for kind in bad)


def page(passed: Mapping[str, bool], measured: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page.

    Args:
        passed: of each test that proves something, whether it passed.
        measured: what each benchmark found, by its script's name.
    """
    cells = [(p.name, p.what, p.number, _proof(p), _value(p, passed, measured)) for p in PROMISES]
    rows = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([HEADER, "| # | Promise | Number | Proof | Value |", "|---|---|---|---|---|", *rows]) + "\n"


def _proof(promise: Promise) -> str:
    folder, suffix = ("benchmarks", ".py") if promise.is_measured else ("tests", "")
    names = dict.fromkeys(f"{folder}/{proof.partition('::')[0]}{suffix}" for proof in promise.proofs)
    if promise.benchmark:
        names[f"benchmarks/{promise.benchmark}.py"] = None
    return ", ".join(f"[{Path(name).stem}](../{name})" for name in names)


def _value(promise: Promise, passed: Mapping[str, bool], measured: Mapping[str, Mapping[str, Any]]) -> str:
    benchmarks = promise.proofs[:1] if promise.is_measured else (promise.benchmark,) if promise.benchmark else ()
    tests = () if promise.is_measured else promise.proofs
    said = ["held" if all(passed[test] for test in tests) else "**broken**"] if tests else []
    for benchmark in benchmarks:
        found = measured.get(benchmark)
        said.append("not measured yet: `make bench`" if found is None else _goals(found["goals"]))
    if promise.open:
        said.append(f"not yet: {promise.open}")
    return "; ".join(said)


def _goals(goals: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{goal['goal']}: {goal['value']:g}{'' if goal['met'] else ' **missed**'}" for goal in goals)


if __name__ == "__main__":
    raise SystemExit(main())
