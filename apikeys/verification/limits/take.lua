-- Counts a use against rate limits and quotas, all of them or none.
--
-- KEYS: the rate limits' lists, then the quotas' numbers.
-- ARGV: 1 to consume, 0 to look; how many rate limits there are; for each of them limit and window (in
-- microseconds); for each quota limit, the number to begin with (-1: unknown), the seconds to keep it (0: for ever).
-- Answers the time, whether anything was over, for each rate limit {uses, oldest use, the use that must leave
-- first}, for each quota its number; or, where a quota's number is missing, nothing but which quota.

-- A write that changes nothing, so that a replica, whose counts may be long untrue, does not answer at all.
if ARGV[2] ~= '0' then redis.call('LTRIM', KEYS[1], 0, -1) else redis.call('SETRANGE', KEYS[1], 0, '') end
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local consume, rates = ARGV[1] == '1', tonumber(ARGV[2])
local over, used = false, {}
local at = 3 + 2 * rates
for i = rates + 1, #KEYS do
    local number = redis.call('GET', KEYS[i])
    if not number then
        if ARGV[at + 1] == '-1' then return {i - rates - 1} end
        number = ARGV[at + 1]
        redis.call('SET', KEYS[i], number)
        if ARGV[at + 2] ~= '0' then redis.call('EXPIRE', KEYS[i], ARGV[at + 2]) end
    end
    used[i] = tonumber(number)
    if used[i] >= tonumber(ARGV[at]) then over = true end
    at = at + 3
end
local blocking = {}
for i = 1, rates do
    local limit, window = tonumber(ARGV[1 + 2 * i]), tonumber(ARGV[2 + 2 * i])
    local last = tonumber(redis.call('LINDEX', KEYS[i], -1) or 0)
    if last > now then
        -- Redis' clock was set back. Shift the uses, as if no time had passed since the last of them.
        local uses = redis.call('LRANGE', KEYS[i], 0, -1)
        redis.call('DEL', KEYS[i])
        for _, use in ipairs(uses) do redis.call('RPUSH', KEYS[i], string.format('%.0f', use - last + now)) end
        redis.call('PEXPIRE', KEYS[i], math.ceil(window / 1000))
    end
    local first = redis.call('LINDEX', KEYS[i], 0)
    while first and tonumber(first) <= now - window do
        redis.call('LPOP', KEYS[i])
        first = redis.call('LINDEX', KEYS[i], 0)
    end
    used[i] = redis.call('LLEN', KEYS[i])
    blocking[i] = -1
    if used[i] >= limit then
        over = true
        blocking[i] = redis.call('LINDEX', KEYS[i], used[i] - limit)
    end
end
local answer = {string.format('%.0f', now), over and 1 or 0}
for i = 1, #KEYS do
    if consume and not over then
        used[i] = used[i] + 1
        if i <= rates then
            redis.call('RPUSH', KEYS[i], string.format('%.0f', now))
            redis.call('PEXPIRE', KEYS[i], math.ceil(tonumber(ARGV[2 + 2 * i]) / 1000))
        else
            redis.call('INCR', KEYS[i])
        end
    end
    if i <= rates then
        answer[#answer + 1] = {used[i], redis.call('LINDEX', KEYS[i], 0) or -1, blocking[i]}
    else
        answer[#answer + 1] = used[i]
    end
end
return answer
