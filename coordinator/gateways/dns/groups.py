"""The instances of a service by what they have in common, so that a name that nobody has costs no search."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.catalog.instances import Instance


class Groups:
    """Instances, healthy or not, by tag and by the name of a further port; both in lower case."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.tags: dict[str, list[Instance]] = {}
        self.ports: dict[str, list[Instance]] = {}
        self.parents: set[str] = set()
        """What follows a dot in a tag: names below which there are tags."""
        for instance in instances:
            for tag in dict.fromkeys(map(str.lower, instance.tags)):
                self.tags.setdefault(tag, []).append(instance)
            for port in dict.fromkeys(map(str.lower, instance.ports)):
                self.ports.setdefault(port, []).append(instance)
        for tag in self.tags:
            while tag := tag.partition(".")[2]:
                self.parents.add(tag)

    def __len__(self) -> int:
        return sum(map(len, self.tags.values())) + sum(map(len, self.ports.values()))


def port_of(instance: Instance, name: str) -> int:
    """Returns the further port of this name, given in lower case; 0 if there is none."""
    return next((port for known, port in instance.ports.items() if known.lower() == name), 0)
