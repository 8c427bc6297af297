"""What a client was told: arguments first, then environment variables, then the profile, then what is built in.

`read_settings` reads all of it once, when a client is made; an empty variable is an unset one. What each variable and
argument is called stands in `SPECS`, and nowhere else. The module knows nothing of servers and keys.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from tinker_hl.configuration import values
from tinker_hl.configuration.origin import BUILT_IN, Origin, Setting
from tinker_hl.configuration.profiles import DEFAULT, Profile, profile_named
from tinker_hl.errors import ConfigurationError
from tinker_hl.retry import RetryConfig, RetryPolicy
from tinker_hl.transport.route import Route

__all__ = ["SPECS", "ClientSettings", "read_settings"]

Parse = Callable[[str], Any]


@attrs.frozen(kw_only=True)
class Spec:
    """One setting: its argument has its name."""

    name: str
    variables: tuple[tuple[str, Parse], ...] = ()
    """Names, the first that is set wins, and what their texts mean."""
    default: Any = None
    field: str | None = None
    """The field of the profile that it takes the place of."""
    check: Callable[[Any], Any] | None = None
    """Makes an argument what it should be; raises a `ValueError` that completes "NAME must be ..."."""
    secret: bool = False
    no_wins: bool = False
    """Whether a variable that says no wins over the argument: what a user switches off, no program switches on."""


def _positive(value: Any) -> float:
    # Release 0.7 of the official SDK takes a `Timeout` of its HTTP library, too.
    return values.seconds(str(getattr(value, "read", value)))


def _whole(value: Any) -> int:
    return values.count(str(value))


def _some(value: Any) -> int:
    return values.positive_count(str(value))


def _texts(value: Any) -> Mapping[str, str]:
    return {str(name): str(one) for name, one in dict(value).items()}


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


SPECS: Final[tuple[Spec, ...]] = (
    Spec(name="project_id", variables=(("TINKER_PROJECT_ID", values.text),)),
    Spec(name="tags", variables=(("TINKER_TAGS", values.names),), default=()),
    Spec(name="feature_gates", variables=(("TINKER_FEATURE_GATES", values.names),), default=()),
    # None is what the server and the next one decide; see `ClientSettings.reports`.
    Spec(name="telemetry", variables=(("TINKER_TELEMETRY", values.yes),), no_wins=True),
    Spec(name="telemetry_file", variables=(("TINKER_TELEMETRY_FILE", values.text),)),
    Spec(name="progress", variables=(("TINKER_PROGRESS", values.not_no),), default=True, no_wins=True),
    Spec(
        name="otel_propagate",
        variables=(("TINKER_OTEL_PROPAGATE", values.truth), ("TINKEX_OTEL_PROPAGATE", values.truth)),
        default=False,
    ),
    # Read once more by each tokenizer that needs it, which belongs to no client.
    Spec(name="trust_remote_code", variables=(("TINKER_TRUST_REMOTE_CODE", values.yes),), default=False),
    Spec(name="log", variables=(("TINKER_LOG", values.text),), default="off"),
    Spec(
        name="timeout",
        variables=(("TINKER_TIMEOUT", values.seconds), ("TINKEX_TIMEOUT", values.milliseconds)),
        field="timeout",
        check=_positive,
    ),
    Spec(
        name="max_retries",
        variables=(("TINKER_MAX_RETRIES", values.count), ("TINKEX_MAX_RETRIES", values.count)),
        field="max_retries",
        check=_whole,
    ),
    Spec(
        name="max_connections",
        variables=(("TINKER_MAX_CONNECTIONS", values.positive_count),),
        field="max_connections",
        check=_some,
    ),
    Spec(
        name="poll_backoff",
        variables=(
            ("TINKER_POLL_BACKOFF", values.poll_delays),
            ("TINKEX_POLL_BACKOFF", values.poll_delays_in_milliseconds),
        ),
    ),
    Spec(name="proxy", variables=(("TINKER_PROXY", values.text), ("TINKEX_PROXY", values.text)), check=values.text),
    Spec(
        name="proxy_headers",
        variables=(("TINKER_PROXY_HEADERS", values.headers), ("TINKEX_PROXY_HEADERS", values.headers)),
        check=_texts,
        secret=True,
    ),
    Spec(name="certificates", variables=(("SSL_CERT_FILE", values.text), ("SSL_CERT_DIR", values.text)), check=_path),
    Spec(
        name="default_headers",
        variables=(("TINKER_DEFAULT_HEADERS", values.headers), ("TINKEX_DEFAULT_HEADERS", values.headers)),
        check=_texts,
    ),
    Spec(
        name="default_query",
        variables=(("TINKER_DEFAULT_QUERY", values.headers), ("TINKEX_DEFAULT_QUERY", values.headers)),
        check=_texts,
    ),
    Spec(name="cloudflare_access_client_id", variables=(("CLOUDFLARE_ACCESS_CLIENT_ID", values.text),), secret=True),
    Spec(
        name="cloudflare_access_client_secret",
        variables=(("CLOUDFLARE_ACCESS_CLIENT_SECRET", values.text),),
        secret=True,
    ),
    Spec(
        name="dump_headers",
        variables=(("TINKER_DUMP_HEADERS", values.truth), ("TINKEX_DUMP_HEADERS", values.truth)),
        default=False,
    ),
)
PARITY: Final = ("TINKER_PARITY", "TINKEX_PARITY")
POOL: Final = ("TINKEX_POOL_SIZE", "TINKEX_POOL_COUNT")
"""The port's connections are so many pools of such a size."""


@attrs.frozen(kw_only=True)
class ClientSettings:
    """See the module. Invariant: `profile` has every explicit value in it already."""

    profile: Profile
    policy: RetryPolicy
    """How calls are retried."""
    retry_config: RetryConfig | None
    """How sampling clients that are given none of their own draw again; None for `policy`."""
    all: Mapping[str, Setting] = attrs.field(repr=lambda settings: ", ".join(settings))
    """Every value with its origin."""

    def __getitem__(self, name: str) -> Any:
        """The value of a setting."""
        return self.all[name].value

    @property
    def access_headers(self) -> Mapping[str, str]:
        """Headers for servers behind Cloudflare Access."""
        access = {
            "CF-Access-Client-Id": self["cloudflare_access_client_id"],
            "CF-Access-Client-Secret": self["cloudflare_access_client_secret"],
        }
        return {name: value for name, value in access.items() if value}

    def reports(self, *, hosted: bool) -> Setting:
        """Whether what goes wrong is reported: where nobody says, to the hosted service, or into the file that is
        named.

        Args:
            hosted: Whether the server is the hosted service.
        """
        said, file = self.all["telemetry"], self.all["telemetry_file"]
        if said.value is not None:
            return said
        if hosted:
            return attrs.evolve(said, value=True)
        return attrs.evolve(said, value=bool(file.value), origin=file.origin)

    @property
    def route(self) -> Route:
        """The way to the server."""
        given = self.all["certificates"]
        return Route(
            proxy=self["proxy"],
            proxy_headers=self["proxy_headers"] or {},
            # Those of the environment are the system's: OpenSSL reads both variables itself.
            certificates=given.value if given.origin.kind == "argument" else None,
            skips_proxy=self.all["proxy"].origin.kind != "argument",
        )


def read_settings(
    arguments: Mapping[str, Any] | None = None,
    *,
    parity: Profile | str | None = None,
    policy: RetryPolicy | None = None,
    environ: Mapping[str, str] | None = None,
) -> ClientSettings:
    """What a client that is made with these arguments was told.

    Args:
        arguments: By the names in `SPECS`; None is not given.
        parity: A profile or its name.
        policy: `retry_policy=`, which wins over the profile.
        environ: The environment; None for the process's own.

    Raises:
        ConfigurationError: A value that cannot be meant.
    """
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    environment = os.environ if environ is None else environ
    profile, origin = _profile(parity, environment)
    found = {"parity": Setting(name="parity", value=profile.name, origin=origin)}
    for spec in SPECS:
        found[spec.name] = _read(spec, given, environment, profile)
    _pools(found, environment)
    found["default_headers"] = _merged_headers(found["default_headers"], environment)
    profile = _with_explicit(profile, found)
    return ClientSettings(
        profile=profile,
        policy=_policy(profile, policy, found["max_retries"]),
        retry_config=None if profile.name == DEFAULT.name or policy is not None else profile.retry_config(),
        all=found | _of_profile(profile, policy, found),
    )


def _profile(parity: Profile | str | None, environment: Mapping[str, str]) -> tuple[Profile, Origin]:
    if isinstance(parity, Profile):
        return parity, Origin("argument", "parity=")
    if parity is not None:
        return profile_named(parity), Origin("argument", "parity=")
    for variable in PARITY:
        if environment.get(variable, "").strip():
            try:
                return profile_named(environment[variable]), Origin("environment", variable)
            except ConfigurationError as error:
                raise ConfigurationError(f"{variable}: {error.message}", hint=error.hint) from None
    return DEFAULT, BUILT_IN


def _of_environment(spec: Spec, environment: Mapping[str, str]) -> Setting | None:
    """What the first of a setting's variables that is set says."""
    for variable, parse in spec.variables:
        text = environment.get(variable, "")
        if text.strip():
            origin = Origin("environment", variable)
            return Setting(name=spec.name, value=_meant(variable, parse, text), origin=origin, secret=spec.secret)
    return None


def _read(spec: Spec, given: Mapping[str, Any], environment: Mapping[str, str], profile: Profile) -> Setting:
    named = _of_environment(spec, environment) if spec.no_wins or spec.name not in given else None
    if spec.name in given and (named is None or named.value):
        value = _meant(f"{spec.name}=", spec.check or (lambda value: value), given[spec.name])
        return Setting(name=spec.name, value=value, origin=Origin("argument", f"{spec.name}="), secret=spec.secret)
    if named is not None:
        return named
    if spec.field is not None:
        return Setting(name=spec.name, value=getattr(profile, spec.field), origin=_origin_of(profile))
    return Setting(name=spec.name, value=spec.default, secret=spec.secret)


def _meant(name: str, parse: Callable[[Any], Any], given: Any) -> Any:
    try:
        return parse(given)
    except (ValueError, TypeError) as error:
        # Not what was given: it may hold a secret that stands in the wrong place.
        raise ConfigurationError(f"{name} must be {error}") from None


def _pools(found: dict[str, Setting], environment: Mapping[str, str]) -> None:
    """The port's names for the number of connections: one of them alone is the whole of it."""
    set_ones = [name for name in POOL if environment.get(name, "").strip()]
    if not set_ones or found["max_connections"].origin.kind in ("argument", "environment"):
        return
    total = 1
    for name in set_ones:
        total *= _meant(name, values.positive_count, environment[name])
    origin = Origin("environment", " x ".join(set_ones))
    found["max_connections"] = Setting(name="max_connections", value=total, origin=origin)


def _merged_headers(setting: Setting, environment: Mapping[str, str]) -> Setting:
    """Headers of arguments are sent beside those of the environment, and win where both name one."""
    if setting.origin.kind != "argument":
        return attrs.evolve(setting, value=setting.value or {})
    (spec,) = (spec for spec in SPECS if spec.name == "default_headers")
    below = _read(spec, {}, environment, DEFAULT)
    if not below.value:
        return setting
    origin = Origin("argument", f"{setting.origin.name} and {below.origin.name}")
    return attrs.evolve(setting, value={**below.value, **setting.value}, origin=origin)


def _with_explicit(profile: Profile, found: Mapping[str, Setting]) -> Profile:
    changes = {spec.field: found[spec.name].value for spec in SPECS if spec.field is not None}
    if found["poll_backoff"].value is not None:
        changes["poll_delay_base"], changes["poll_delay_max"] = found["poll_backoff"].value
    return attrs.evolve(profile, **changes)


def _policy(profile: Profile, policy: RetryPolicy | None, max_retries: Setting) -> RetryPolicy:
    if policy is None:
        return profile.policy()
    if max_retries.origin.kind == "argument":
        return attrs.evolve(policy, max_retries=max_retries.value)
    return policy


def _of_profile(profile: Profile, policy: RetryPolicy | None, found: Mapping[str, Setting]) -> dict[str, Setting]:
    """The times that only a profile has, or a `retry_policy=`."""
    times = ("deadline", "delay_base", "delay_max", "jitter_factor")
    more = ("progress_timeout", "concurrent_samples", "heartbeat_interval", "heartbeat_warning")
    polls = ("poll_delay_base", "poll_delay_max")
    backoff = found["poll_backoff"]
    settings: dict[str, Setting] = {}
    for name in times + more + polls:
        source, origin = (profile, _origin_of(profile))
        if name in times and policy is not None:
            source, origin = policy, Origin("argument", "retry_policy=")  # type: ignore[assignment]
        if name in polls and backoff.value is not None:
            origin = backoff.origin
        settings[name] = Setting(name=name, value=getattr(source, name), origin=origin)
    if policy is not None and found["max_retries"].origin.kind != "argument":
        origin = Origin("argument", "retry_policy=")
        settings["max_retries"] = Setting(name="max_retries", value=policy.max_retries, origin=origin)
    return settings


def _origin_of(profile: Profile) -> Origin:
    return BUILT_IN if profile.name == DEFAULT.name else Origin("profile", profile.name)
