"""The deadlines of all calls, with one timer: calls come and go far more often than a deadline passes."""

from __future__ import annotations

import asyncio
import heapq
import math
from typing import Protocol

SLOT_S = 0.01
"""Deadlines are kept in slots of this width, and pass at the end of theirs."""
DISTANT_S = 7 * 86_400.0
"""A later deadline passes then: no call lives so long."""
EMPTIED_MAX = 4_096
"""After so many slots were emptied before their time, those that are empty are forgotten."""


class Expiring(Protocol):
    """What has a deadline."""

    slot: int

    def expire(self) -> None:
        """Ends it, as its deadline has passed."""
        ...


class Deadlines:
    """Whose deadline passes when."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, dict[Expiring, None]] = {}
        self._order: list[int] = []
        """Numbers of slots, a heap."""
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0
        self._emptied = 0

    def add(self, call: Expiring, deadline: float) -> None:
        """Takes a call in; `deadline` as loop time."""
        slot = math.ceil(min(deadline, self._loop.time() + DISTANT_S) / SLOT_S)
        call.slot = slot
        calls = self._slots.get(slot)
        if calls is None:
            self._slots[slot] = {call: None}
            heapq.heappush(self._order, slot)
            if self._timer is None or slot < self._armed_for:
                self._arm()
        else:
            calls[call] = None

    def remove(self, call: Expiring) -> None:
        """Forgets a call that has ended. Its slot may stay until it passes: most are used by many calls."""
        calls = self._slots.get(call.slot)
        if calls is not None:
            calls.pop(call, None)
            if not calls:
                self._emptied += 1
                if self._emptied >= EMPTIED_MAX:
                    self._tidy()

    def _tidy(self) -> None:
        self._emptied = 0
        self._slots = {slot: calls for slot, calls in self._slots.items() if calls}
        self._order = sorted(self._slots)

    def close(self) -> None:
        """Forgets all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()
        self._order.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = self._order[0]
        self._timer = self._loop.call_at(self._armed_for * SLOT_S, self._pass)

    def _pass(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._order and (self._order[0] * SLOT_S <= now or not self._slots[self._order[0]]):
            for call in self._slots.pop(heapq.heappop(self._order)):
                call.expire()
        if self._order:
            self._arm()
