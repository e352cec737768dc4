"""Every user class there is, with its own workload."""

from locustfiles import slow, users

OWN_WORKLOADS = {**users.OWN_WORKLOADS, **slow.OWN_WORKLOADS}
