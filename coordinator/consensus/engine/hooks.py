"""What the engine does where `SyncObj` is overridden."""

from __future__ import annotations

from typing import Protocol

from coordinator.consensus.codec import Message


class CoreHooks(Protocol):
    """Whom a `Core` calls."""

    def send_when_durable(self, member: int, message: Message) -> None:
        """Sends a message that reveals something of the journal."""
        ...

    def may_campaign(self) -> bool:
        """An election timeout has passed: whether to begin an election."""
        ...

    def transfers(self, term: int) -> bool:
        """Whether the leader asked for the election of this term."""
        ...

    def log_changed(self, first_index: int) -> None:
        """Entries from an index on are others than before."""
        ...

    def acknowledge(self, member: int, match: int) -> None:
        """Tells the leader that the log equals its own up to `match`."""
        ...

    def send_heartbeats(self) -> None:
        """It is time for the leader to be heard."""
        ...

    def apply_committed(self) -> None: ...

    def term_begins(self) -> None:
        """This member won an election, and its no-op is not in the log yet."""
        ...

    def leadership_ends(self) -> None: ...

    def quorum_index(self) -> int:
        """The highest index that is on the disks of a quorum, as far as this leader knows."""
        ...
