"""`tinker_hl.compat`: the official package's names lead to our objects, in this process and in child processes."""

import importlib
import importlib.metadata
import inspect
import json
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest

import tinker_hl
import tinker_hl.compat
from tinker_hl.compat.modules import ELSEWHERE, MODULES
from tinker_hl.version import OFFICIAL_VERSION


@pytest.fixture
def tinker() -> Iterator[Any]:
    tinker_hl.compat.install()
    yield importlib.import_module("tinker")
    tinker_hl.compat.uninstall()


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False, cwd=cwd
    )


def printed(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_each_public_name_is_the_same_object(tinker: Any) -> None:
    for name in tinker_hl.__all__:
        if name not in {"types", "auth", "__version__", "__title__"}:
            assert getattr(tinker, name) is getattr(tinker_hl, name), name
    for name in tinker_hl.types.__all__:
        assert getattr(tinker.types, name) is getattr(tinker_hl.types, name), name


def test_isinstance_and_subclasses_hold_across_the_names(tinker: Any) -> None:
    class Mine(tinker.SamplingClient):  # type: ignore[misc]  # its class is not known to a type checker
        pass

    assert issubclass(Mine, tinker_hl.SamplingClient)
    assert isinstance(tinker_hl.types.ModelInput.from_ints([1]), tinker.ModelInput)
    with pytest.raises(tinker.TinkerError):
        raise tinker_hl.BadRequestError("no")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_each_module_can_be_imported_by_its_path(tinker: Any, name: str) -> None:
    module = importlib.import_module(name)
    assert module.__name__ == name
    reached = tinker
    for part in name.split(".")[1:]:
        reached = getattr(reached, part)
    assert reached is module


def test_the_paths_that_research_code_imports_from(tinker: Any) -> None:
    from tinker.lib.public_interfaces import APIFuture
    from tinker.lib.public_interfaces.rest_client import RestClient
    from tinker.lib.public_interfaces.service_client import RetryConfig as FromService
    from tinker.lib.retry_handler import RetryConfig
    from tinker.types import Datum
    from tinker.types.image_chunk import ImageChunk
    from tinker.types.tensor_data import TensorData

    assert (APIFuture, RestClient) == (tinker_hl.APIFuture, tinker_hl.RestClient)
    assert FromService is RetryConfig is tinker_hl.RetryConfig
    assert (Datum, ImageChunk, TensorData) == (tinker_hl.Datum, tinker_hl.ImageChunk, tinker_hl.TensorData)


def test_names_of_theirs_that_are_called_otherwise_here(tinker: Any) -> None:
    for name, (home, original) in ELSEWHERE.items():
        module = importlib.import_module("tinker.lib.public_interfaces.api_future")
        assert getattr(module, name) is getattr(importlib.import_module(home), original)
    assert isinstance(tinker.AdamParams(), tinker.BaseModel)
    assert (repr(tinker.NOT_GIVEN), bool(tinker.NOT_GIVEN), bool(tinker.Omit())) == ("NOT_GIVEN", False, False)


def test_names_that_only_the_official_sdk_needs_mean_what_they_mean_there(tinker: Any) -> None:
    from tinker.lib.public_interfaces.backcompat_client_future import BackcompatClientFuture
    from tinker.lib.retry_handler import is_retryable_status_code
    from tinker.lib.retryable_exception import RetryableException

    assert issubclass(tinker.BackcompatTrainingClientFuture, BackcompatClientFuture)
    assert issubclass(tinker.BackcompatSamplingClientFuture, BackcompatClientFuture)
    assert not issubclass(tinker.TrainingClient, BackcompatClientFuture)
    assert [code for code in (200, 400, 404, 408, 429, 500, 503) if is_retryable_status_code(code)] == [
        408, 429, 500, 503,
    ]  # fmt: skip
    assert RetryableException in tinker_hl.RetryConfig().retryable_exceptions
    assert (tinker.DEFAULT_TIMEOUT.read, tinker.DEFAULT_TIMEOUT.connect, tinker.DEFAULT_MAX_RETRIES) == (60, 5, 10)
    assert tinker.DEFAULT_CONNECTION_LIMITS.max_connections == 1000


def test_modules_that_do_not_exist_here_say_so(tinker: Any) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"tinker\.resources"):
        importlib.import_module("tinker.resources")
    with pytest.raises(AttributeError, match="tinker_hl's, has no attribute 'Nonsense'"):
        _ = tinker.Nonsense
    with pytest.raises(ImportError, match="Nonsense"):
        from tinker.types import Nonsense  # noqa: F401  # importing it is the test


def test_the_version_is_one_to_compare_with(tinker: Any) -> None:
    assert tinker.__version__ == importlib.metadata.version("tinker") == OFFICIAL_VERSION
    assert tinker.__title__ == importlib.metadata.metadata("tinker")["Name"] == "tinker"
    assert next(iter(importlib.metadata.distributions(name="tinker"))).version == OFFICIAL_VERSION
    assert importlib.metadata.version("tinker-hl") == tinker_hl.__version__


def test_star_imports_and_dir_list_the_names(tinker: Any) -> None:
    scope: dict[str, Any] = {}
    exec("from tinker import *", scope)
    assert scope["Datum"] is tinker_hl.Datum
    assert {"ServiceClient", "types", "lib"} <= set(dir(tinker))
    assert {"Datum", "tensor_data"} <= set(dir(tinker.types))


def test_pickles_by_the_official_name_find_our_classes(tinker: Any) -> None:
    assert pickle.loads(b"ctinker\nSamplingParams\n.") is tinker_hl.SamplingParams
    assert pickle.loads(b"ctinker.types.tensor_data\nTensorData\n.") is tinker_hl.TensorData
    params = tinker.SamplingParams(max_tokens=3)
    stored = pickle.dumps(params)
    tinker_hl.compat.uninstall()
    assert pickle.loads(stored) == params, "a pickle that was made under compat does not need it"


def test_a_patched_name_is_patched_for_those_who_ask_through_it(tinker: Any) -> None:
    with patch("tinker.ServiceClient") as mock:
        assert importlib.import_module("tinker").ServiceClient is mock
        assert tinker_hl.ServiceClient is not mock
    assert tinker.ServiceClient is tinker_hl.ServiceClient


def test_other_tools_can_look_at_the_modules(tinker: Any) -> None:
    assert inspect.getmodule(tinker.Datum).__name__.startswith("tinker_hl.")  # type: ignore[union-attr]
    assert importlib.util.find_spec("tinker.types") is not None
    assert importlib.util.find_spec("tinker.nonsense") is None
    assert not hasattr(tinker, "__wrapped__")


def test_installing_twice_is_fine_and_uninstalling_takes_all_of_it_back(tinker: Any) -> None:
    tinker_hl.compat.install()
    assert importlib.import_module("tinker") is tinker
    tinker_hl.compat.uninstall()
    tinker_hl.compat.uninstall()
    assert not [name for name in sys.modules if name.partition(".")[0] == "tinker"]
    assert importlib.util.find_spec("tinker") is None


@pytest.mark.parametrize("name", ["tinker", "tinker.types"])
def test_it_refuses_when_the_real_package_is_imported_already(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType(name)
    real.__file__ = "/somewhere/tinker/__init__.py"
    monkeypatch.setitem(sys.modules, name, real)
    with pytest.raises(tinker_hl.ConfigurationError, match=r"imported already, from /somewhere/tinker") as refused:
        tinker_hl.compat.install()
    assert "before the first `import tinker`" in str(refused.value)


def test_it_stands_before_an_installed_package(tmp_path: Path) -> None:
    (tmp_path / "tinker").mkdir()
    (tmp_path / "tinker" / "__init__.py").write_text("raise RuntimeError('the other one')")
    (tmp_path / "script.py").write_text("import tinker; print(tinker.Datum.__module__)")
    assert printed(run("-m", "tinker_hl.compat", "script.py", cwd=tmp_path)).startswith("tinker_hl.")


def test_import_stays_cheap() -> None:
    program = "import tinker_hl.compat as c, sys; c.install(); import tinker; print(*sys.modules)"
    loaded = printed(run("-c", program)).split()
    assert not {"torch", "numpy", "aiohttp", "httpx"} & set(loaded)


SCRIPT = """
import sys
import tinker
from neighbour import NAME

if __name__ == "__main__":
    print(NAME, sys.argv[1:], tinker.Datum.__module__, __file__ == sys.argv[0])
    sys.exit(3)
"""


def test_a_script_runs_as_it_would_by_itself(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("NAME = 'beside it'")
    (tmp_path / "script.py").write_text(SCRIPT)
    ended = run("-m", "tinker_hl.compat", tmp_path / "script.py", "--flag", "-m", "x")
    assert ended.stdout == "beside it ['--flag', '-m', 'x'] tinker_hl.types.datum True\n"
    assert (ended.returncode, ended.stderr) == (3, "")


def test_a_module_runs_as_python_m_would_run_it(tmp_path: Path) -> None:
    package = tmp_path / "recipes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "common.py").write_text("import tinker\nNAME = tinker.AdamParams.__name__")
    (package / "__main__.py").write_text("from .common import NAME\nimport sys\nprint(NAME, sys.argv[1:])")
    for name in ("recipes", "recipes.__main__"):
        assert printed(run("-m", "tinker_hl.compat", "-m", name, "-x", cwd=tmp_path)) == "AdamParams ['-x']\n"


@pytest.mark.parametrize("arguments", [["nosuch.py"], ["-m", "no_such_module"], ["-m", "no_such.module"], []])
def test_what_cannot_be_run_is_told_in_one_line(arguments: list[str], tmp_path: Path) -> None:
    ended = run("-m", "tinker_hl.compat", *arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert (arguments[-1] if arguments else "required") in ended.stderr


def test_an_error_of_the_program_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import tinker\nraise tinker.TinkerError('of its own')")
    ended = run("-m", "tinker_hl.compat", tmp_path / "script.py")
    assert ended.returncode == 1
    assert "of its own" in ended.stderr
    assert 'script.py", line 2' in ended.stderr


POOL = """
import multiprocessing
import tinker
from tinker.types.tensor_data import TensorData

class Rollout:
    def __init__(self, tokens):
        self.prompt = tinker.ModelInput.from_ints(tokens)

def rollout(task):
    return task.prompt.length, isinstance(task, Rollout), tinker.__version__

if __name__ == "__main__":
    with multiprocessing.get_context("{method}").Pool(1) as pool:
        print(pool.map(rollout, [Rollout([1, 2]), Rollout([3])]))
"""


@pytest.mark.parametrize("as_module", [False, True])
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_that_the_program_starts_have_the_names_too(tmp_path: Path, method: str, as_module: bool) -> None:
    (tmp_path / "script.py").write_text(POOL.replace("{method}", method))
    program = ["-m", "script"] if as_module else ["script.py"]
    expected = [(2, True, OFFICIAL_VERSION), (1, True, OFFICIAL_VERSION)]
    assert printed(run("-m", "tinker_hl.compat", *program, cwd=tmp_path)) == f"{expected}\n"


def test_a_program_may_install_it_itself() -> None:
    program = textwrap.dedent(
        """
        import json
        import tinker_hl.compat
        tinker_hl.compat.install()
        import tinker
        print(json.dumps(tinker.types.AdamParams().model_dump()))
        """
    )
    assert json.loads(printed(run("-c", program)))["beta2"] == 0.95
