"""The instances of a service by what they have in common, so that a name that nobody has costs no search."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.catalog.instances import PROTOCOL, Instance

Port = tuple[str, str]
"""The name of a further port and its protocol, both in lower case."""


class Groups:
    """Instances, healthy or not, by tag and by the name and protocol of a further port; all in lower case."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.tags: dict[str, list[Instance]] = {}
        self.ports: dict[Port, list[Instance]] = {}
        self.parents: set[str] = set()
        """Names below which there are others: what follows a dot in a tag, or in a port with its protocol."""
        for instance in instances:
            for tag in dict.fromkeys(map(str.lower, instance.tags)):
                self.tags.setdefault(tag, []).append(instance)
            for port in dict.fromkeys(_ports_of(instance)):
                self.ports.setdefault(port, []).append(instance)
        for name in (*self.tags, *(f"_{port}._{protocol}" for port, protocol in self.ports)):
            while name := name.partition(".")[2]:
                self.parents.add(name)

    def __len__(self) -> int:
        return sum(map(len, self.tags.values())) + sum(map(len, self.ports.values()))


def port_of(instance: Instance, port: Port) -> int:
    """Returns the number of the further port of this name and protocol; 0 if there is none."""
    numbers = instance.ports.values()
    return next(
        (n for n, known in zip(numbers, _ports_of(instance), strict=True) if known == port), 0
    )


def _ports_of(instance: Instance) -> list[Port]:
    protocols = instance.protocols
    return [(name.lower(), protocols.get(name, PROTOCOL).lower()) for name in instance.ports]
