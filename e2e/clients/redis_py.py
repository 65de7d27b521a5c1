#!/usr/bin/env python3
"""redis-py, unchanged, against a Strata cluster: the plain client on one port, the cluster client on the other.

    redis_py.py HOST:PLAIN_PORT HOST:CLUSTER_PORT ROUNDS

Every round writes through one client and reads through the other. Connections may break while nodes come and go; a broken command is given again,
as applications do. The last line is `ROUNDS rounds agreed`. Any wrong answer ends it with a traceback and code 1.
"""

import sys
import time

import redis
from redis.cluster import ClusterNode, RedisCluster

DEADLINE_SECONDS = 60
BREAKS = (redis.exceptions.RedisError, OSError)


def endpoint(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def again(what):
    """Does it until no connection breaks. Only for commands that may be repeated."""
    until = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return what()
        except BREAKS:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def agree(number, writer, reader):
    text, fields = f"py:{number}:text", f"py:{number}:hash"
    again(lambda: writer.set(text, f"value {number}", ex=1000))
    equal(again(lambda: reader.get(text)), f"value {number}".encode())
    again(lambda: writer.hset(fields, mapping={"number": number, "name": "strata"}))
    equal(again(lambda: reader.hgetall(fields)), {b"number": str(number).encode(), b"name": b"strata"})
    equal(again(lambda: 0 < reader.ttl(text) <= 1000), True)
    again(lambda: writer.delete(fields))
    equal(again(lambda: reader.exists(fields)), 0)


def whole_keyspace(plain, rounds):
    """What spans shards, through the plain port."""
    keys = [f"py:{number}:text" for number in range(rounds)]
    equal(again(lambda: plain.mget(keys)), [f"value {number}".encode() for number in range(rounds)])
    equal(again(lambda: sorted(plain.scan_iter(match="py:*:text", count=50))), sorted(key.encode() for key in keys))
    pipeline = plain.pipeline(transaction=False)
    for key in keys:
        pipeline.strlen(key)
    equal(again(pipeline.execute), [len(f"value {number}") for number in range(rounds)])


def main():
    plain_host, plain_port = endpoint(sys.argv[1])
    cluster_host, cluster_port = endpoint(sys.argv[2])
    rounds = int(sys.argv[3])
    plain = redis.Redis(host=plain_host, port=plain_port, socket_timeout=10)
    cluster = again(lambda: RedisCluster(startup_nodes=[ClusterNode(cluster_host, cluster_port)], socket_timeout=10))
    for number in range(rounds):
        writer, reader = (plain, cluster) if number % 2 else (cluster, plain)
        agree(number, writer, reader)
    whole_keyspace(plain, rounds)
    print(f"{rounds} rounds agreed")


main()
