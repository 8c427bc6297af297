"""What a large pass frees stays with the process, so that the next pass finds it there."""

import platform
import subprocess
import sys

import pytest

FAULTS_OF_A_SECOND_STEP = """
import resource, sys
from tinker_hl.kept_memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
    keep_freed_memory()
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(16 * 1024) for _ in range(1024)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
step()
print(step())
"""


def faults(*, keep: bool) -> int:
    command = FAULTS_OF_A_SECOND_STEP.format(keep=keep)
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=60)
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep what they like")
def test_a_second_step_gets_its_memory_without_the_kernel() -> None:
    pages = 16 * 2**20 // 4096
    assert faults(keep=False) > pages / 2
    assert faults(keep=True) < pages / 10
