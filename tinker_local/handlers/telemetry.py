"""Reports of clients: kept for a week, for whoever looks for the cause of something."""

from collections.abc import Mapping

import orjson

from tinker_local.handlers.call import Call, Handler, Result

__all__ = ["HANDLERS"]


async def send_telemetry(call: Call) -> Result:
    """Keep the batch."""
    records = call.service.records
    statement = records.put_telemetry(call.body["session_id"], orjson.dumps(call.body), call.service.clock.wall())
    call.service.in_background(records.write(statement))
    return {"status": "accepted"}


HANDLERS: Mapping[str, Handler] = {"send_telemetry": send_telemetry}
