"""Real nodes under faults, and whether they kept what they promise.

links      connections between members, each through a proxy that can cut, stall, delay and slow down one direction
fleet      nodes as programs: started, killed, paused, stopped, asked
disks      a file system that can be full, and an fsync that can fail
plan       which faults a round consists of, decided by a seed
inject     making them happen
workload   clients that write and read, and remember what they were told
observers  watches and sessions that must outlive everything
verdict    what follows from what clients were told and what the cluster says afterwards
rounds     one round after the other, and the report
elections  how long a cluster is without a leader
rolling    nodes restarted one after the other
"""
