"""The rules about agents, each in one transaction with its audit row.

The functions about an agent itself and its heartbeats are here by name; configs, templates, plugin settings and
transfer have modules of their own.
"""

from agents.services.activity import Heartbeat, active_agents, record_activities, record_activity, sweep_activity
from agents.services.agents import (
    NEW_AGENT_ACTIVE_FOR,
    add_agent,
    create_agent,
    delete_agent,
    update_agent,
)

__all__ = [
    "NEW_AGENT_ACTIVE_FOR",
    "Heartbeat",
    "active_agents",
    "add_agent",
    "create_agent",
    "delete_agent",
    "record_activities",
    "record_activity",
    "sweep_activity",
    "update_agent",
]
