"""Settings of every property test: a busy machine is no failure, so no example has a time limit of its own."""

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
