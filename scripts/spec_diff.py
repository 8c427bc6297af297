"""Tell what changed in `openapi.yaml` since the last tag, as lines for the changelog; without a tag, since the last
commit whose document had another version.

    python scripts/spec_diff.py [--against REF] [--fail-on-breaking]

A change is breaking when a program written for the old document can fail against the new one: something is gone, a
request must now hold more or may hold less, an answer may now lack what was promised or hold what was not. The two
directions differ, so each schema is judged by where it is used; one that is used both ways is judged both ways.

Descriptions, examples and `x-` members are no changes.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import yaml

from scripts.codegen_view import reachable_schemas

Json = dict[str, Any]
Section = Literal["Added", "Changed", "Removed"]
ROOT = Path(__file__).resolve().parent.parent
SPEC = "openapi.yaml"
METHODS = ("get", "put", "post", "delete", "patch")
NARROWER_WHEN_GREATER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
NARROWER_WHEN_SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
LIMITS = NARROWER_WHEN_GREATER + NARROWER_WHEN_SMALLER


@attrs.frozen
class Change:
    """One line of the changelog."""

    section: Section
    text: str
    breaking: bool = False

    def __str__(self) -> str:
        return f"- {'**BREAKING** ' if self.breaking else ''}{self.text}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REF", help="git revision to compare with (default: see above)")
    parser.add_argument("--fail-on-breaking", action="store_true", help="exit with 1 if a change is breaking")
    options = parser.parse_args(arguments)
    new = yaml.safe_load((ROOT / SPEC).read_text())
    reference = options.against or last_tag() or last_other_version(version_of(new))
    old = spec_at(reference) if reference else {"paths": {}, "components": {}}
    changes = [*spec_changes(old, new)]
    since = f"{reference} (version {version_of(old)})" if reference else "nothing: there was no other version"
    print(report(changes, since=since))
    return 1 if options.fail_on_breaking and any(change.breaking for change in changes) else 0


def last_tag() -> str | None:
    """Return the last tag that the current commit descends from."""
    return git("describe", "--tags", "--abbrev=0").stdout.strip() or None


def last_other_version(version: str) -> str | None:
    """Return the youngest commit whose spec has another `info.version`, by its short name."""
    for commit in git("log", "--format=%h", "--", SPEC).stdout.split():
        held = git("show", f"{commit}:{SPEC}").stdout
        if held and version_of(yaml.safe_load(held)) != version:
            return commit
    return None


def version_of(spec: Json) -> str:
    """Return the `info.version` of a document."""
    return str(spec.get("info", {}).get("version", ""))


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Ask git about this repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def spec_at(reference: str) -> Json:
    """Return the spec as it was at a git revision."""
    done = git("show", f"{reference}:{SPEC}")
    if done.returncode != 0:
        raise SystemExit(f"spec_diff: {SPEC} cannot be read at {reference}: {done.stderr.strip()}")
    spec: Json = yaml.safe_load(done.stdout)
    return spec


def report(changes: Sequence[Change], *, since: str) -> str:
    """Return the changes as Markdown, breaking ones first in their section."""
    lines = [f"Changes of the spec since {since}"]
    for section in ("Added", "Changed", "Removed"):
        chosen = sorted((each for each in changes if each.section == section), key=lambda change: not change.breaking)
        if chosen:
            lines += ["", f"### {section}", *(str(change) for change in chosen)]
    return "\n".join(lines if len(lines) > 1 else [*lines, "", "None."])


def spec_changes(old: Json, new: Json) -> Iterator[Change]:
    """Yield the changes from one document to another: operations first, then schemas by name."""
    yield from operation_changes(old, new)
    before: Json = old["components"].get("schemas", {})
    after: Json = new["components"].get("schemas", {})
    sent = reachable_schemas(old, answers=False) | reachable_schemas(new, answers=False)
    answered = reachable_schemas(old, answers=True) | reachable_schemas(new, answers=True)
    for name in [*before, *(name for name in after if name not in before)]:
        if name not in before:
            yield Change("Added", f"type `{name}`")
        elif name not in after:
            yield Change("Removed", f"type `{name}`", breaking=name in sent | answered)
        else:
            use = {"sent": name in sent, "answered": name in answered}
            yield from schema_changes(f"`{name}`", before[name], after[name], **use)


def operations(spec: Json) -> dict[str, Json]:
    found = {}
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                found[f"`{method.upper()} {path}`"] = item[method]
    return found


def operation_changes(old: Json, new: Json) -> Iterator[Change]:
    before, after = operations(old), operations(new)
    for where in [*before, *(where for where in after if where not in before)]:
        if where not in before:
            yield Change("Added", f"{where} ({after[where].get('operationId')})")
        elif where not in after:
            yield Change("Removed", f"{where} ({before[where].get('operationId')})", breaking=True)
        else:
            yield from one_operation(where, (old, before[where]), (new, after[where]))


def one_operation(where: str, old: tuple[Json, Json], new: tuple[Json, Json]) -> Iterator[Change]:
    (old_spec, before), (new_spec, after) = old, new
    for key in ("operationId", "x-future-of"):
        if before.get(key) != after.get(key):
            yield Change("Changed", f"{where}: {key} {before.get(key)} is now {after.get(key)}", breaking=True)
    if after.get("deprecated") and not before.get("deprecated"):
        yield Change("Changed", f"{where} is deprecated")
    yield from parameter_changes(where, parameters(old_spec, before), parameters(new_spec, after))
    for kind, holder in (("request", "requestBody"), ("answer", "responses")):
        yield from body_changes(f"{where} {kind}", bodies(before.get(holder, {})), bodies(after.get(holder, {})))
    for status in sorted(set(after["responses"]) - set(before["responses"])):
        yield Change("Added", f"{where}: may answer {status}")
    for status in sorted(set(before["responses"]) - set(after["responses"])):
        yield Change("Removed", f"{where}: answer {status}", breaking=status.startswith("2"))


def parameters(spec: Json, operation: Json) -> dict[str, Json]:
    found = {}
    for parameter in operation.get("parameters", []):
        while "$ref" in parameter:
            parameter = spec["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[1]]
        found[f"{parameter['in']} parameter `{parameter['name']}`"] = parameter
    return found


def parameter_changes(where: str, before: dict[str, Json], after: dict[str, Json]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield Change("Added", f"{where}: {name}", breaking=bool(after[name].get("required")))
        elif name not in after:
            yield Change("Removed", f"{where}: {name}", breaking=True)
        else:
            if after[name].get("required") and not before[name].get("required"):
                yield Change("Changed", f"{where}: {name} is required now", breaking=True)
            yield from schema_changes(f"{where}: {name}", before[name]["schema"], after[name]["schema"], sent=True)


def bodies(holder: Json) -> dict[str, Json]:
    """Return the schemas of a request body, or of the successful answers, by content type."""
    holders = [response for status, response in holder.items() if str(status).startswith("2")] or [holder]
    return {kind: media.get("schema", {}) for each in holders for kind, media in each.get("content", {}).items()}


def body_changes(where: str, before: dict[str, Json], after: dict[str, Json]) -> Iterator[Change]:
    for kind in sorted({*before, *after}):
        if kind not in before:
            yield Change("Added", f"{where}: {kind}", breaking=not before and where.endswith("request"))
        elif kind not in after:
            yield Change("Removed", f"{where}: {kind}", breaking=True)
        else:
            yield from schema_changes(f"{where}: {kind}", before[kind], after[kind], sent=True, answered=True)


def schema_changes(where: str, old: Json, new: Json, *, sent: bool = False, answered: bool = False) -> Iterator[Change]:
    """Yield the changes of one schema, judged as part of requests (`sent`) or of answers (`answered`)."""
    yield from type_changes(where, old, new, sent=sent, answered=answered)
    yield from value_changes(where, old, new, sent=sent, answered=answered)
    if old.get("default") != new.get("default"):
        yield Change("Changed", f"{where}: default {old.get('default')} is now {new.get('default')}", breaking=True)
    if new.get("deprecated") and not old.get("deprecated"):
        yield Change("Changed", f"{where} is deprecated")
    if sent and closed(new) and not closed(old):
        yield Change("Changed", f"{where}: unknown members are refused now", breaking=True)
    yield from member_changes(where, old, new, sent=sent, answered=answered)
    for keyword, mark in (("items", "[]"), ("additionalProperties", "{}")):
        before, after = old.get(keyword), new.get(keyword)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from schema_changes(f"{where}{mark}", before, after, sent=sent, answered=answered)


def closed(schema: Json) -> bool:
    return schema.get("additionalProperties") is False


def shape(schema: Json) -> frozenset[str]:
    """Return the types that a schema admits, references and variants by name."""
    if "$ref" in schema:
        return frozenset({schema["$ref"].rsplit("/", 1)[1]})
    variants = [*schema.get("oneOf", []), *schema.get("anyOf", [])]
    if variants:
        return frozenset[str]().union(*(shape(variant) for variant in variants))
    kinds = schema.get("type", "any")
    return frozenset([kinds] if isinstance(kinds, str) else kinds)


def type_changes(where: str, old: Json, new: Json, *, sent: bool, answered: bool) -> Iterator[Change]:
    gone, come = sorted(shape(old) - shape(new)), sorted(shape(new) - shape(old))
    # A tagged union stays readable when it grows: clients keep variants that they do not know.
    widens = bool(come) and answered and "discriminator" not in new
    if gone:
        text = f"{where}: is {' or '.join(sorted(shape(new)))}, no longer {', '.join(gone)}"
        yield Change("Changed", text, breaking=sent or widens)
    elif come:
        yield Change("Changed", f"{where}: may be {', '.join(come)} too", breaking=widens)


def value_changes(where: str, old: Json, new: Json, *, sent: bool, answered: bool) -> Iterator[Change]:
    """Yield changes of the values that a type admits: constants, enums, limits."""
    if old.get("const") != new.get("const"):
        yield Change("Changed", f"{where}: constant {old.get('const')} is now {new.get('const')}", breaking=True)
    before, after = old.get("enum"), new.get("enum")
    for value in [value for value in after or [] if before is not None and value not in before]:
        yield Change("Added", f"{where}: value `{value}`")
    for value in [value for value in before or [] if after is not None and value not in after]:
        yield Change("Removed", f"{where}: value `{value}`", breaking=sent)
    for limit in LIMITS:
        if old.get(limit) != new.get(limit):
            breaking = sent and narrower(limit, old.get(limit), new.get(limit))
            yield Change("Changed", f"{where}: {limit} {old.get(limit)} is now {new.get(limit)}", breaking=breaking)
    if old.get("pattern") != new.get("pattern"):
        yield Change("Changed", f"{where}: pattern is now {new.get('pattern')}", breaking=sent)


def narrower(limit: str, old: float | None, new: float | None) -> bool:
    if new is None:
        return False
    if old is None:
        return True
    return new > old if limit in NARROWER_WHEN_GREATER else new < old


def member_changes(where: str, old: Json, new: Json, *, sent: bool, answered: bool) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed_before, needed_after = set(old.get("required", [])), set(new.get("required", []))
    for name in [*before, *(name for name in after if name not in before)]:
        member = f"{where}.`{name}`".replace("`.`", ".")
        if name not in before:
            yield Change("Added", member, breaking=sent and name in needed_after)
        elif name not in after:
            yield Change("Removed", member, breaking=(sent and closed(new)) or (answered and name in needed_before))
        else:
            if sent and name in needed_after - needed_before:
                yield Change("Changed", f"{member} is required now", breaking=True)
            if answered and name in needed_before - needed_after:
                yield Change("Changed", f"{member} may be absent now", breaking=True)
            yield from schema_changes(member, before[name], after[name], sent=sent, answered=answered)


if __name__ == "__main__":
    sys.exit(main())
