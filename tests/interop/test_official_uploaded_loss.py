"""A loss that the server runs gives what it gives when a client computes it: the official SDK, and ours."""

import pytest
from script_runs import run_script

from tinker_local.embedded import EmbeddedService


@pytest.mark.parametrize("client", ["newest", "ours"])
def test_an_uploaded_loss_is_the_same_loss(client: str, service: EmbeddedService) -> None:
    seen = run_script(client, service, "uploaded_loss.py")
    assert seen["loss_id"], "the client did not upload"
    uploaded, here = seen["uploaded"], seen["here"]
    assert uploaded["loss:sum"] == pytest.approx(here["total:sum"], rel=1e-5)
    assert uploaded["custom/kl:mean"] == pytest.approx(here["kl:sum"], rel=1e-5)
    assert uploaded["custom/ratio:sum"] == pytest.approx(here["ratio:sum"], rel=1e-5)
    assert uploaded["grad_norm"] == pytest.approx(here["grad_norm"], rel=1e-4)
