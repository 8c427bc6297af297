"""Runs several functions side by side in threads, a bounded number at once, and waits for them until a deadline.

It does not know what they compute.
"""

import contextvars
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import TypeVar

from tinker_hl.custom_loss.rules import Rule
from tinker_hl.errors import CustomLossError

__all__ = ["THREAD_NAME", "side_by_side"]

THREAD_NAME = "tinker-hl-pipeline"

T = TypeVar("T")


def side_by_side(functions: Mapping[str, Callable[[], T]], workers: int, timeout: float) -> dict[str, T]:
    """Run them with the caller's context variables; their results by name, in the order of the functions.

    The first, in their order, of those that have failed is raised as it is; others that still run are left to end by
    themselves, since a thread cannot be stopped.

    Args:
        functions: By name.
        workers: How many at once; with one they run in the calling thread, without a deadline.
        timeout: Seconds for all of them.

    Raises:
        CustomLossError: They took longer; names those that had not ended.
    """
    if workers == 1 or len(functions) < 2:
        return {name: function() for name, function in functions.items()}
    futures: dict[str, Future[T]] = {name: Future() for name in functions}
    waiting: queue.SimpleQueue[tuple[Future[T], Callable[[], T]]] = queue.SimpleQueue()
    for name, function in functions.items():
        waiting.put((futures[name], function))
    for _ in range(min(workers, len(functions))):
        context = contextvars.copy_context()
        # Daemons: one that hangs must not keep the process from ending, as a pool's threads would.
        threading.Thread(target=context.run, args=(_work, waiting), name=THREAD_NAME, daemon=True).start()
    done, _ = wait(futures.values(), timeout, return_when=FIRST_EXCEPTION)
    for future in futures.values():
        if future in done and future.exception() is not None:
            raise future.exception()  # type: ignore[misc]  # it is not None
    late = [name for name, future in futures.items() if future not in done]
    if late:
        raise CustomLossError(
            f"the parts {', '.join(late)} of the pipeline had not ended after {timeout:g} s",
            rule=Rule.ENDS,
            hint="Give the Pipeline a longer timeout, or find out what they wait for.",
        )
    return {name: future.result() for name, future in futures.items()}


def _work(waiting: "queue.SimpleQueue[tuple[Future[T], Callable[[], T]]]") -> None:
    while True:
        try:
            future, function = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
