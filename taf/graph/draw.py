"""Pictures of a graph."""
from taf.graph.spec import GraphSpec
def mermaid(spec: GraphSpec, waiting: tuple[str, ...] = ()) -> str:
    return ""
def svg(spec: GraphSpec, waiting: tuple[str, ...] = ()) -> str:
    return ""
