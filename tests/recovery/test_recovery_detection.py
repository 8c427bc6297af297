"""What an error means for a model, and what shows in metrics."""

import pytest

from tinker_hl import errors
from tinker_hl.errors import RequestErrorCategory, ResponseInfo, status_error
from tinker_hl.recovery.detection import LossSpikes, is_the_callers, model_may_live, non_finite_metric, trouble_of


def of_status(status: int) -> errors.APIStatusError:
    return status_error(ResponseInfo(status, {}, b"{}"))


@pytest.mark.parametrize("status", [400, 401, 402, 403, 405, 413, 415, 422])
def test_a_refusal_is_the_callers(status: int) -> None:
    assert is_the_callers(of_status(status))


@pytest.mark.parametrize("status", [401, 402, 403, 405])
def test_a_refusal_after_an_attempt_that_was_cut_off_is_not(status: int) -> None:
    error = of_status(status)
    error.after_doubt = True
    assert not is_the_callers(error)


@pytest.mark.parametrize("status", [404, 409, 410])
def test_a_lost_model_or_session(status: int) -> None:
    error = of_status(status)
    assert not is_the_callers(error)
    assert not model_may_live(error)
    assert trouble_of("run", error).reason == "lost"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_passes(status: int) -> None:
    error = of_status(status)
    assert not is_the_callers(error)
    assert model_may_live(error)
    assert trouble_of("run", error).reason == "unreachable"


def test_errors_without_a_status() -> None:
    user = errors.RequestFailedError("m", "r", RequestErrorCategory.User)
    server = errors.RequestFailedError("m", "r", RequestErrorCategory.Server)
    lost, unreachable = errors.APIConnectionError(), errors.SessionClosedError("ended")
    assert is_the_callers(user)
    assert is_the_callers(errors.InvalidDatumError("no"))
    for error in (server, lost, unreachable):
        assert not is_the_callers(error)
    assert (model_may_live(server), model_may_live(lost), model_may_live(unreachable)) == (False, True, False)
    for first in (server, lost):
        behind = errors.SubmissionFailedError("m", first)
        assert not is_the_callers(behind)
        assert model_may_live(behind) is model_may_live(first)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_metrics_that_are_not_finite(value: float) -> None:
    assert non_finite_metric({"tokens": 3.0, "loss:sum": value}) == "loss:sum"
    assert non_finite_metric({"grad_norm": value}) == "grad_norm"
    assert non_finite_metric({"mine": value, "loss:sum": 1.0}) is None, "other metrics may be what they like"


def test_losses_that_stand_out() -> None:
    spikes = LossSpikes(3.0)
    assert not any(spikes.is_spike(loss) for loss in (100.0, 1.0, 1.0, 1.0, 1.0)), "too few to say"
    assert not spikes.is_spike(3.0)
    assert spikes.is_spike(3.1)
    assert spikes.is_spike(3.1), "one that stands out is no part of what is usual"
    assert spikes.is_spike(float("inf"))
