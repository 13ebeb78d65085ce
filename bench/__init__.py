"""`make bench`: how fast verification is, and what it keeps in memory (bench/README.md).

__main__    chooses and runs the cases
case        a case, and when its result is good
cases       all cases, and the ratios they must reach; they are in *_cases
targets     the figures that some cases had, and those that were wanted
sizes       the numbers of keys
harness     what the cases share: servers, load, comparison
rounds      how a case is measured: in pairs with the references
services    the servers that are measured, one at a time
references  the servers that maim is compared with
one_worker  how these are served: one worker of Granian
databases   MariaDB, Redis and who is in them
seed        fills a database with keys
load        runs wrk (with load.lua)
mutations   changes of keys during a measurement
machine     prepares the machine and the process
report      the results, and results.json
tables      the tables of results.json
page        the tables of docs/benchmarks.md
peers       the comparison with other ways to verify keys
"""
