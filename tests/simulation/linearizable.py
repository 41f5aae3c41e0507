"""What clients saw, judged without a word about revisions: each key is a register, each sequence a counter.

`checkers.check_order` and `check_reads` come to the same by revisions; this takes nothing from the cluster for granted,
not even those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tests.linearizability.checker import check
from tests.linearizability.history import Operation
from tests.linearizability.models import (
    Add,
    Answer,
    Counter,
    CounterInput,
    Delete,
    Get,
    Put,
    Read,
    Register,
    RegisterInput,
    Swap,
)
from tests.linearizability.search import Verdict
from tests.simulation.history import Fate, History, ReadRecord, WriteRecord

TIMEOUT_S = 10.0
"""Of the search, for all registers and for all counters."""

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
RegisterOperation = Operation[RegisterInput, Answer]
CounterOperation = Operation[CounterInput, int]


def check_linearizable(history: History) -> tuple[list[str], bool]:
    """Returns complaints, and whether all was decided in time."""
    registers = check(Register(), register_operations(history), timeout_s=TIMEOUT_S)
    counters = check(Counter(), counter_operations(history), timeout_s=TIMEOUT_S)
    reports = (registers, counters)
    return (
        [r.explanation for r in reports if r.verdict is Verdict.NOT_LINEARIZABLE],
        all(r.verdict is not Verdict.UNDECIDED for r in reports),
    )


def register_operations(history: History) -> list[RegisterOperation]:
    """All that happened to keys of clients that write values under names of their own choice."""
    writes = [
        write for write in history.writes if not write.sequence and write.fate is not Fate.REFUSED
    ]
    operations = [_of_write(number, write) for number, write in enumerate(writes)]
    keys = sorted({write.key for write in writes})
    for read in _linearizable(history.reads):
        seen = {kv.key: kv.value.decode() for kv in read.kvs}
        operations += [
            _operation(read, key, Get(), Answer(seen.get(key)))
            for key in keys
            if key == read.prefix or (read.prefix.endswith(b"/") and key.startswith(read.prefix))
        ]
    return operations


def counter_operations(history: History) -> list[CounterOperation]:
    """All that happened to sequences: a write raises one, and its number says how far it was before."""
    operations: list[CounterOperation] = []
    prefixes: set[bytes] = set()
    for number, write in enumerate(history.writes):
        if not write.sequence or write.fate is Fate.REFUSED:
            continue
        prefix, _, digits = write.key.rpartition(b"/")
        prefixes.add(prefix + b"/")
        operations.append(
            Operation(
                f"write {number}",
                (prefix + b"/").decode(),
                Add(1),
                int(digits) + 1 if write.fate is Fate.APPLIED else None,
                write.begun_at,
                write.ended_at,
            )
        )
    operations += [
        _operation(read, read.prefix, Read(), len(read.kvs))
        for read in _linearizable(history.reads)
        if read.prefix in prefixes
    ]
    return operations


def _linearizable(reads: Iterable[ReadRecord]) -> Iterable[ReadRecord]:
    return (read for read in reads if not read.local)


def _of_write(number: int, write: WriteRecord) -> RegisterOperation:
    name, key, known = f"write {number}", write.key.decode(), write.fate is not Fate.UNKNOWN
    before = None if write.before is None else write.before.decode()
    input: RegisterInput
    if write.value is None:
        input, answer = Delete(), Answer(before)
    elif write.conditional:
        expected = None if write.expected is None else write.expected.decode()
        input = Swap(expected, write.value.decode())
        answer = Answer() if write.fate is Fate.APPLIED else Answer(before, done=False)
    else:
        input, answer = Put(write.value.decode()), Answer()
    return Operation(
        name,
        key,
        input,
        answer if known else None,
        write.begun_at,
        write.ended_at if known else None,
    )


def _operation(
    read: ReadRecord, key: bytes, input: InputT, output: OutputT
) -> Operation[InputT, OutputT]:
    return Operation(
        f"client {read.client}", key.decode(), input, output, read.begun_at, read.ended_at
    )
