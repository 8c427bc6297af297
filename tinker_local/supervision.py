"""The engine's life: started when the service starts, started again when it dies. It does not know what is computed.

Each start begins a new life; what existed only in the memory of an earlier one is lost, and whoever remembers the
number of its life can tell.
"""

import asyncio
import logging
from collections.abc import Callable

from tinker_local.engine.protocol import BaseModelInfo, Engine, EngineError
from tinker_local.errors import ApiError, bad_request, unavailable

__all__ = ["Supervision"]

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0


class Supervision:
    """Keeps one engine alive. `life` is 0 before the first start, and grows with each death."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.life = 0
        self.problem: str | None = None
        """Why there is no engine, as far as is known."""
        self.on_death: list[Callable[[], None]] = []
        self.on_life: list[Callable[[], None]] = []
        """Called when the engine can work, the first time and after each death."""
        self._models: dict[str, BaseModelInfo] = {}
        self._infos: tuple[BaseModelInfo, ...] = ()
        self._ready = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        engine.on_death(self._died)

    @property
    def ready(self) -> bool:
        """Whether work can be done now."""
        return self._ready.is_set()

    @property
    def models(self) -> tuple[BaseModelInfo, ...]:
        """The base models on offer; raises `ApiError` 503 while that is not known."""
        if not self._infos:
            raise self._unavailable()
        return self._infos

    def require(self) -> Engine:
        """The engine, if it can work now; raises `ApiError` 503."""
        if not self.ready:
            raise self._unavailable()
        return self.engine

    def model(self, name: str) -> BaseModelInfo:
        """A base model by its name or an alias; raises `ApiError` 400."""
        infos = self.models
        info = self._models.get(name)
        if info is None:
            raise bad_request(
                f"base model {name[:120]!r} is not served here; {', '.join(info.name for info in infos)} are",
                "unknown_base_model",
            )
        return info

    def start(self) -> None:
        """Begin to start the engine; `wait_ready` waits for it."""
        self._starting = asyncio.create_task(self._start())

    async def wait_ready(self) -> None:
        """Return when the engine can work. Raises `EngineError` if its first start failed."""
        waiting = asyncio.create_task(self._ready.wait())
        try:
            tasks = {waiting} if self._starting is None else {waiting, self._starting}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self.ready:
            raise EngineError(self.problem or "the engine is not started")

    async def close(self) -> None:
        """End the engine, and all attempts to start it."""
        self._ready.clear()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self.engine.close()

    async def _start(self) -> None:
        pause = _FIRST_PAUSE
        while not await self._started():
            if self.life == 0:
                return  # it never worked: another attempt would not either
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _started(self) -> bool:
        try:
            infos = await self.engine.start()
        except (EngineError, OSError, EOFError) as error:
            self.problem = f"the engine could not start: {error}"
            logger.error("%s", self.problem)
            return False
        self._infos = tuple(infos)
        self._models = {name: info for info in infos for name in (*info.aliases, info.name)}
        self.problem = None
        self.life += 1
        self._ready.set()
        for callback in self.on_life:
            callback()
        return True

    def _died(self) -> None:
        if not self.ready:
            return  # it died while it was being started, which `_start` sees for itself
        self._ready.clear()
        self.problem = "the engine died and is being started again"
        for callback in self.on_death:
            callback()
        self.start()

    def _unavailable(self) -> ApiError:
        return unavailable(self.problem or "the engine is starting")
