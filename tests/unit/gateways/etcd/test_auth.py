"""The Auth service: every method answers."""

from __future__ import annotations

import pytest

from coordinator.gateways.etcd.pb import auth_pb2 as pb
from tests.unit.gateways.etcd.conftest import Etcd

AUTH = "etcdserverpb.Auth"


async def test_there_is_nobody(etcd: Etcd) -> None:
    status = await etcd.ask(f"{AUTH}/AuthStatus", pb.AuthStatusRequest())
    assert not status.enabled and status.header.revision == 1
    assert not (await etcd.ask(f"{AUTH}/UserList", pb.AuthUserListRequest())).users
    assert not (await etcd.ask(f"{AUTH}/RoleList", pb.AuthRoleListRequest())).roles
    await etcd.ask(f"{AUTH}/AuthDisable", pb.AuthDisableRequest())


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [
        ("AuthEnable", pb.AuthEnableRequest(), "FAILED_PRECONDITION", "root user does not exist"),
        (
            "Authenticate",
            pb.AuthenticateRequest(name="a"),
            "FAILED_PRECONDITION",
            "authentication is not enabled",
        ),
        ("UserAdd", pb.AuthUserAddRequest(), "INVALID_ARGUMENT", "user name is empty"),
        (
            "UserAdd",
            pb.AuthUserAddRequest(name="a"),
            "UNIMPLEMENTED",
            "users and roles are not supported",
        ),
        ("UserGet", pb.AuthUserGetRequest(), "FAILED_PRECONDITION", "user name not found"),
        ("UserDelete", pb.AuthUserDeleteRequest(), "FAILED_PRECONDITION", "user name not found"),
        (
            "UserChangePassword",
            pb.AuthUserChangePasswordRequest(),
            "FAILED_PRECONDITION",
            "user name not found",
        ),
        (
            "UserGrantRole",
            pb.AuthUserGrantRoleRequest(),
            "FAILED_PRECONDITION",
            "user name not found",
        ),
        (
            "UserRevokeRole",
            pb.AuthUserRevokeRoleRequest(),
            "FAILED_PRECONDITION",
            "user name not found",
        ),
        ("RoleAdd", pb.AuthRoleAddRequest(), "INVALID_ARGUMENT", "role name is empty"),
        (
            "RoleAdd",
            pb.AuthRoleAddRequest(name="a"),
            "UNIMPLEMENTED",
            "users and roles are not supported",
        ),
        ("RoleGet", pb.AuthRoleGetRequest(), "FAILED_PRECONDITION", "role name not found"),
        ("RoleDelete", pb.AuthRoleDeleteRequest(), "FAILED_PRECONDITION", "role name not found"),
        (
            "RoleGrantPermission",
            pb.AuthRoleGrantPermissionRequest(),
            "FAILED_PRECONDITION",
            "role name not found",
        ),
        (
            "RoleRevokePermission",
            pb.AuthRoleRevokePermissionRequest(),
            "FAILED_PRECONDITION",
            "role name not found",
        ),
    ],
)
async def test_what_needs_somebody_is_refused(
    etcd: Etcd, method: str, request_: object, code: str, text: str
) -> None:
    assert await etcd.refused(etcd.ask(f"{AUTH}/{method}", request_)) == (
        code,
        f"etcdserver: {text}",
    )
