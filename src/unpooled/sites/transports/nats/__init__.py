"""NATS as the network between a coordinator and its sites: the default for real machines (docs/hospital.md).

Nothing outside this package imports `nats`, which comes with the extra `[nats]`; the broker is the program nats-server.
"""
