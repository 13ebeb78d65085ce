"""The comparison of the numbers of `core.counts` with the rows themselves.

They differ by what the version before wrote while both ran beside each other, because it does not count.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from django.db import connection

from core import counts
from core.counts import Group
from core.db import transactional
from core.locks import Locked, locked

# One statement, so that it sees rows and numbers as of the same moment.
_DRIFT = """
    SELECT tenant_id, kind, agent_id, status, SUM(number) FROM (
        SELECT tenant_id, kind, agent_id, status, -number AS number FROM common_rowcount
        UNION ALL SELECT '', 'tenants', '', '', COUNT(*) FROM tenants_tenant
        UNION ALL SELECT tenant_id, 'agents', '', status, COUNT(*) FROM agents_agent GROUP BY tenant_id, status
        UNION ALL SELECT tenant_id, 'keys', '', status, COUNT(*) FROM apikeys_apikey GROUP BY tenant_id, status
        UNION ALL SELECT tenant_id, 'keys', agent_id, status, COUNT(*) FROM apikeys_apikey
            GROUP BY tenant_id, agent_id, status
    ) AS counted
    GROUP BY tenant_id, kind, agent_id, status HAVING SUM(number) <> 0"""


def find_drift() -> Counter[Group]:
    """Return by how much the rows are more than their stored numbers, where they differ."""
    with connection.cursor() as cursor:
        cursor.execute(_DRIFT)
        return Counter({Group(*group): int(number) for *group, number in cursor.fetchall()})


def recount() -> int:
    """Correct the stored numbers, and return how many were wrong. Do nothing while another process does it.

    No writer waits: what was wrong at one moment is wrong by as much at any later one, and is added to the numbers.
    """
    with suppress(Locked), locked("recount"):
        return _add(find_drift())
    return 0


@transactional
def _add(drift: Counter[Group]) -> int:
    counts.write(drift)
    return len(drift)
