"""What goes wrong in a simulation, and how all is made well again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coordinator.consensus.interface import AddLearner, MemberChange, Peer, Promote, Remove
from coordinator.errors import OutcomeUnknown, RequestError
from tests.simulation.chance import chance_of
from tests.simulation.hosts import Host, Hosts, make_peer, pick
from tests.simulation.profile import Profile


class Faults:
    """Makes things go wrong until told to stop. Each method with the name of a fault is that fault."""

    def __init__(self, profile: Profile, hosts: Hosts) -> None:
        self._profile = profile
        self._hosts = hosts
        self._loop = hosts.loop
        self._network = hosts.network
        self._chance = chance_of(profile.seed, "faults")
        self._note = hosts.trace.note
        self._changes = 0
        self.calm = False
        """Nothing new goes wrong."""

    async def run(self, seconds: float) -> None:
        names, weights = list(self._profile.faults), list(self._profile.faults.values())
        end = self._loop.now + seconds
        while self._loop.now < end:
            await asyncio.sleep(self._chance.expovariate(1 / self._profile.fault_gap_s))
            name = self._chance.choices(names, weights)[0]
            getattr(self, name)()
            if self._chance.random() < 0.3:
                self._mend_paths()
        self.calm = True

    def heal(self) -> None:
        """Ends all faults and starts what does not run."""
        self.calm = True
        self._note("all is made well")
        for (sender, receiver), path in sorted(self._network.paths.items()):
            path.delay_s = (0.0005, 0.002)
            self._network.clog(sender, receiver, False)
            self._network.unblock(sender, receiver, survive=self._chance.random() < 0.5)
        self._hosts.disk_slowness = 1.0
        for host in self._hosts.all.values():
            host.disk.usual_slowness = 1.0
            host.disk.mend()
            host.disk.cut_after = None
            self._thaw(host)
            self._hosts.boot(host)

    # Choices.

    def _later(self, seconds_max: float, what: Callable[..., object], *args: object) -> None:
        delay_s = self._chance.uniform(0.02, seconds_max)
        self._loop.after(delay_s, None, what, *args)

    def _host(self) -> Host:
        """Any machine; a leader is the most interesting one."""
        leader = self._hosts.leader()
        if leader is not None and self._chance.random() < 0.4:
            return leader
        return self._chance.choice(list(self._hosts.all.values()))

    def _ids(self) -> list[int]:
        return list(self._hosts.all)

    def _pair(self) -> tuple[int, int]:
        ids = self._ids()
        one = self._host().peer.id
        others = [id for id in ids if id != one] or [one]
        return one, self._chance.choice(others)

    def _boot_later(self, host: Host) -> None:
        self._later(self._profile.down_s_max, self._hosts.boot, host)

    # The network.

    def block(self) -> None:
        one, two = self._pair()
        self._note(f"block n{one} -> n{two}")
        self._network.block(one, two)
        if self._chance.random() < 0.5:
            self._network.block(two, one)

    def isolate(self) -> None:
        one = self._host().peer.id
        inward, outward = self._chance.choice(((True, True), (True, False), (False, True)))
        self._note(f"isolate n{one} {inward=} {outward=}")
        for other in self._ids():
            if other != one:
                if inward:
                    self._network.block(other, one)
                if outward:
                    self._network.block(one, other)
                if self._chance.random() < 0.3:
                    self._network.reset(one, other)

    def halve(self) -> None:
        ids = self._ids()
        self._chance.shuffle(ids)
        cut = self._chance.randint(0, len(ids))
        self._note(f"part {sorted(ids[:cut])} from {sorted(ids[cut:])}")
        loud = self._chance.random() < 0.5
        for one in ids[:cut]:
            for two in ids[cut:]:
                self._network.block(one, two)
                self._network.block(two, one)
                if loud:
                    self._network.reset(one, two)

    def _mend_paths(self) -> None:
        self._note("mend paths")
        for (sender, receiver), path in sorted(self._network.paths.items()):
            if path.blocked:
                self._network.unblock(sender, receiver, survive=self._chance.random() < 0.5)

    def reset(self) -> None:
        one, two = self._pair()
        self._note(f"reset n{one} n{two}")
        self._network.reset(one, two)

    def slow_link(self) -> None:
        one, two = self._pair()
        delay_s = self._chance.choice(((0.0005, 0.002), (0.01, 0.05), (0.05, 0.3)))
        self._note(f"delay n{one} -> n{two} {delay_s}")
        self._network.path(one, two).delay_s = delay_s

    def clog(self) -> None:
        one, two = self._pair()
        self._note(f"clog n{one} -> n{two}")
        self._network.clog(one, two, True)
        self._later(1.0, self._network.clog, one, two, False)

    # Processes.

    def kill(self) -> None:
        host = self._host()
        self._hosts.kill(host, power=False)
        self._boot_later(host)

    def power(self) -> None:
        host = self._host()
        self._hosts.kill(host, power=True)
        self._boot_later(host)

    def outage(self) -> None:
        """All machines, or most of them, lose power at the same moment."""
        for host in self._hosts.all.values():
            if self._chance.random() < 0.9:
                self._hosts.kill(host, power=self._chance.random() < 0.8)
                self._boot_later(host)

    def cut(self) -> None:
        """Lets a process end within one of its next file operations."""
        host = self._host()
        host.disk.cut_after = self._chance.randint(1, 12)
        self._later(1.0, self._end_cut, host)

    def _end_cut(self, host: Host) -> None:
        host.disk.cut_after = None
        self._boot_later(host)

    def stop(self) -> None:
        host = self._host()
        self._hosts.stop(host)
        self._boot_later(host)

    def freeze(self) -> None:
        host = self._host()
        if host.life is not None and not host.life.frozen:
            self._note(f"freeze n{host.peer.id}")
            host.life.freeze()
            self._later(self._chance.choice((0.2, 1.0, 3.0)), self._thaw, host)

    def _thaw(self, host: Host) -> None:
        if host.life is not None and host.life.frozen:
            self._note(f"thaw n{host.peer.id}")
            host.life.thaw(timers_first=self._chance.random() < 0.5)

    def jump(self) -> None:
        host = self._host()
        if host.life is not None:
            seconds = self._chance.choice((0.1, 1.0, 60.0))
            self._note(f"the clock of n{host.peer.id} jumps by {seconds} s")
            host.life.jump(seconds)

    # Disks.

    def slow_disk(self) -> None:
        host = self._host()
        host.disk.slowness = self._chance.choice((5.0, 30.0, 100.0))
        self._note(f"the disk of n{host.peer.id} is slow: {host.disk.slowness}")
        self._later(2.0, host.disk.mend)

    def disk_full(self) -> None:
        host = self._host()
        self._note(f"the disk of n{host.peer.id} is full")
        host.disk.full = True
        self._later(1.0, self._mend_disk, host)

    def disk_fails(self) -> None:
        host = self._host()
        self._note(f"the disk of n{host.peer.id} fails")
        host.disk.failing = True
        self._later(1.0, self._mend_disk, host)

    def _mend_disk(self, host: Host) -> None:
        host.disk.mend()
        self._boot_later(host)

    # What operators do.

    def compact(self) -> None:
        host = self._host()
        if host.up and host.life is not None and host.engine is not None:
            self._note(f"compact n{host.peer.id}")
            host.life.spawn(host.engine.compact_now())

    def transfer(self) -> None:
        leader = self._hosts.leader()
        if leader is None or leader.life is None or leader.engine is None:
            return
        target = self._chance.choice([None, *self._ids()])
        self._note(f"transfer from n{leader.peer.id} to {target}")
        leader.life.spawn(self._transfer(leader, target))

    async def _transfer(self, leader: Host, target: int | None) -> None:
        assert leader.engine is not None
        try:
            done = await leader.engine.transfer_leadership(target, 0.5)
        except RequestError as error:
            self._note(f"no transfer: {error.reason}")
        else:
            self._note(f"transferred: {done}")

    def members(self) -> None:
        leader = self._hosts.leader()
        if leader is None or leader.life is None or leader.engine is None:
            return
        change = self._choose_change(leader)
        if change is not None:
            self._note(f"change {change}")
            leader.life.spawn(self._change(leader, change))

    def _choose_change(self, leader: Host) -> MemberChange | None:
        assert leader.engine is not None
        present = leader.engine.members
        learners = [peer.id for peer in present if not peer.voter]
        if learners and self._chance.random() < 0.7:
            return Promote(self._chance.choice(learners))
        if len(present) > self._profile.members or (
            len(present) > 3 and self._chance.random() < 0.3
        ):
            gone = pick(
                self._chance,
                [
                    self._hosts.all[peer.id]
                    for peer in present
                    if peer.id != leader.peer.id and peer.id in self._hosts.all
                ],
            )
            if gone is None:
                return None
            return Remove(gone.peer.id)
        if self._changes >= self._profile.spares + 1:
            return None
        self._changes += 1
        peer = make_peer(self._profile.members + self._changes)
        return AddLearner(peer.id, peer.name, peer.address)

    async def _change(self, leader: Host, change: MemberChange) -> None:
        engine = leader.engine
        assert engine is not None
        gone = self._hosts.all[change.id] if isinstance(change, Remove) else None
        removed_before = gone is not None and gone.removed
        if gone is not None:
            gone.removed = True
        present = engine.members
        try:
            await engine.change_members(change, force=self._chance.random() < 0.2, timeout_s=1.0)
        except OutcomeUnknown:
            self._note(f"unknown: {change}")
            if isinstance(change, AddLearner):
                return  # perhaps it does not belong to the cluster: nobody starts it
        except RequestError as error:
            self._note(f"refused: {change}: {error.reason}")
            if gone is not None:
                gone.removed = removed_before
            return
        if isinstance(change, AddLearner):
            learner = Peer(change.id, change.name, change.address, voter=False)
            host = self._hosts.add(make_peer(change.id), (*present, learner))
            self._loop.after(0.0, None, self._hosts.boot, host)
