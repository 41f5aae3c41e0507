"""How many large answers a network of clients is sent over UDP.

The sender of a datagram is easily forged, so that a server that answers much to little is a weapon against third
parties. Beyond the rate a client gets answers no larger than its questions, which tell it to ask again over TCP.
"""

from __future__ import annotations

from collections import OrderedDict

NETWORKS_MAX = 10_000
"""Networks that are remembered; who asked longest ago is forgotten."""
SMALL_SIZE_BYTES_MAX = 512
"""Answers up to this size are sent to anyone."""

_NETWORK_SIZES = {4: 3, 16: 7}
"""Bytes that make a network: /24 and /56."""


class Rates:
    """A budget for each network: `per_s` large answers a second, at most those of one second saved up."""

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._budgets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def admit(self, packed: bytes, now_s: float) -> bool:
        """Whether a client at this address may be sent a large answer now; takes it from the budget."""
        network = packed[: _NETWORK_SIZES.get(len(packed), len(packed))]
        left, since = self._budgets.pop(network, (float(self._per_s), now_s))
        left = min(float(self._per_s), left + (now_s - since) * self._per_s)
        admitted = left >= 1
        self._budgets[network] = (left - 1 if admitted else left, now_s)
        if len(self._budgets) > NETWORKS_MAX:
            self._budgets.popitem(last=False)
        return admitted
