"""The Agent Client Protocol: a graph served as an agent over stdio, and an agent as a node of a graph.

Needs the extra ``acp``. ``taf acp module:graph`` serves from the command line.
"""

from __future__ import annotations

from taf.acp.agent import GraphAgent, ReadPrompt
from taf.acp.desk import DEADLINE_SECONDS
from taf.acp.node import AgentNode, MakePrompt
from taf.acp.stdio import serve

__all__ = [
    "AgentNode",
    "DEADLINE_SECONDS",
    "GraphAgent",
    "MakePrompt",
    "ReadPrompt",
    "serve",
]
