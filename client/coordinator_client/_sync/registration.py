# Generated from coordinator_client/_async/registration.py by scripts/unasync.py; edit that file instead.
"""A service instance that stays registered for as long as the program wants."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from coordinator_client import _io_sync as io
from coordinator_client import errors, validation
from coordinator_client._sync.connection import Connection
from coordinator_client._sync.reports import Reports
from coordinator_client._sync.session import Session
from coordinator_client._sync.txn import Txn
from coordinator_client._sync.writes import Writes
from coordinator_client.checks import CheckResult, TtlCheck
from coordinator_client.compares import Key
from coordinator_client.failures import Backoff
from coordinator_client.instances import (
    Instance,
    InstanceState,
    check_key,
    definition_key,
    state_key,
)
from coordinator_client.model import KeyValue
from coordinator_client.operations import Get, Put

_log = logging.getLogger("coordinator_client")

SessionMaker = Callable[[Callable[[Session], None]], Session]
REGISTER_ATTEMPTS_MAX = 5
OPERATORS_WORDS = ("maintenance", "draining")
REPORTS_CLOSE_TIMEOUT_S = 1.0
CANCELLED_CLOSE_TIMEOUT_S = 1.0
"""How long deregistering may take when a program that drains does not want to wait."""


class Registration:
    """An instance of a service under a session of its own; made by `Client.register`.

    Use it as a context manager: entering registers, leaving deregisters, after a time to drain if it was told one. When
    the session is lost in between (the cluster was out of reach for longer than the TTL), a new one is opened and the
    instance registered again. An instance that registers an id that is taken replaces the other, which a restarted
    program needs.
    """

    def __init__(
        self,
        connection: Connection,
        instance: Instance,
        make_session: SessionMaker,
        drain_s: float = 0.0,
    ) -> None:
        # What can't be written is told now, not when a session is open already.
        instance.to_json()
        self._connection = connection
        self._instance = instance
        self._make_session = make_session
        self._drain_s = drain_s
        self._session: Session | None = None
        self._untold = False
        """Whether the program set a state that may not be written yet."""
        self._reports = {
            name: Reports(
                connection,
                check_key(instance.service, instance.id, name),
                definition["ttl_ms"],
                {"service": instance.service, "instance": instance.id, "check": name},
            )
            for name, definition in instance.check_definitions.items()
            if definition.get("kind") == TtlCheck.KIND
        }
        self._stop = io.Flag()
        self._wake = io.Flag()
        self._registered = io.Flag()
        self._worker: io.Worker | None = None

    def __repr__(self) -> str:
        session = self._session
        if self._stop.is_set():
            state = "closed"
        elif session is None:
            state = "not open yet"
        elif self.registered:
            state = f"registered under session {session.id}"
        else:
            state = "lost, to be registered again"
        instance = self._instance
        name = f"{instance.service}/{instance.id} at {instance.endpoint}"
        return f"<{type(self).__name__} of {name}: {state}>"

    @property
    def instance(self) -> Instance:
        """The instance as registered; its state is the one that this program set last."""
        return self._instance

    @property
    def session(self) -> Session | None:
        """The session that owns the registration now; another one after a loss, None before `open`."""
        return self._session

    @property
    def registered(self) -> bool:
        """Whether the registration stands as far as this program knows."""
        session = self._session
        return self._registered.is_set() and session is not None and not session.lost.is_set()

    def wait_registered(self, timeout_s: float | None = None) -> bool:
        """Waits until the registration stands (again), at most `timeout_s` seconds; returns whether it does."""
        return self._registered.wait(timeout_s)

    def open(self) -> Self:
        """Registers the instance and returns the registration; raises Unavailable, LimitExceeded, …"""
        if self._session is not None or self._stop.is_set():
            raise errors.Closed("a registration is opened once")
        self._register()
        self._worker = io.Worker(self._stay_registered, f"coordinator-register-{self._instance.id}")
        return self

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, *, drain_s: float | None = None) -> None:
        """Deregisters. If the cluster can't be reached, the registration goes with the session's TTL.

        `drain_s`: how long the instance is listed as `draining` before that, so that nobody begins anything new with
        it; by default as long as `register` was told. Raises InvalidArgument if that is no length of time.
        """
        drain_s = self._drain_s if drain_s is None else validation.wait(drain_s, "drain_s")
        if self._stop.is_set():
            return
        if drain_s > 0 and self.registered:
            try:
                self._drain(drain_s)
            except BaseException:
                self._deregister(CANCELLED_CLOSE_TIMEOUT_S)
                raise
        self._deregister(None)

    def _deregister(self, timeout_s: float | None) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._wake.set()
        self._registered.clear()
        session = self._session
        if session is not None:
            session.close(timeout_s=timeout_s)
        for reports in self._reports.values():
            # What can't be taken back soon counts for nothing anyway, and goes with its TTL.
            reports.close(REPORTS_CLOSE_TIMEOUT_S)
        if self._worker is not None:
            self._worker.join(self._connection.timeout_s)
            if self._session is not None and self._session is not session:
                # A new session was under way when the old one was closed.
                self._session.close()

    def _drain(self, drain_s: float) -> None:
        """Stays listed as draining for a while, or until the registration is lost, which comes to the same."""
        try:
            self.set_state("draining")
        except errors.CoordinatorError as error:
            _log.warning("%s could not be drained: %s", self._instance.id, error)
            return
        session = self._session
        if session is not None:
            session.lost.wait(drain_s)

    def set_state(self, status: str, note: str = "") -> None:
        """Writes the instance's state: one of `instances.STATUSES`, and a note.

        Raises SessionLost while the registration does not stand; the state is then written when it does again.
        """
        state = InstanceState(status, note)
        value = state.to_json()
        self._instance = replace(self._instance, state=state)
        self._untold = True
        session = self._session
        if session is None:
            raise errors.Closed("the registration is not open")
        key = state_key(self._instance.service, self._instance.id)
        session.put(key, value)
        if self._instance.state == state:
            self._untold = False

    def report(self, check: str, status: str = "passing", note: str = "") -> None:
        """Reports how a check is doing that was registered as TtlCheck: `passing`, `warning` or `critical`.

        It counts for the TTL of the check, so report again before that is over. A report that says the same as the one
        before writes nothing. Raises InvalidArgument if there is no such check, Closed before `open` and after `close`,
        and Unavailable or DeadlineExceeded if the cluster could not be told.
        """
        reports = self._reports.get(check) if isinstance(check, str) else None
        if reports is None:
            raise errors.InvalidArgument(
                f"check {validation.shown(check)} of {self._instance.id} is none that the program reports"
            )
        if self._session is None or self._stop.is_set():
            raise errors.Closed("the registration is not open")
        reports.tell(CheckResult(status, note))

    def _register(self) -> None:
        """Opens a session and writes both keys under it, in one transaction."""
        session = self._make_session(self._note_loss).open()
        try:
            for _ in range(REGISTER_ATTEMPTS_MAX):
                if self._write(session):
                    break
            else:
                raise errors.Unavailable("the state of the instance changes all the time")
        except BaseException:
            session.close()
            raise
        self._session = session
        self._registered.set()

    def _write(self, session: Session) -> bool:
        """Writes definition and state, unless the state changes meanwhile; returns whether they were written.

        A state that is still there, perhaps an operator's, is kept and moves to the new session; not that of the
        cluster's guard, which only says that the instance was not heard of. An attempt with an
        unknown outcome is made again: writing the same keys under the same session twice does no harm.
        """
        instance = self._instance
        definition = definition_key(instance.service, instance.id)
        state = state_key(instance.service, instance.id)
        # Unnumbered, as it may well be made twice: a program that only registers needs no session for its writes.
        writes = Writes(self._connection)
        found = (Txn(self._connection, writes).then(Get(state)).commit()).responses[0]
        mod_revision, value = 0, instance.state.to_json()
        # At the first registration the program's word counts; later, what became of it.
        if isinstance(found, KeyValue):
            mod_revision = found.mod_revision
            if self._session is not None and not self._untold:
                value = _state_kept(found.value, instance.state).to_json()
        txn = Txn(self._connection, writes).when(Key(state).mod_revision == mod_revision)
        txn.then(Put(definition, instance.to_json(), session), Put(state, value, session))
        try:
            result = txn.commit()
        except errors.OutcomeUnknown:
            return False
        if result.succeeded:
            revision = result.revision
            self._instance = replace(
                self._instance, create_revision=revision, mod_revision=revision, session=session.id
            )
            if self._instance.state != instance.state:
                return False  # another one was set meanwhile
            self._untold = False
        return result.succeeded

    def _note_loss(self, session: Session) -> None:
        self._registered.clear()
        self._wake.set()

    def _stay_registered(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            session = self._session
            if self._stop.is_set() or session is None:
                return
            if not session.lost.is_set():
                continue
            _log.warning("%s; registering %s again", session.lost_reason, self._instance.id)
            session.close()
            backoff = Backoff(1)
            while not self._stop.wait(backoff.next_s()):
                try:
                    self._register()
                    break
                except errors.Closed:
                    return
                except errors.CoordinatorError as error:
                    _log.warning("registering %s failed: %s", self._instance.id, error)


def _state_kept(value: bytes, own: InstanceState) -> InstanceState:
    """Returns the state of an instance that registers again and finds one, as a key's value.

    It may be an operator's word. What the cluster said of an instance that it kept for a lost one is not.
    """
    found = InstanceState.from_json(value)
    if not found.guarded:
        return found
    return replace(found, guarded=False) if found.status in OPERATORS_WORDS else own
