-- What a bucket has for a reconciler to do. Gives {now, due entries, jobs that nobody said were
-- sent, numbers and names of workers whose leases are lost with their claims, next time or ''}.
-- ARGV: how many of each at most.
local now, many = clock(), tonumber(ARGV[1])

local function up_to(key, score)
  return redis.call('ZRANGEBYSCORE', key, '-inf', score, 'LIMIT', 0, many)
end

local lost = {}
for _, lease in ipairs(up_to(names.tag .. 'leases', now)) do
  local number = tonumber(string.match(lease, '^%d+'))
  local score = names.CLAIMED + number
  local claimed = redis.call('ZRANGEBYSCORE', names.jobs, score, score, 'LIMIT', 0, many)
  if #claimed == 0 then
    redis.call('ZREM', names.tag .. 'leases', lease)
  else
    lost[#lost + 1] = { lease, claimed }
  end
end

-- Those who were not told for a day are gone for good.
redis.call('ZREMRANGEBYSCORE', names.tag .. 'lost', '-inf', now - 86400000)

local due, unsent = up_to(names.tag .. 'due', now), up_to(names.jobs, now)
local next_time
local function consider(key, limit)
  local first = redis.call('ZRANGEBYSCORE', key, '(' .. now, limit, 'WITHSCORES', 'LIMIT', 0, 1)
  if first[2] then next_time = math.min(next_time or tonumber(first[2]), tonumber(first[2])) end
end
consider(names.tag .. 'due', '+inf')
consider(names.jobs, '(' .. string.format('%.0f', names.WAITING))
consider(names.tag .. 'leases', '+inf')
return { now, due, unsent, lost, next_time or '' }
