"""`python -m tinker_hl.testing.proxy`: a `FaultProxy` on the command line, for clients in any language.

It prints its address first, then a line for each fault, and on Ctrl-C what it did in all.
"""

import threading

import click

from tinker_hl.testing.fault import KINDS, SECONDS, SURVIVABLE, InjectedKind
from tinker_hl.testing.fault_proxy import UNTOLD, FaultProxy
from tinker_hl.testing.plan import FaultPlan
from tinker_hl.testing.recorded_call import RecordedCall

__all__ = ["main"]


@click.command(name="python -m tinker_hl.testing.proxy")
@click.option("--upstream", required=True, help="Where the server is, as in http://127.0.0.1:8000.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same faults.")
@click.option("--rate", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Share of requests to fault.")
@click.option("--kinds", default=",".join(SURVIVABLE), show_default=True, help="Faults, separated by commas.")
@click.option("--at", multiple=True, default=("*",), help="An endpoint, as in optim_step or 'save_*'; may be repeated.")
@click.option("--limit", type=int, help="The most faults in all.")
@click.option("--seconds", type=float, default=SECONDS, show_default=True, help="How late delays are.")
@click.option("--port", type=int, default=0, help="Where to listen; a free port unless told.")
def main(
    upstream: str, seed: int, rate: float, kinds: str, at: tuple[str, ...], limit: int | None, seconds: float, port: int
) -> None:
    """Stand between a client and a server, and let requests fail."""
    chosen: list[InjectedKind] = [kind for kind in KINDS if kind in kinds.split(",")]
    if unknown := set(kinds.split(",")) - (set(KINDS) - UNTOLD):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(sorted(set(KINDS) - UNTOLD))}")
    plan = FaultPlan.random(seed, rate=rate, kinds=chosen, at=at, limit=limit, seconds=seconds)
    try:
        proxy = FaultProxy(upstream, plan, port=port, told=_tell).start()
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(proxy.base_url)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        proxy.close()
    click.echo(f"{len(proxy.faults)} faults in {len(proxy.calls)} requests")


def _tell(call: RecordedCall) -> None:
    if call.fault is not None:
        click.echo(f"{call.endpoint} {call.number}: {call.fault.kind}")


if __name__ == "__main__":
    main()
