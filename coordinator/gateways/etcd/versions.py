"""Which etcd the API is that of, for clients that ask before they use what is new in one."""

ETCD_VERSION = "3.5.0"
"""Of a server."""
CLUSTER_VERSION = "3.5.0"
"""That all its members understand."""
