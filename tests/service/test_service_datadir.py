"""One service has a data folder at a time, and its end, however it comes, frees the folder."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinker_local.datadir import DataDirBusyError, candidates, held, is_ending, is_free

HOLDER = """
import pathlib, sys
from tinker_local.datadir import held
with held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_holder_frees_the_folder(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "local"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not is_free(directory)
        with pytest.raises(DataDirBusyError, match=rf"process {holder.pid}\) keeps its data in .*--data-dir"):
            held(directory).__enter__()
        holder.kill()
        holder.wait()
    assert is_free(directory)
    with held(directory) as mine:
        assert mine == directory


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    assert is_free(tmp_path / "local")
    with held(tmp_path / "local") as directory:
        assert directory.stat().st_mode & 0o077 == 0
        assert not is_free(directory)
    assert is_free(directory)


def test_whose_owner_is_gone_is_about_to_leave(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert not is_ending(tmp_path), "nobody has it"
    with held(tmp_path, owner=gone.pid):
        assert is_ending(tmp_path)
    assert not is_ending(tmp_path), "it left already"
    for owner in (os.getpid(), None):
        with held(tmp_path, owner=owner):
            assert not is_ending(tmp_path)
            with pytest.raises(DataDirBusyError, match=rf"process {os.getpid()}\) keeps"):
                held(tmp_path).__enter__()


def test_candidates_are_numbered() -> None:
    names = [path.as_posix() for path in itertools.islice(candidates(Path("home/local")), 3)]
    assert names == ["home/local", "home/local-2", "home/local-3"]
