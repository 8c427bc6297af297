"""Curves: what runs measured, by name and step, read from their files. It does not know how they are drawn."""

from collections.abc import Sequence
from pathlib import Path

import attrs

from tinker_hl.errors import ConfigurationError
from tinker_hl.run_metrics.journal import METRICS_FILE, Records, read_records

__all__ = ["Curve", "read_run", "read_runs"]

NO_CURVE = frozenset({"step", "time", "seconds"})


@attrs.frozen
class Curve:
    """One metric of one run. Invariant: as many values as steps, at least one, all finite."""

    run: str
    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


@attrs.frozen
class _Run:
    name: str
    records: Records


def read_run(place: str | Path) -> list[Curve]:
    """All curves of one run.

    Args:
        place: The run's folder, or its file of metrics.

    Raises:
        ConfigurationError: There is no such file, or it holds no numbers.
    """
    return read_runs([place])


def read_runs(places: Sequence[str | Path], names: Sequence[str] = ()) -> list[Curve]:
    """Curves of runs, metric by metric, and within a metric run by run.

    Args:
        places: Folders of runs, or files of metrics.
        names: The metrics that are wanted; empty is all that change.

    Raises:
        ConfigurationError: A place has no metrics, or no run has a metric that is wanted.
    """
    runs = [_Run(name, _records(Path(place))) for place, name in zip(places, _names(places), strict=True)]
    found = {name: [curve for run in runs if (curve := _curve(run, name)) is not None] for name in _metric_names(runs)}
    for name in names:
        if not found.get(name):
            raise ConfigurationError(f"no run has a metric {name!r}", hint=f"there are: {', '.join(sorted(found))}")
    wanted = names or [name for name, curves in found.items() if any(len(curve.steps) > 1 for curve in curves)]
    if not wanted:
        raise ConfigurationError(f"{places[0]} holds no numbers of more than one step yet")
    return [curve for name in wanted for curve in found[name]]


def _metric_names(runs: Sequence[_Run]) -> list[str]:
    """Names of metrics, in the order in which they were first written."""
    names = (name for run in runs for record in run.records.records for name in record if name not in NO_CURVE)
    return list(dict.fromkeys(names))


def _records(place: Path) -> Records:
    path = place / METRICS_FILE if place.is_dir() else place
    try:
        return read_records(path)
    except OSError as error:
        hint = f"give a run's folder, which holds {METRICS_FILE}, or such a file"
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", hint=hint) from error


def _names(places: Sequence[str | Path]) -> list[str]:
    """Short names, as long as they tell the runs apart."""
    paths = [Path(place).resolve() for place in places]
    folders = [path.parent if path.is_file() else path for path in paths]
    short = [folder.name for folder in folders]
    return short if len(set(short)) == len(short) else [str(place) for place in places]


def _curve(run: _Run, name: str) -> Curve | None:
    points: dict[float, float] = {}
    for index, record in enumerate(run.records.records):
        value, step = record.get(name), record.get("step", index)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and isinstance(step, (int, float)):
            # A run that was resumed has written some steps twice: the later one counts.
            points[float(step)] = float(value)
    if not points:
        return None
    steps = tuple(sorted(points))
    return Curve(run.name, name, steps, tuple(points[step] for step in steps))
