"""A service of one's own: ready when it is there, gone when its owner is, closed to everybody else."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tinker_local import embedded
from tinker_local.datadir import held, is_free
from tinker_local.embedded import EmbeddedService, EmbeddedStartError
from tinker_local.settings import ModelSource

OWNER = """
import os, sys
from tinker_local import embedded
service = embedded.start(engine="null")
if os.environ.get("FORK") and os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(service.pid, flush=True)
{end}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for the services of a test."""
    monkeypatch.setenv("TINKER_HL_HOME", str(tmp_path))
    monkeypatch.setenv("TINKER_API_KEY", "tml-for-the-hosted-service")
    return tmp_path


@pytest.fixture
def service(home: Path) -> Iterator[EmbeddedService]:
    with embedded.start(engine="null") as running:
        yield running


def capabilities(service: EmbeddedService, key: str | None) -> int:
    headers = {} if key is None else {"X-API-Key": key}
    return httpx.get(f"{service.base_url}/api/v1/get_server_capabilities", headers=headers).status_code


def test_it_is_ready_and_lets_in_nobody_else(service: EmbeddedService, home: Path) -> None:
    assert httpx.get(f"{service.base_url}/api/v1/healthz").status_code == 200
    assert capabilities(service, service.api_key) == 200
    assert capabilities(service, "tml-for-the-hosted-service") == capabilities(service, None) == 401
    assert service.base_url.startswith("http://127.0.0.1:")
    assert service.data_dir == home / "local"


def test_its_key_is_nowhere_to_be_read(service: EmbeddedService) -> None:
    process = psutil.Process(service.pid)
    assert service.api_key not in repr(service)
    assert service.api_key not in " ".join(process.cmdline())
    assert not {"TINKER_API_KEY", service.api_key} & {*process.environ().keys(), *process.environ().values()}
    service.close()
    assert service.api_key not in service.log_path.read_text()


def test_closing_ends_it_and_may_be_repeated(service: EmbeddedService) -> None:
    assert not is_free(service.data_dir)
    service.close()
    assert not psutil.pid_exists(service.pid)
    assert is_free(service.data_dir)
    service.close()


def test_each_service_has_a_folder_of_its_own(home: Path, service: EmbeddedService) -> None:
    with held(home / "local-2"), embedded.start(engine="null") as third:
        assert third.data_dir == home / "local-3"
        assert third.api_key != service.api_key
        assert capabilities(third, service.api_key) == 401


SCRIPT = """
import sys
from tinker_hl import ServiceClient
with ServiceClient(base_url="local") as service:
    if len(sys.argv) == 1:
        trainer = service.create_lora_training_client("tinker-hl/tiny", rank=4).result()
        print(trainer.save_state("kept").result().path)
    else:
        trainer = service.create_training_client_from_state_with_optimizer(sys.argv[1]).result()
        print(trainer.save_state("again").result().path)
"""


def script(home: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TINKER_")}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=environment | {"TINKER_HL_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.timeout(300)
def test_a_script_that_runs_again_loads_what_it_saved(tmp_path: Path) -> None:
    """Each run is a process of its own with a service of its own; the folder is the same."""
    saved = script(tmp_path)
    assert script(tmp_path, saved).endswith("/weights/again")
    assert [folder.name for folder in tmp_path.iterdir()] == ["local"]


def test_the_key_belongs_to_the_folder(home: Path) -> None:
    with embedded.start(engine="null") as first:
        key = first.api_key
    with embedded.start(engine="null") as second:
        assert (second.api_key, second.data_dir) == (key, first.data_dir)
        assert not second.passing
    kept = [path for path in first.data_dir.rglob("*") if path.is_file()]
    assert first.data_dir / "secret" in kept
    assert not any(key.encode() in path.read_bytes() for path in kept)
    assert (first.data_dir / "secret").stat().st_mode & 0o077 == 0


def test_where_nothing_can_be_kept_it_is_told_and_the_folder_goes_with_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINKER_HL_HOME", str(tmp_path / "file"))
    with embedded.start(engine="null") as service, embedded.start(engine="null") as other:
        assert service.passing
        assert capabilities(service, service.api_key) == 200
        assert capabilities(other, service.api_key) == 401
        assert service.data_dir.is_dir()
        line, _ = [record.getMessage() for record in caplog.records if record.name == "tinker_local.embedded"]
        assert str(tmp_path / "file") in line
        assert str(service.data_dir) in line
        assert service.api_key not in caplog.text
    assert not service.data_dir.exists()
    with pytest.raises(EmbeddedStartError, match=r"cannot keep its data in .*file"):
        embedded.start(engine="null", data_dir=tmp_path / "file" / "mine")


def test_a_passing_folder_goes_with_a_start_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINKER_HL_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(EmbeddedStartError, match="no such folder"):
        embedded.start(models=[ModelSource(name="x", path="./nowhere")])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_damaged_secret_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(EmbeddedStartError, match=r"no secret in .* is not 32 bytes long"):
        embedded.start(engine="null", data_dir=tmp_path)


def test_a_folder_taken_in_the_last_moment_is_passed_over(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "is_free", lambda directory: True)
    with held(home / "local"), embedded.start(engine="null") as service:
        assert service.data_dir == home / "local-2"


def test_a_folder_of_ones_choice_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with held(tmp_path / "mine") as directory, pytest.raises(EmbeddedStartError, match="another service"):
        embedded.start(engine="null", data_dir=directory)


def owner(end: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER.format(end=end)],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("end", "forked"),
    [("os.kill(os.getpid(), 9)", False), ("os.kill(os.getpid(), 9)", True), ("sys.exit(0)", True)],
    ids=["killed", "killed, but a forked child lives on", "gone as planned, but a forked child lives on"],
)
def test_it_ends_with_its_owner_however_that_ends(home: Path, end: str, forked: bool) -> None:
    with owner(end, **({"FORK": "1"} if forked else {})) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.wait(60)
        if not forked:  # and who starts again at once waits for it
            with embedded.start(engine="null") as again:
                assert again.data_dir == home / "local"
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).wait(30)
        assert is_free(home / "local")


def test_a_forked_child_does_not_end_it(service: EmbeddedService) -> None:
    child = os.fork()
    if child == 0:
        service.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert capabilities(service, service.api_key) == 200


def test_ctrl_c_is_for_the_owner_alone(service: EmbeddedService) -> None:
    assert os.getpgid(service.pid) == service.pid


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedStartError, match=r"(?s)ended with code 2 .*service\.log.*no such folder"):
        embedded.start(models=[ModelSource(name="x", path="./nowhere")], data_dir=tmp_path)
    assert is_free(tmp_path)


def test_models_that_cannot_be_loaded_end_it(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "nothing-known"}')
    with pytest.raises(EmbeddedStartError, match=r"(?s)ended with code 1 .*Error: the engine could not start"):
        embedded.start(models=[ModelSource(name="x", path=str(model))], data_dir=tmp_path / "data")
    assert is_free(tmp_path / "data")


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    with pytest.raises(EmbeddedStartError, match="not ready in time"):
        embedded.start(engine="null", data_dir=tmp_path, deadline_seconds=0.0)
    assert is_free(tmp_path)
    assert set(psutil.Process().children()) <= before
