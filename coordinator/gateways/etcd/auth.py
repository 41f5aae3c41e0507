"""The service `etcdserverpb.Auth`, as of an etcd whose authentication is off and that knows no user and no role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from coordinator.errors import RequestError, Status
from coordinator.gateways.etcd import render
from coordinator.gateways.etcd.errors import EtcdError
from coordinator.gateways.etcd.pb import auth_pb2 as pb
from coordinator.node.interface import Node
from coordinator.rpc import Call, Service, Unary

_UNSUPPORTED = "users and roles are not supported"


def _missing(what: str) -> EtcdError:
    return EtcdError(Status.FAILED_PRECONDITION, f"{what} not found")


def _not_enabled() -> EtcdError:
    return EtcdError(Status.FAILED_PRECONDITION, "authentication is not enabled")


def _no_root() -> EtcdError:
    return EtcdError(Status.FAILED_PRECONDITION, "root user does not exist")


def _add_user(request: pb.AuthUserAddRequest) -> EtcdError:
    if not request.name:
        return EtcdError(Status.INVALID_ARGUMENT, "user name is empty")
    return EtcdError(Status.UNIMPLEMENTED, _UNSUPPORTED, "UNSUPPORTED")


def _add_role(request: pb.AuthRoleAddRequest) -> EtcdError:
    if not request.name:
        return EtcdError(Status.INVALID_ARGUMENT, "role name is empty")
    return EtcdError(Status.UNIMPLEMENTED, _UNSUPPORTED, "UNSUPPORTED")


_REFUSALS: dict[str, Callable[[Any], RequestError]] = {
    "AuthEnable": lambda _: _no_root(),
    "Authenticate": lambda _: _not_enabled(),
    "UserAdd": _add_user,
    "UserGet": lambda _: _missing("user name"),
    "UserDelete": lambda _: _missing("user name"),
    "UserChangePassword": lambda _: _missing("user name"),
    "UserGrantRole": lambda _: _missing("user name"),
    "UserRevokeRole": lambda _: _missing("user name"),
    "RoleAdd": _add_role,
    "RoleGet": lambda _: _missing("role name"),
    "RoleDelete": lambda _: _missing("role name"),
    "RoleGrantPermission": lambda _: _missing("role name"),
    "RoleRevokePermission": lambda _: _missing("role name"),
}
"""What each method that needs a user or a role, or would make one, ends with."""

_ANSWERED = ("AuthDisable", "AuthStatus", "UserList", "RoleList")
"""Methods to which the answer is that there is nothing."""


class AuthService:
    """Users and roles: there are none."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def service(self) -> Service:
        """Returns the methods for a host."""
        return Service(
            "etcdserverpb.Auth",
            (
                *(_method(name, _refuse(refusal)) for name, refusal in _REFUSALS.items()),
                *(_method(name, self._answer(name)) for name in _ANSWERED),
            ),
        )

    def _answer(self, name: str) -> Callable[[Call, Any], Any]:
        response = _message(name, "Response")

        async def answer(call: Call, request: Any) -> Any:
            return response(header=render.header(self._node))

        return answer


def _refuse(refusal: Callable[[Any], RequestError]) -> Callable[[Call, Any], Any]:
    async def refuse(call: Call, request: Any) -> Any:
        raise refusal(request)

    return refuse


def _method(name: str, call: Callable[[Call, Any], Any]) -> Unary:
    return Unary(name, _message(name, "Request"), _message(name, "Response"), call)


def _message(name: str, kind: str) -> type[Any]:
    prefix = "" if name.startswith("Auth") else "Auth"
    found: type[Any] = getattr(pb, f"{prefix}{name}{kind}")
    return found
