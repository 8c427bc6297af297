"""Many clients, threads, event loops, a notebook, forks, spawns and process pools, against the service on a socket."""

import ast
import asyncio
import concurrent.futures
import inspect
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from client_bench import KEY, MODEL, SocketService

from tinker_hl import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient, TinkerError, TrainingClient

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
SECONDS = 60


def client_of(service: SocketService) -> ServiceClient:
    return ServiceClient(base_url=service.base_url, api_key=KEY)


def datum() -> Datum:
    return Datum(ModelInput.from_ints([5, 6]), {"target_tokens": [6, 7], "weights": [1.0, 1.0]})


def train(training: TrainingClient, passes: int = 3) -> float:
    for _ in range(passes):
        training.forward_backward([datum()], "cross_entropy")
    return training.optim_step(AdamParams()).result(SECONDS).metrics["passes:sum"]


def test_many_clients_in_many_threads(socket_service: SocketService) -> None:
    def use(number: int) -> float:
        with client_of(socket_service) as service:
            return train(service.create_lora_training_client(MODEL, rank=4), number)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(1, 17), timeout=SECONDS)) == [float(number) for number in range(1, 17)]


def test_one_client_in_many_threads_and_loops(socket_service: SocketService) -> None:
    async def use(sampler: Any) -> list[int]:
        prompt, params = ModelInput.from_ints([1, 2]), SamplingParams(max_tokens=3)
        responses = await asyncio.gather(*(sampler.sample(prompt, 1, params) for _ in range(10)))
        return [len(response.sequences[0].tokens) for response in responses]

    with client_of(socket_service) as service, concurrent.futures.ThreadPoolExecutor(6) as pool:
        sampler = service.create_sampling_client(base_model=MODEL)
        found = list(pool.map(lambda _: asyncio.run(use(sampler)), range(6), timeout=SECONDS))
    assert found == [[3] * 10] * 6


def test_a_future_made_in_one_loop_is_awaited_in_others(socket_service: SocketService) -> None:
    with client_of(socket_service) as service:
        training = service.create_lora_training_client(MODEL, rank=4)
        future = training.forward_backward([datum()], "cross_entropy")

        async def wait() -> dict[str, float]:
            return (await future).metrics

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: asyncio.run(wait()), range(4), timeout=SECONDS))
        assert found == [future.result(SECONDS).metrics] * 4


CELLS = [
    """
    from tinker_hl import *
    service = ServiceClient(base_url=BASE_URL, api_key=KEY)
    trainer = service.create_lora_training_client(MODEL, rank=4)
    datum = Datum(ModelInput.from_ints([5, 6]), {"target_tokens": [6, 7], "weights": [1.0, 1.0]})
    """,
    """
    first = trainer.forward_backward([datum], "cross_entropy")
    model_id = trainer.model_id
    first_metrics = first.result(60).metrics
    """,
    """
    second = await trainer.forward_backward_async([datum], "cross_entropy")
    second_metrics = (await second).metrics
    """,
    """
    import asyncio
    steps = await asyncio.gather(trainer.optim_step(AdamParams()), trainer.optim_step(AdamParams()))
    passes = [step.metrics["passes:sum"] for step in steps]
    """,
    """
    sampler = trainer.save_weights_and_get_sampling_client()
    sequences = (await sampler.sample(ModelInput.from_ints([1]), 2, SamplingParams(max_tokens=2))).sequences
    logprobs = sampler.compute_logprobs(ModelInput.from_ints([1, 2])).result(60)
    """,
    "await service.close()",
]


def test_a_notebooks_cells(socket_service: SocketService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells are compiled with `await` allowed and run in a loop that is running already, as ipykernel does it."""
    names: dict[str, Any] = {"BASE_URL": socket_service.base_url, "KEY": KEY, "MODEL": MODEL}

    async def kernel() -> None:
        for number, cell in enumerate(CELLS):
            code = compile(textwrap.dedent(cell), f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            outcome = eval(code, names)
            if inspect.iscoroutine(outcome):
                await outcome

    asyncio.run(asyncio.wait_for(kernel(), SECONDS))
    assert names["passes"] == [2.0, 0.0]
    assert names["first_metrics"] == names["second_metrics"]
    assert len(names["sequences"]) == 2
    assert names["logprobs"][0] is None


PROGRAM_START = """
import asyncio, concurrent.futures, multiprocessing, os, signal, sys, threading
from tinker_hl import *

BASE_URL, KEY, MODEL = sys.argv[1:4]
os.environ["TINKER_API_KEY"] = KEY
PROMPT, PARAMS = ModelInput.from_ints([1, 2]), SamplingParams(max_tokens=3)

def new_service():
    return ServiceClient(base_url=BASE_URL)

def train(training, passes):
    datum = Datum(ModelInput.from_ints([5, 6]), {"target_tokens": [6, 7], "weights": [1.0, 1.0]})
    for _ in range(passes):
        training.forward_backward([datum], "cross_entropy")
    return training.optim_step(AdamParams()).result(60).metrics["passes:sum"]

def draw(sampler):
    return len(sampler.sample(PROMPT, 1, PARAMS).result(60).sequences[0].tokens)

def draw_in_a_loop(sampler):
    async def use():
        return (await sampler.sample_async(PROMPT, 1, PARAMS)).sequences
    return len(asyncio.run(use())[0].tokens)

def train_own(passes):
    with new_service() as service:
        return train(service.create_lora_training_client(MODEL, rank=4), passes)

def in_child(work):
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def run_program(folder: Path, service: SocketService, body: str) -> str:
    """Run a program of its own: pytest's process has threads that no test should fork."""
    path = folder / "program.py"
    main = (
        "def main():\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
        + "\n\nif __name__ == '__main__':\n    main()\n"
    )
    path.write_text(PROGRAM_START + "\n" + main)
    command = [sys.executable, "-X", "faulthandler", str(path), service.base_url, KEY, MODEL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@forks
def test_fault_10_every_client_goes_on_in_a_forked_child(socket_service: SocketService, tmp_path: Path) -> None:
    body = """
    service = new_service()
    training = service.create_lora_training_client(MODEL, rank=4)
    sampler = training.save_weights_and_get_sampling_client()
    rest = service.create_rest_client()
    assert draw(sampler) == 3 and train(training, 2) == 2.0
    rest.list_training_runs().result(60)

    def child():
        assert draw(sampler) == 3 and draw_in_a_loop(sampler) == 3
        assert rest.get_training_run(training.model_id).result(60).training_run_id == training.model_id
        assert train_own(3) == 3.0
        with new_service() as other:
            assert train(other.create_lora_training_client(MODEL, rank=4), 1) == 1.0

    in_child(child)
    in_child(lambda: in_child(child))
    assert draw(sampler) == 3 and train(training, 4) == 4.0
    service.close().result(60)
    """
    run_program(tmp_path, socket_service, body)


@forks
def test_fault_10_a_fork_in_the_middle_of_calls(socket_service: SocketService, tmp_path: Path) -> None:
    body = """
    service = new_service()
    training = service.create_lora_training_client(MODEL, rank=4)
    sampler = service.create_sampling_client(base_model=MODEL).result(60)
    under_way = [sampler.sample(PROMPT, 1, PARAMS) for _ in range(50)]
    step = training.optim_step(AdamParams())

    def child():
        assert draw(sampler) == 3
        for future in under_way:
            try:
                future.result(60)
            except RuntimeError as error:
                assert "fork" in str(error)

    in_child(child)
    assert [len(one.result(60).sequences) for one in under_way] == [1] * 50
    step.result(60)
    assert train(training, 2) == 2.0
    """
    run_program(tmp_path, socket_service, body)


@forks
def test_fault_10_a_fork_while_the_loop_imports_a_module(socket_service: SocketService, tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.5)\nDONE = True\n")
    body = """
    import importlib
    from tinker_hl.loop import event_loop
    sys.path.insert(0, os.path.dirname(__file__))
    started = threading.Event()

    def load():
        started.set()
        return importlib.import_module("slow_to_import").DONE

    async def load_on_the_loop():
        return load()

    loading = asyncio.run_coroutine_threadsafe(load_on_the_loop(), event_loop())
    assert started.wait(60)
    in_child(load)
    assert loading.result(60)
    """
    run_program(tmp_path, socket_service, body)


@pytest.mark.parametrize("method", [pytest.param("fork", marks=forks), "spawn"])
def test_a_sampling_client_goes_into_a_process_pool(socket_service: SocketService, tmp_path: Path, method: str) -> None:
    body = f"""
    context = multiprocessing.get_context({method!r})
    with new_service() as service:
        sampler = service.create_lora_training_client(MODEL, rank=4).save_weights_and_get_sampling_client()
        assert draw(sampler) == 3
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(draw, [sampler] * 6, timeout=80)) == [3] * 6
            assert list(pool.map(draw_in_a_loop, [sampler.result()] * 4, timeout=80)) == [3] * 4
            assert list(pool.map(train_own, range(1, 4), timeout=80)) == [1.0, 2.0, 3.0]
        assert draw(sampler) == 3
    """
    run_program(tmp_path, socket_service, body)


@pytest.mark.parametrize("method", [pytest.param("fork", marks=forks), "spawn"])
def test_a_process_of_its_own_beside_a_used_client(socket_service: SocketService, tmp_path: Path, method: str) -> None:
    body = f"""
    context = multiprocessing.get_context({method!r})
    with new_service() as service:
        training = service.create_lora_training_client(MODEL, rank=4)
        assert train(training, 1) == 1.0
        children = [context.Process(target=train_own, args=(passes,)) for passes in (1, 2)]
        for child in children:
            child.start()
        for child in children:
            child.join(80)
        assert [child.exitcode for child in children] == [0, 0]
        assert train(training, 2) == 2.0
    """
    run_program(tmp_path, socket_service, body)


def test_the_end_of_a_program_waits_for_no_call(socket_service: SocketService, tmp_path: Path) -> None:
    """A program ends with calls under way, and its session is finished."""
    body = """
    service = new_service()
    training = service.create_lora_training_client(MODEL, rank=4).result(60)
    for _ in range(200):
        training.optim_step(AdamParams())
    print(service.get_console_url().rsplit("/", 1)[-1])
    """
    session_id = run_program(tmp_path, socket_service, body).strip()
    with client_of(socket_service) as service:
        session = service.create_rest_client().get_session(session_id).result(SECONDS)
    assert session.training_run_ids


def test_threads_that_make_calls_while_the_client_closes_all_end(socket_service: SocketService) -> None:
    service = client_of(socket_service)
    training = service.create_lora_training_client(MODEL, rank=4).result(SECONDS)
    made: list[Any] = []
    closing = threading.Event()

    def work() -> None:
        while not closing.is_set() or len(made) < 20:
            try:
                made.append(training.optim_step(AdamParams()))
            except RuntimeError:
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    service.close().result(SECONDS)
    closing.set()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert len(made) >= 20
    for future in made:
        error = future.exception(SECONDS)
        assert error is None or isinstance(error, TinkerError)


def test_ctrl_c_while_a_call_is_being_made_leaves_no_place_that_others_wait_for(
    socket_service: SocketService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(coroutine: Any, on_end: Any) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    with client_of(socket_service) as service:
        training = service.create_lora_training_client(MODEL, rank=4).result(SECONDS)
        with monkeypatch.context() as patch:
            patch.setattr("tinker_hl.clients.ordered.APIFuture", interrupted)
            patch.setattr("tinker_hl.clients.training.PendingSamplingClient", interrupted)
            with pytest.raises(KeyboardInterrupt):
                training.optim_step(AdamParams())
            with pytest.raises(KeyboardInterrupt):
                training.save_weights_and_get_sampling_client()
        assert train(training) == 3.0


@forks
def test_models_of_forked_children_are_different_ones(socket_service: SocketService, tmp_path: Path) -> None:
    script = f"""
        import os, sys
        from tinker_hl import ServiceClient
        service = ServiceClient(base_url={socket_service.base_url!r}, api_key={KEY!r})
        def made():
            return service.create_lora_training_client({MODEL!r}, rank=4).result({SECONDS}).model_id
        print(made(), flush=True)
        for _ in range(2):
            child = os.fork()
            if child == 0:
                print(made(), flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        print(made(), flush=True)
    """
    file = tmp_path / "forking.py"
    file.write_text(textwrap.dedent(script))
    ended = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=SECONDS, check=True)
    models = ended.stdout.split()
    assert len(models) == len(set(models)) == 4, models
    assert ended.stderr == ""
