"""`make bench`: how fast verification is, and what it keeps in memory (bench/README.md).

__main__    chooses and runs the cases
cases       the cases, and the ratios they must reach
harness     what the cases share: servers, load, comparison
rounds      how a case is measured: in pairs with the references
services    the servers that are measured, one at a time
references  the servers that maim is compared with
databases   MariaDB, Redis and who is in them
seed        fills a database with keys
load        runs wrk (with load.lua)
report      the table, and results.json
"""
