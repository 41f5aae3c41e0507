"""What kind of a simulation a seed makes: how many members, which faults, how busy.

No simulation has all faults: some faults hide what others would show.
"""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.config import KIB, Limits, Timing
from tests.simulation.chance import chance_of

FAULTS = {
    "block": 4.0,
    "isolate": 3.0,
    "halve": 2.0,
    "reset": 3.0,
    "slow_link": 1.5,
    "clog": 1.0,
    "kill": 3.0,
    "power": 3.0,
    "outage": 0.7,
    "cut": 3.0,
    "stop": 1.0,
    "freeze": 2.0,
    "slow_disk": 2.0,
    "disk_full": 0.7,
    "disk_fails": 0.7,
    "compact": 2.0,
    "transfer": 2.0,
    "members": 2.5,
    "jump": 0.7,
}
"""What may go wrong, and how often compared to the rest."""

CALM = frozenset({"compact", "transfer", "members", "slow_link"})
"""Those that need nothing to be repaired."""


@dataclass(frozen=True)
class Profile:
    """All that is drawn before a simulation begins. Times are in seconds of the world's clock."""

    seed: int
    members: int
    spares: int
    """Members that may be added."""
    seconds: float
    """How long things go wrong."""
    fault_gap_s: float
    """The mean time between faults."""
    down_s_max: float
    faults: dict[str, float]
    faithless: bool
    window_bytes: int
    disk_slowness: float
    drift: float
    """Clocks run that much faster or slower, at most."""
    clients: int
    think_s: float
    ttl_ms: int
    history_revisions_max: int
    journal_size_bytes_max: int
    retained_entries: int
    append_size_bytes: int
    snapshot_chunk_size_bytes: int
    appends_in_flight_max: int
    heartbeat_ms: int
    election_timeout_ms_min: int
    election_timeout_ms_max: int
    guarded: bool
    """Whether holders register instances of one service, which a leader keeps when many of them vanish."""

    @property
    def timing(self) -> Timing:
        return Timing(
            heartbeat_ms=self.heartbeat_ms,
            election_timeout_ms_min=self.election_timeout_ms_min,
            election_timeout_ms_max=self.election_timeout_ms_max,
            guard_window_ms=self.ttl_ms if self.guarded else 0,
        )

    @property
    def limits(self) -> Limits:
        return Limits(
            history_revisions_max=self.history_revisions_max,
            watch_backlog_batches_max=20,
            guard_share_percent=20,
            guard_instances_min=1,
        )

    @property
    def jumps(self) -> bool:
        """Whether clocks may jump; then deadlines of sessions say nothing."""
        return "jump" in self.faults


def profile_of(seed: int) -> Profile:
    """Draws a profile."""
    chance = chance_of(seed, "profile")
    names = [name for name in FAULTS if chance.random() < 0.45] or ["power"]
    members = chance.choice((3, 3, 3, 3, 3, 5, 5, 4, 2, 1))
    heartbeat_ms = chance.choice((40, 100))
    return Profile(
        seed=seed,
        members=members,
        spares=chance.choice((1, 2)) if "members" in names and members > 1 else 0,
        seconds=chance.uniform(4.0, 10.0),
        fault_gap_s=chance.choice((0.15, 0.4, 0.8)),
        down_s_max=chance.choice((0.3, 1.5, 4.0)),
        faults={name: FAULTS[name] for name in names},
        faithless=chance.random() < 0.15,
        window_bytes=chance.choice((0, 0, 0, 6_000)),
        disk_slowness=chance.choice((1.0, 1.0, 10.0, 40.0)),
        drift=chance.choice((0.0, 0.01)),
        clients=chance.choice((2, 4)),
        think_s=chance.choice((0.01, 0.05, 0.1)),
        ttl_ms=chance.choice((500, 800, 2_000)),
        history_revisions_max=chance.choice((100_000, 100_000, 60)),
        journal_size_bytes_max=chance.choice((8, 16, 64)) * KIB,
        retained_entries=chance.choice((0, 10, 1_000)),
        append_size_bytes=chance.choice((300, 4_096, 65_536)),
        snapshot_chunk_size_bytes=chance.choice((256, 4_096)),
        appends_in_flight_max=chance.choice((1, 4, 64)),
        heartbeat_ms=heartbeat_ms,
        election_timeout_ms_min=6 * heartbeat_ms,
        election_timeout_ms_max=12 * heartbeat_ms,
        guarded=chance_of(seed, "guard").random() < 0.5,
    )
