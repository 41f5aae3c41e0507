"""Mutations: what services are, and what DNS tells of them."""

from __future__ import annotations

from tests.mutations.mutation import Mutation


def of_services(name: str, module: str, old: str, new: str, *tests: str) -> Mutation:
    """A breakage below `catalog/` or `gateways/dns/`, and the unit tests there that notice it."""
    room = module.rpartition("/")[0]
    files = " ".join(f"tests/unit/{room}/test_{test}.py" for test in tests)
    return Mutation(name, f"coordinator/{module}.py", old, new, files)


MUTATIONS = [
    of_services(
        "a-catalog-that-is-at-work-does-not-claim-more-than-it-shows",
        "catalog/catalog",
        "if watcher is not None and watcher.idle and not self._busy:",
        "if watcher is not None and watcher.idle:",
        "catalog",
    ),
    of_services(
        "followers-begin-anew-with-the-catalog",
        "catalog/catalog",
        "                        self._feeds.reset()\n",
        "",
        "catalog",
    ),
    of_services(
        "a-slow-follower-loses-its-queue",
        "catalog/feeds",
        "if len(self._queue) >= self._backlog_max:",
        "if False:",
        "feeds",
    ),
    of_services(
        "a-follower-that-begins-anew-forgets-what-was-before",
        "catalog/feeds",
        "        self._queue.clear()\n        self._lost = True",
        "        self._lost = True",
        "feeds",
    ),
    Mutation(
        "a-failed-registration-leaves-no-session",
        "coordinator/api/registry_sessions.py",
        "            if opened or not refused:",
        "            if not opened and not refused:",
        "tests/unit/api/test_registry_sessions.py",
    ),
    Mutation(
        "a-state-stays-with-the-session-of-its-instance",
        "coordinator/api/registry_writes.py",
        "                _equal(definition, Target.SESSION, session),\n",
        "",
        "tests/unit/api/test_registry_writes.py",
    ),
    Mutation(
        "a-list-waits-for-the-catalog",
        "coordinator/api/registry_reads.py",
        "        await self._catalog.reach(node.state.revision, deadline)\n",
        "",
        "tests/unit/api/test_registry_reads.py",
    ),
    of_services(
        "the-guard-counts-what-was-lost-before",
        "catalog/guard",
        "return min(len(losses), peak - (present - len(ids))), peak",
        "return len(ids), peak",
        "guard",
    ),
    of_services(
        "instances-that-were-replaced-are-no-loss",
        "catalog/guard",
        "return min(len(losses), peak - (present - len(ids))), peak",
        "return len(losses), peak",
        "guard",
    ),
    of_services(
        "closing-is-no-loss",
        "catalog/guard",
        "return min(len(losses), peak - (present - len(ids))), peak",
        "return peak - (present - len(ids)), peak",
        "guard",
    ),
    of_services(
        "losses-grow-old",
        "catalog/guard",
        "losses[oldest] < since",
        "False",
        "guard",
    ),
    of_services(
        "nothing-is-kept-twice",
        "catalog/guard",
        "if session is None or is_system(session):\n        return\n",
        "if session is None:\n        return\n",
        "guard",
    ),
    of_services(
        "ends-under-way-count-as-lost",
        "catalog/guard",
        "service.ending += len(ids)",
        "pass",
        "guard",
    ),
    of_services(
        "an-end-of-unknown-outcome-keeps-what-was-decided",
        "catalog/guard",
        "if name in ending.judgement.guarded:",
        "if self._services[name].guarded:",
        "guard",
    ),
    of_services(
        "a-guard-leaves-an-operators-word",
        "catalog/guard",
        "if state.status in OPERATORS_WORDS:",
        "if False:",
        "guard",
    ),
    of_services(
        "what-is-kept-is-bounded",
        "catalog/guard",
        "if size > KEPT_SIZE_BYTES_MAX:",
        "if False:",
        "guard",
    ),
    of_services(
        "a-catalog-waits-until-the-node-has-caught-up",
        "catalog/catalog",
        "await self._node.read(local=False,",
        "await self._node.read(local=True,",
        "catalog",
    ),
    of_services(
        "a-catalog-that-lost-the-thread-begins-anew",
        "catalog/catalog",
        "                if isinstance(delivery, Compacted):\n                    return",
        "                if isinstance(delivery, Compacted):\n                    continue",
        "catalog",
    ),
    of_services(
        "a-catalog-built-anew-counts-as-changed",
        "catalog/catalog",
        "fresh.put(kv, snapshot.revision)",
        "fresh.put(kv, kv.mod_revision)",
        "catalog",
    ),
    of_services(
        "a-state-counts-as-a-change",
        "catalog/index",
        "judge(old, state, results)\n            service.listed = None",
        "judge(old, state, results)",
        "index",
    ),
    of_services(
        "only-the-healthy-are-told",
        "gateways/dns/zone",
        "[i for i in every if i.state.status in HEALTHY]",
        "list(every)",
        "zone",
    ),
    of_services(
        "what-the-guard-keeps-is-told-when-nothing-is-healthy",
        "gateways/dns/zone",
        " or [i for i in every if i.spare]",
        "",
        "zone",
    ),
    of_services(
        "a-port-is-told-under-its-protocol",
        "gateways/dns/groups",
        "protocols.get(name, PROTOCOL).lower()",
        "PROTOCOL",
        "zone",
    ),
    of_services(
        "proxies-stand-in-place-of-instances",
        "catalog/index",
        "self.settings(name).proxies or self.service(name)",
        "self.service(name)",
        "index",
    ),
    of_services(
        "nothing-old-is-told",
        "gateways/dns/cache",
        "if known[0] == revision:",
        "if True:",
        "cache",
    ),
    of_services(
        "a-cut-answer-says-so",
        "gateways/dns/messages",
        "(0 if complete else TC)",
        "0",
        "messages",
    ),
    of_services(
        "answers-are-not-answered",
        "gateways/dns/queries",
        "if flags & QR:",
        "if False:",
        "queries",
    ),
    of_services(
        "large-answers-have-a-rate",
        "gateways/dns/responder",
        "self._rates.admit(client, now_s)",
        "True",
        "responder",
    ),
    of_services(
        "forged-answers-are-passed-over",
        "gateways/dns/forwarding",
        "or answer[:2] != packet[:2]",
        "",
        "forwarding",
    ),
    of_services(
        "dns-connections-are-limited",
        "gateways/dns/listener",
        "if len(self._connections) >= self._connections_max:",
        "if False:",
        "listener",
    ),
]
