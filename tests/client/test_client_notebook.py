"""Whether a process is a notebook's kernel; `tests/cli/test_examples_notebook.py` runs a real one."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from tinker_hl.notebook import in_notebook


def test_a_plain_program_is_no_notebook() -> None:
    assert not in_notebook()


@pytest.mark.parametrize(
    ("shell", "expected"), [(None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)]
)
def test_a_program_that_imported_ipykernel_is_one_only_inside_a_kernel(
    shell: object, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert in_notebook() is expected
