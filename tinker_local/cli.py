"""`tinker-hl serve`: options in, a running service out. It does not know what is served, only how to start and end it.

Everything heavy is imported when the command runs, so that `--help` stays fast.
"""

import asyncio
import contextlib
import errno
import gc
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
import click
import orjson

from tinker_local.datadir import DataDirBusyError, held
from tinker_local.printing import form, format_option
from tinker_local.settings import DATABASE_FILE, ModelSource, Settings, default_data_dir, is_loopback

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from tinker_local.engine.protocol import Engine
    from tinker_local.service import Service
    from tinker_local.serving import Serving

__all__ = ["DATA_DIR_BUSY", "TINY_MODEL", "model_sources", "serve"]

logger = logging.getLogger("tinker_local.serve")

TINY_MODEL = "tinker-hl/tiny"
_COLLECTED_AFTER = 10_000
"""New objects after which the youngest are looked through; Python's own 700 come every few requests."""
DATA_DIR_BUSY = 75
"""Exit code when another service has the data folder (EX_TEMPFAIL of sysexits.h): an owner then chooses another."""


@click.command()
@format_option
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]PATH_OR_NAME",
    help="A base model to serve: a folder in Hugging Face layout, or a name on the hub. Clients ask for it by NAME; "
    f"without one, by the folder's name or the hub name. Repeatable. Without any: {TINY_MODEL}.",
)
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="ALIAS=NAME",
    help="Another name for a served model, so that code written for a hosted one runs unchanged. Repeatable.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Any but a loopback address needs a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0 takes a free one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_data_dir,
    help="Checkpoints and records. One service has it at a time.  [default: ~/.tinker-hl/local]",
)
@click.option(
    "--api-key",
    "api_keys",
    multiple=True,
    help="A key that clients must send. Repeatable. On any but a loopback address TINKER_API_KEY stands in for it.",
)
@click.option(
    "--token-auth/--no-token-auth",
    default=True,
    show_default=True,
    help="Have newer clients exchange their key for a token that ends, and send that one.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Torch threads; left to torch without it.")
@click.option(
    "--device", help="A torch device, such as cpu or cuda:1.  [default: CUDA where there is one, else the CPU]"
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    help="Of the base weights; adapters are always float32.  [default: float32 on the CPU, bfloat16 elsewhere]",
)
@click.option(
    "--activation-checkpointing",
    is_flag=True,
    help="Compute layers again for their gradients instead of keeping them: less memory, about a third more time.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Have torch compile training passes. It needs a C++ compiler, and the first passes take minutes.",
)
@click.option(
    "--kv-cache-tokens",
    type=click.IntRange(min=2),
    metavar="N",
    help="Tokens of each base model whose keys and values are kept at once for samples; more samples wait.  [default: "
    "what a quarter of the memory holds, on a GPU a third of what the weights leave]",
)
@click.option(
    "--autosave-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Save each run by itself after every N optimizer steps, and restore it if the engine or the service dies.",
)
@click.option(
    "--engine",
    "engine_kind",
    type=click.Choice(["torch", "null"]),
    default="torch",
    show_default=True,
    help="`null` answers at once and computes nothing: for benchmarks of the protocol.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What goes to stderr.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="How long work under way may go on after the first Ctrl-C or SIGTERM; nothing new is taken meanwhile.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A line for people, or a JSON object a line for programs.",
)
@click.option(
    "--owned",
    is_flag=True,
    hidden=True,
    help="For `tinker_local.embedded`: the key comes by stdin, the URL goes to stdout, the end of stdin ends it.",
)
def serve(
    models: tuple[str, ...],
    aliases: tuple[str, ...],
    host: str,
    port: int,
    data_dir: Path,
    api_keys: tuple[str, ...],
    token_auth: bool,
    threads: int | None,
    device: str | None,
    dtype: Literal["float32", "bfloat16"] | None,
    activation_checkpointing: bool,
    compiled: bool,
    kv_cache_tokens: int | None,
    autosave_every: int | None,
    engine_kind: str,
    log_level: str,
    log_format: str,
    drain_seconds: float,
    owned: bool,
) -> None:
    """Serve base models over the Tinker API, on this machine.

    Clients train LoRA adapters on them, and sample. It ends on Ctrl-C or SIGTERM, after what is under way has had some
    time to finish; asked again, at once.
    """
    from tinker_local import logs

    data_dir = data_dir.expanduser().absolute()
    logs.configure(log_level, form=log_format)
    if activation_checkpointing and compiled:
        raise click.UsageError("--activation-checkpointing and --compile exclude each other")
    keys = (_key_from_owner(),) if owned else _required_keys(host, api_keys, data_dir)
    settings = Settings(
        data_dir=data_dir,
        models=model_sources(models, aliases),
        host=host,
        port=port,
        api_keys=keys,
        token_auth=token_auth,
        threads=threads,
        device=device,
        dtype=dtype,
        activation_checkpointing=activation_checkpointing,
        compiled=compiled,
        kv_cache_tokens=kv_cache_tokens,
        autosave_every=autosave_every,
    )
    runner = asyncio.Runner(loop_factory=_event_loop())
    owner = os.getppid() if owned else None
    with _owned_data_dir(settings.data_dir, owner), _listening(host, port) as listener, runner:
        runner.run(_run(settings, engine_kind, listener, drain_seconds, owned=owned))


def model_sources(models: Sequence[str], aliases: Sequence[str]) -> tuple[ModelSource, ...]:
    """What `--model` and `--alias` say, checked: names are unique, and each alias belongs to a served model.

    Raises:
        click.UsageError: they do not fit together, or a folder has no model in it.
    """
    sources = {source.name: source for source in map(_source, models or [TINY_MODEL])}
    if len(sources) < len(models):
        raise click.UsageError("two --model options have the same name; tell them apart with NAME=PATH")
    for alias, separator, name in (text.partition("=") for text in aliases):
        if not separator or not alias or name not in sources:
            raise click.UsageError(
                f"--alias {alias}{separator}{name} is not ALIAS=NAME of a served model: {', '.join(sources)}"
            )
        if alias in sources or any(alias in source.aliases for source in sources.values()):
            raise click.UsageError(f"--alias {alias}: a served model has this name already")
        sources[name] = attrs.evolve(sources[name], aliases=(*sources[name].aliases, alias))
    return tuple(sources.values())


def _source(text: str) -> ModelSource:
    name, separator, path = text.rpartition("=")
    if separator and not (name and path):
        raise click.UsageError(f"--model {text!r} is neither PATH_OR_NAME nor NAME=PATH_OR_NAME")
    folder = Path(__file__).parent / "models" / "tiny" if path == TINY_MODEL else Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise click.UsageError(f"--model {path}: the folder has no config.json, so it is no Hugging Face model")
        folder = folder.resolve()
        return ModelSource(name=name or (TINY_MODEL if path == TINY_MODEL else folder.name), path=str(folder))
    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise click.UsageError(f"--model {path}: there is no such folder")
    return ModelSource(name=name or path, path=path)


def _were_made(data_dir: Path) -> bool:
    from tinker_local.store.keys import were_made

    return were_made(data_dir / DATABASE_FILE)


def _required_keys(host: str, given: tuple[str, ...], data_dir: Path) -> tuple[str, ...]:
    if any(not key.strip() for key in given):
        raise click.UsageError("--api-key is empty")
    if given or is_loopback(host):
        return given
    key = os.environ.get("TINKER_API_KEY", "").strip()
    if key:
        return (key,)
    if _were_made(data_dir):
        return ()
    raise click.UsageError(
        f"{host} can be reached from other machines, so a key is needed: set TINKER_API_KEY or give --api-key, or make "
        "keys with `tinker-hl keys create`. Newer official clients want a key to start with tml-."
    )


def _key_from_owner() -> str:
    """One line from stdin; the rest of it is read by nobody, its end is what counts."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            raise click.ClickException("the owner went away before it sent a key")
        line += piece
    return line.decode().strip()


class _DataDirBusy(click.ClickException):
    exit_code = DATA_DIR_BUSY


@contextlib.contextmanager
def _owned_data_dir(directory: Path, owner: int | None) -> Iterator[None]:
    try:
        with held(directory, owner=owner):
            yield
    except DataDirBusyError as err:
        raise _DataDirBusy(str(err)) from err


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket: a port in use is told before any model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as err:
        if err.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"port {port} on {host} is in use; choose another with --port, or 0 for a free one"
            ) from err
        raise click.ClickException(f"cannot listen on {host} port {port}: {err.strerror or err}") from err
    # asyncio would do this for each connection, but only where the socket names its protocol, which this one does not.
    # Without it every second answer waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it can be had: a quarter less work a request. None is asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _spare_collector() -> None:
    """Leave what was imported out of garbage collection, and collect less often.

    A service holds thousands of results for minutes; by default each thousand or so of new ones has all of them looked
    through, while requests wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER, 20, 50)


async def _run(
    settings: Settings, engine_kind: str, listener: socket.socket, drain_seconds: float, *, owned: bool
) -> None:
    from tinker_local.app import create_app
    from tinker_local.serving import Serving

    settings = attrs.evolve(settings, port=listener.getsockname()[1])
    url = _url(settings.host, settings.port)
    app = create_app(settings, _engine(settings, engine_kind))
    announce = _to_owner(url) if owned else lambda: click.echo(_greeting(settings, url, app.state.service))
    serving = Serving(app, listener)
    _spare_collector()

    def problem() -> str | None:
        """Why the models could not be loaded, if so: an engine that worked before is started again, this one is not."""
        service: Service | None = getattr(app.state, "service", None)
        return None if service is None or service.supervision.life else service.supervision.problem

    ending: list[asyncio.Task[None]] = []

    def asked_to_end() -> None:
        if ending:
            serving.stop()
        else:
            ending.append(asyncio.create_task(_end(app, serving, drain_seconds)))

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_end)
    if owned:
        loop.add_reader(0, _watch_owner, serving.stop)
    names = ", ".join(model.name for model in settings.models)
    logger.info("loading %s", names, extra={"fields": {"engine": engine_kind, "data_dir": settings.data_dir}})
    async with serving:
        if await serving.ready(hopeless=lambda: problem() is not None):
            announce()
        elif not serving.stopping:
            raise click.ClickException(problem() or "the service could not start; the lines above say why")
        await serving.ended()
    logger.info("ended")


async def _end(app: "Starlette", serving: "Serving", seconds: float) -> None:
    """Let what is under way finish, then stop."""
    service: Service | None = getattr(app.state, "service", None)
    if service is not None and seconds:
        logger.info("stopping; what is under way has %g s to finish", seconds)
        if not await service.draining.drain(seconds):
            logger.warning("some work was not done within %g s", seconds)
    serving.stop()


def _to_owner(url: str) -> Callable[[], None]:
    """Keep stdout for the owner: what libraries print from now on joins the log on stderr, and fills no pipe."""
    stdout = os.dup(1)
    os.dup2(2, 1)

    def announce() -> None:
        with open(stdout, "wb") as owner:
            owner.write(orjson.dumps({"base_url": url}) + b"\n")

    return announce


def _watch_owner(stop: Callable[[], None]) -> None:
    if not os.read(0, 4096):
        asyncio.get_running_loop().remove_reader(0)
        stop()


def _engine(settings: Settings, kind: str) -> "Engine":
    if kind == "null":
        from tinker_local.engine.null import NullEngine

        return NullEngine(settings.models)
    from tinker_local.engine.process import ProcessEngine

    return ProcessEngine(
        settings.models,
        settings.threads,
        device=settings.device,
        dtype=settings.dtype,
        activation_checkpointing=settings.activation_checkpointing,
        compiled=settings.compiled,
        kv_cache_tokens=settings.kv_cache_tokens,
    )


def _url(host: str, port: int) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://{socket.gethostname()}:{port}"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"


def _greeting(settings: Settings, url: str, service: "Service") -> str:
    """What is served and how to reach it: lines for people, or one line of JSON for who waits for it."""
    locked = bool(settings.api_keys) or _were_made(settings.data_dir)
    if form() != "table":
        models = [
            {"name": model.name, "aliases": list(model.aliases), "max_context_length": model.max_context_length}
            for model in service.supervision.models
        ]
        served = {"base_url": url, "models": models, "needs_key": locked, "data_dir": str(settings.data_dir)}
        return orjson.dumps(served).decode()
    lines = [f"Serving at {url}"]
    for model in service.supervision.models:
        also = f" (also {', '.join(model.aliases)})" if model.aliases else ""
        what = [model.architecture, *([model.placed] if model.placed else []), f"{model.max_context_length} tokens"]
        lines.append(f"  {model.name}{also}: {', '.join(what)}")
    key = "the key that you chose" if locked else "tml-local"
    lines += [
        "Point a client at it:",
        f"  export TINKER_BASE_URL={url}",
        f"  export TINKER_API_KEY={key!r}" if locked else f"  export TINKER_API_KEY={key}",
        f"Data: {settings.data_dir}. Ctrl-C stops it.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    serve(prog_name="tinker-hl serve")
