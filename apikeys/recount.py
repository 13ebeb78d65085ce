"""The comparison of the numbers of `core.counts` with the rows themselves.

They differ by what the version before wrote while both ran beside each other, because it does not count.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from itertools import pairwise

from django.db import connection

from core import counts
from core.counts import Group
from core.db import transactional
from core.locks import Locked, locked
from tenants.models import Tenant

# One statement for a range of tenants, so that it sees their rows and numbers as of the same moment.
_DRIFT = """
    SELECT tenant_id, kind, agent_id, status, SUM(number) FROM (
        SELECT tenant_id, kind, agent_id, status, -number AS number FROM common_rowcount WHERE {range}
        UNION ALL SELECT tenant_id, 'agents', '', status, COUNT(*) FROM agents_agent WHERE {range}
            GROUP BY tenant_id, status
        UNION ALL SELECT tenant_id, 'keys', '', status, COUNT(*) FROM apikeys_apikey WHERE {range}
            GROUP BY tenant_id, status
        UNION ALL SELECT tenant_id, 'keys', agent_id, status, COUNT(*) FROM apikeys_apikey WHERE {range}
            GROUP BY tenant_id, agent_id, status
    ) AS counted
    GROUP BY tenant_id, kind, agent_id, status HAVING SUM(number) <> 0""".replace(
    "{range}", "tenant_id > %(after)s AND tenant_id <= %(last)s"
)
_TENANTS_DRIFT = """
    SELECT '', 'tenants', '', '', COUNT(*) - (SELECT COALESCE(SUM(number), 0) FROM common_rowcount WHERE tenant_id = '')
    FROM tenants_tenant"""
_TENANTS_AT_ONCE = 1000
_LAST = "\U0010ffff"


def find_drift() -> Counter[Group]:
    """Return by how much the rows are more than their stored numbers, where they differ."""
    ids = list(Tenant.objects.order_by("pk").values_list("pk", flat=True))
    bounds = ["", *ids[_TENANTS_AT_ONCE::_TENANTS_AT_ONCE], _LAST]
    with connection.cursor() as cursor:
        cursor.execute(_TENANTS_DRIFT)
        rows = list(cursor.fetchall())
        for after, last in pairwise(bounds):
            cursor.execute(_DRIFT, {"after": after, "last": last})
            rows += cursor.fetchall()
    return Counter({Group(*group): int(number) for *group, number in rows if number})


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
