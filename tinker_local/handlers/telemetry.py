"""Reports of clients: kept for a week, for whoever looks for the cause of something."""

from collections.abc import Mapping

import orjson

from tinker_local.errors import not_found
from tinker_local.handlers.call import Call, Handler, Result

__all__ = ["HANDLERS"]


async def send_telemetry(call: Call) -> Result:
    """Keep the batch; reports about somebody else's session are nobody's to make."""
    records = call.service.records
    about = records.session(call.body["session_id"])
    if about is not None and about.owner != call.owner:
        raise not_found(f"no session {about.session_id}")
    statement = records.put_telemetry(call.body["session_id"], orjson.dumps(call.body), call.service.clock.wall())
    records.database.post(statement)
    return {"status": "accepted"}


HANDLERS: Mapping[str, Handler] = {"send_telemetry": send_telemetry}
