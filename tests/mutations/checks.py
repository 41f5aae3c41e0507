"""Mutations: health checks, who runs them, and what is written of them."""

from __future__ import annotations

from tests.mutations.mutation import Mutation
from tests.mutations.services import of_services

MUTATIONS: list[Mutation] = [
    of_services(
        "results-of-another-session-do-not-count",
        "catalog/health",
        "result.session == instance.session and",
        "",
        "health",
    ),
    of_services(
        "results-of-an-instance-before-do-not-count",
        "catalog/health",
        " and result.mod_revision >= instance.create_revision",
        "",
        "health",
    ),
    of_services(
        "an-operators-word-counts-for-more-than-checks",
        "catalog/health",
        "if own.status not in RESULTS:",
        "if False:",
        "health",
    ),
    of_services(
        "a-result-needs-the-slot",
        "checks/outcomes",
        "return unchanged(slot_key(slot), revision), definition",
        "return definition, definition",
        "outcomes",
    ),
    of_services(
        "a-result-needs-the-definition",
        "checks/outcomes",
        "return unchanged(slot_key(slot), revision), definition",
        "return (unchanged(slot_key(slot), revision),) * 2",
        "outcomes",
    ),
    of_services(
        "a-removal-needs-the-result-that-it-was-decided-by",
        "checks/outcomes",
        "        unchanged(_result_key(instance, check), judged),\n",
        "",
        "outcomes",
    ),
    of_services(
        "a-node-that-is-not-sure-of-its-session-lets-go",
        "checks/holdings",
        "            if now >= self._sure_until:",
        "            if False:",
        "holdings",
    ),
    of_services(
        "without-checks-no-node-takes-part",
        "checks/runner",
        "self._holdings.want(any(self._slots))",
        "self._holdings.want(True)",
        "runner",
    ),
    of_services(
        "only-changes-are-written",
        "checks/watched",
        "return None if same else state",
        "return state",
        "watched",
        "runner",
    ),
    of_services(
        "addresses-are-looked-at-in-every-way-they-are-written",
        "checks/targets",
        "(mapped or ip) in network",
        "ip in network",
        "targets",
    ),
    of_services(
        "nothing-outside-of-the-networks-is-connected-to",
        "checks/targets",
        "if self._networks.admit(address)]",
        "]",
        "targets",
    ),
    of_services(
        "redirects-are-not-followed",
        "checks/http_probe",
        "allow_redirects=False",
        "allow_redirects=True",
        "http_probe",
    ),
    of_services(
        "a-body-is-read-up-to-a-limit",
        "checks/http_probe",
        ".read(self._body_bytes_max - len(body))",
        ".read(1 << 20)",
        "http_probe",
    ),
    of_services(
        "slow-targets-leave-room-to-others",
        "checks/turns",
        "self._suspects_running < self._suspects_most",
        "True",
        "turns",
    ),
]
