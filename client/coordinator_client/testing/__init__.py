"""Real nodes for the tests of programs that use Coordinator.

nodes    starts, kills and ends nodes on free ports of this machine
plugin   the fixtures `coordinator_node` and `coordinator_cluster` for pytest
"""

from coordinator_client.testing.nodes import Node, NodeError, Nodes

__all__ = ["Node", "NodeError", "Nodes"]
