"""Agents: what is known of each, and what a process needs to reach its provider through the gateway."""

from tokenomics_core.agents.environment import AgentEnvironment, AgentError, agent_environment, mask
from tokenomics_core.agents.profile import (
    GENERIC,
    AgentFile,
    Profile,
    Profiles,
    Via,
    Way,
    load_profiles,
    ways_of,
)

__all__ = [
    "GENERIC",
    "AgentEnvironment",
    "AgentError",
    "AgentFile",
    "Profile",
    "Profiles",
    "Via",
    "Way",
    "agent_environment",
    "load_profiles",
    "mask",
    "ways_of",
]
