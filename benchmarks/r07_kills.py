"""R7: random `kill -9` of the service or its engine: what was acknowledged is there, what was open ends."""

import tempfile
from pathlib import Path

from benchmarks.harness import Figures, Report, arguments, at_most, in_turns
from benchmarks.kill_drill import drill
from benchmarks.killable import KillableService

SEED = 7


def main() -> None:
    options = arguments("R7: random kills while a client trains and saves, without and with automatic saves.")
    kills = 1 if options.quick else 50

    def killing(*flags: str) -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            service = KillableService(Path(folder) / "data", *flags)
            try:
                service.engine_pid()
                outcome = drill(service, kills, SEED)
            finally:
                service.close()
        return {
            "kills": outcome.kills,
            "requests accepted": outcome.promises,
            "with a result": outcome.results,
            "with a typed error": len(outcome.failures),
            "without an end": len(outcome.unended),
            "saves acknowledged": len(outcome.saved),
            "that do not load": len(outcome.unloadable),
            "longest pause s": outcome.longest_wait,
        }

    plain, saving = "no automatic saves", "--autosave-every 1"
    rounds = in_turns({plain: killing, saving: lambda: killing(*saving.split())}, 1)
    report = Report("R7", f"{2 * kills} random kills of the service or its engine", rounds)
    report.goals = [
        *(
            at_most(f"acknowledged saves that do not load, {side}", report.best(side, "that do not load"), 0)
            for side in rounds
        ),
        *(at_most(f"requests without an end, {side}", report.best(side, "without an end"), 0) for side in rounds),
        at_most(f"typed errors, {saving}", report.best(saving, "with a typed error"), 0),
    ]
    report.notes = ["A pause is from the first request of a round until all have ended and the engine works again."]
    report.show()


if __name__ == "__main__":
    main()
