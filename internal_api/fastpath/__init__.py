"""The fast path of the internal surface: plain requests of bots, answered without Django's handler and DRF.

Bots verify keys, read agents and report that they are alive thousands of times a second. Such a request is answered on
the event loop, if that takes no I/O, or in a batch with others, with one query or one transaction for all of them. The
responses are those of the views, over the same functions, and tests compare the two. Anything unusual is left to
Django: another method or media type, a browser's headers, a body that the views would refuse.

    base      a request as the server receives it, and the interface of handlers
    keys      handlers of validate-api-key, check-permission and parse-api-key
    agents    handlers of an agent, its config, and its effective config
    reports   handlers of heartbeats and of the usage log
    bodies    JSON bodies
    replies   HTTP responses, written without Django
    batches   the queue of requests that need the database
"""

from internal_api.fastpath.agents import AgentHandler, match_agent_request
from internal_api.fastpath.base import Handler, Headers, Request
from internal_api.fastpath.batches import Batches
from internal_api.fastpath.keys import KeyAuthHandler, ParseKeyHandler, match_key_request
from internal_api.fastpath.replies import Reply
from internal_api.fastpath.reports import HeartbeatHandler, UsageLogHandler, match_report

__all__ = ["HANDLERS", "Batches", "Handler", "Headers", "Reply", "Request", "match"]

HANDLERS: tuple[type[Handler], ...] = (KeyAuthHandler, ParseKeyHandler, AgentHandler, HeartbeatHandler, UsageLogHandler)


def match(request: Request) -> Handler | None:
    """Return the handler of a plain request. Return None for any other, which is for Django to answer."""
    return match_key_request(request) or match_agent_request(request) or match_report(request)
