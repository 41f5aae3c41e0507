"""PySyncObj as it ships as a member of a scenario, on its own files.

Its messages are dictionaries and its entries pickles; this is the only place of the project that makes such bytes, by
the package's own functions, and they never leave the test.
"""

from __future__ import annotations

import copy
import gzip
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import pysyncobj.pickle as stock_bytes
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.journal import FIRST_RECORD_OFFSET, FileJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from coordinator.consensus.codec import (
    Append,
    AppendAck,
    Message,
    RequestVote,
    SnapshotChunk,
    Vote,
)
from coordinator.consensus.engine.log import NO_OP, REGULAR
from tests.audit.member import (
    ELECTION_S_MAX,
    ELECTION_S_MIN,
    HEARTBEAT_S,
    Member,
    Proposal,
    Setting,
)
from tests.unit.consensus.faults import Crash

logging.getLogger("pysyncobj").setLevel(logging.CRITICAL + 1)

_OUTCOMES = {0: "done", 7: "unknown"}
"""Of pysyncobj.FAIL_REASON; all others read as not done."""


class ScriptedStockTransport(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """Keeps what the engine sends."""

    def __init__(self, outbox: list[tuple[int, Any]]) -> None:
        super().__init__(None, None, [])
        self._outbox = outbox

    def send(self, node: Any, message: Any) -> bool:
        self._outbox.append((node.id, copy.deepcopy(message)))
        return True

    def addNode(self, node: Any) -> None:
        pass

    def dropNode(self, node: Any) -> None:
        pass


class StockNode(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """Remembers what was applied."""

    def __init__(self, member: StockMember, conf: Any) -> None:
        others = [Node(other) for other in member.others]
        super().__init__(
            Node(member.number), others, conf, transport=ScriptedStockTransport(member.outbox)
        )
        self.contents: list[bytes] = []
        self.refuses = member.refuses

    @replicated  # type: ignore[untyped-decorator]  # pysyncobj has no types
    def put(self, content: bytes) -> int:
        self.contents.append(content)
        if content == self.refuses:
            raise ValueError("a mistake of the application")
        return len(self.contents)


class Witness:
    """A part of the state that notes where it is encoded."""

    def __init__(self, threads: list[int]) -> None:
        self._threads = threads

    def __getstate__(self) -> dict[str, list[int]]:
        self._threads.append(threading.get_ident())
        return {"_threads": []}


class BottomlessFile:
    """Takes the place of a `ResizableFile` of any size."""

    def write(self, offset: int, values: bytes) -> None:
        pass

    def read(self, offset: int, size: int) -> bytes:
        return bytes(size)

    def _destroy(self) -> None:
        pass


class StockMember(Member):
    """On real files, without sockets."""

    def __init__(self, setting: Setting, number: int = 1) -> None:
        super().__init__(setting, number)
        self.node: StockNode | None = None
        self.folder.mkdir()

    @property
    def folder(self) -> Path:
        return self.setting.folder / f"n{self.number}"

    @property
    def core(self) -> Any:
        assert self.node is not None
        return self.node

    async def start(self) -> None:
        conf = SyncObjConf(
            autoTick=False,
            raftMinTimeout=ELECTION_S_MIN,
            raftMaxTimeout=ELECTION_S_MAX,
            appendEntriesPeriod=HEARTBEAT_S,
            # As many times the election timeout as by default.
            leaderFallbackTimeout=30 / 1.4 * ELECTION_S_MAX,
            connectionTimeout=2 * ELECTION_S_MAX,
            appendEntriesBatchSizeBytes=self.setting.batch_bytes,
            appendEntriesUseBatch=self.setting.batch,
            journalFile=str(self.folder / "journal"),
            fullDumpFile=str(self.folder / "dump"),
            useFork=False,
            dynamicMembershipChange=True,
        )
        self.node = StockNode(self, conf)

    async def kill(self) -> None:
        if self.node is not None:
            self.state("raftLog")._destroy()
            self.node = None

    async def lose_power(self) -> None:
        """It never synced anything, so that nothing has to be left."""
        assert not self.setting.synced
        await self.kill()
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    async def settle(self) -> None:
        for _ in range(2):
            try:
                self.core.doTick(0)
            except Exception as error:
                self.errors.append(error)

    @property
    def _transport(self) -> Any:
        return self.state("transport")

    def connect(self, member: int) -> None:
        self._transport._onNodeConnected(Node(member))

    def disconnect(self, member: int) -> None:
        self._transport._onNodeDisconnected(Node(member))

    def deliver(self, sender: int, native: Any) -> None:
        try:
            self._transport._onMessageReceived(Node(sender), copy.deepcopy(native))
        except Exception as error:
            self.errors.append(error)

    def _command(self, content: bytes) -> bytes:
        if not content.startswith(REGULAR):
            return NO_OP if content == NO_OP else content
        call = (self.core._methodToID["put_v0"], (content[1:],))
        return b"\0" + stock_bytes.dumps(call)  # type: ignore[no-any-return]  # bytes

    def to_native(self, message: Message) -> Any:
        if isinstance(message, Append):
            rows = [
                (self._command(content), message.prev_index + at, term)
                for at, (term, content) in enumerate(message.entries, 1)
            ]
            return {
                "type": "append_entries",
                "term": message.term,
                "commit_index": message.commit_index,
                "entries": rows,
                "prevLogIdx": message.prev_index,
                "prevLogTerm": message.prev_term,
            }
        if isinstance(message, AppendAck):
            return {
                "type": "next_node_idx",
                "next_node_idx": message.index + (not message.rejected),
                "reset": message.rejected,
                "success": not message.rejected,
            }
        if isinstance(message, RequestVote):
            return {
                "type": "request_vote",
                "term": message.term,
                "last_log_index": message.last_index,
                "last_log_term": message.last_term,
            }
        if isinstance(message, Vote):
            return {"type": "response_vote", "term": message.term}
        if isinstance(message, SnapshotChunk):
            last = message.offset + len(message.content) == message.size
            return {
                "type": "append_entries",
                "term": message.term,
                "commit_index": message.index,
                "serialized": (message.content, message.offset == 0, last),
            }
        return None

    def from_native(self, native: Any) -> Message | None:
        kind = native["type"]
        if kind == "next_node_idx":
            index = native["next_node_idx"] - native["success"]
            return AppendAck(self.term, not native["success"], 0, index)
        if kind == "response_vote":
            return Vote(native["term"])
        if kind == "request_vote":
            return RequestVote(native["term"], native["last_log_index"], native["last_log_term"])
        if kind == "append_entries" and native.get("entries"):
            rows = tuple((term, command) for command, _, term in native["entries"])
            prev, term = native["prevLogIdx"], native["prevLogTerm"]
            return Append(native["term"], prev, term, native["commit_index"], rows)
        return None

    def offer(self, content: bytes) -> Proposal:
        proposal = Proposal(content)

        def ended(_: object, reason: int) -> None:
            proposal.outcome = _OUTCOMES.get(reason, "not done")

        self.core.put(content, callback=ended)
        return proposal

    def offer_with_failing_caller(self, content: bytes) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("the caller went away")

        self.core.put(content, callback=fail)

    def future_entry(self, term: int, prev: tuple[int, int]) -> Append:
        version = b"\3" + stock_bytes.dumps(7)
        return Append(term, *prev, prev[0] + 1, ((term, version),))

    async def read(self) -> list[bytes] | None:
        """All that it offers: whether it believes to lead."""
        return self.applied if self.core._isLeader() else None

    @property
    def applied(self) -> list[bytes]:
        return list(self.core.contents)

    @property
    def given(self) -> list[bytes]:
        return self.applied

    def rows(self) -> list[Any]:
        return list(self.state("raftLog")[:])

    def log(self) -> list[tuple[int, int]]:
        return [(index, term) for _, index, term in self.rows()]

    def hold_syncs(self) -> None:
        """It asks for none; that is what the scenario finds."""

    async def release_syncs(self) -> None:
        pass

    def snapshot_of(self, index: int, term: int, contents: list[bytes]) -> bytes:
        members = {Node(member) for member in range(1, self.setting.count + 1)}
        last, before = (NO_OP, index, term), (NO_OP, index - 1, term)
        state = {"contents": contents}
        return gzip.compress(stock_bytes.dumps((state, last, before, members)))

    async def compact(self) -> None:
        self.core.forceLogCompaction()
        await self.settle()
        await self.settle()

    async def write_snapshot_only(self) -> None:
        self.core.forceLogCompaction()
        self.core.doTick(0)

    async def crash_while_compacting(self, step: int) -> bool:
        """The program is killed; power would take everything with it. A step is an entry written."""
        await self.write_snapshot_only()
        journal, left = self.state("raftLog"), step
        add = journal.add

        def add_or_die(*row: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash
            add(*row)

        journal.add = add_or_die
        try:
            self.core.doTick(0)
            return False
        except Crash:
            await self.kill()
            return True

    async def crash_while_writing(self, step: int) -> None:
        """Term and vote have a file of their own; renamed without a sync, it is empty after the failure."""
        await self.kill()
        (self.folder / "journal.meta").write_bytes(b"")

    async def sync(self) -> None:
        pass

    async def rest(self) -> None:
        await self.settle()

    def watch_encoding(self) -> list[int]:
        threads: list[int] = []
        self.core.witness = Witness(threads)
        return threads

    def flip_bit_in_log(self) -> None:
        path = self.folder / "journal"
        content = bytearray(path.read_bytes())
        term_of_first = FIRST_RECORD_OFFSET + 4 + 8
        content[term_of_first] ^= 1
        path.write_bytes(content)

    def pretend_to_have_written(self, size_bytes: int) -> None:
        journal = self.state("raftLog")
        journal._FileJournal__journalFile._destroy()
        journal._FileJournal__journalFile = BottomlessFile()
        journal._FileJournal__currentOffset = size_bytes

    @property
    def log_size_bytes(self) -> int:
        return (self.folder / "journal").stat().st_size

    def damage_snapshot(self) -> None:
        path = self.folder / "dump"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def lose_log(self, share: float) -> None:
        journal = FileJournal(str(self.folder / "journal"))
        journal.deleteEntriesFrom(int(len(journal) * (1 - share)))
        journal._destroy()

    @property
    def members_in_snapshot(self) -> set[int]:
        return {node.id for node in self.state("serializer").deserialize()[3]}

    async def add_member(self, number: int) -> None:
        self.core.addNodeToCluster(Node(number))
        await self.settle()

    async def remove_member(self, number: int) -> None:
        self.core.removeNodeFromCluster(Node(number))
        await self.settle()
