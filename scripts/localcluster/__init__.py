"""Several nodes on this machine, as `scripts/cluster` and the tests run them.

layout    which nodes there are, on which ports, and the files of a cluster's folder
launch    starting, finding and ending the operating system's side of a node
probe     asking running nodes how they are
cluster   the verbs, put together from those
terminal  what a person sees: logs with a prefix, how to talk to the nodes
command   the command line
"""
