"""Load shedding: a process that refuses requests in the place of an overloaded worker.

A worker has one interpreter for all its threads. While it is overloaded, it would refuse many requests for each that it
serves, and take the time for that from those it serves. So it hands a connection on which it has refused a request to a
process of its own, the shedder. That refuses the requests that come on it next, in the same words, and hands the
connection back with the next request that the worker has room for.

    channel   connections and numbers that a worker and its shedder pass each other
    handle    the shedder as its worker sees it
    shedder   what runs in the shedder's process: the connections that it holds, and what it refuses
"""
