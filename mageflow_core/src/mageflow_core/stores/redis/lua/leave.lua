-- A worker is gone: its lease ends. Gives what it has claimed in the bucket, keys, a number of
-- them; where there is none left, nothing is kept of the lease.
-- ARGV: number and name of the worker, how many at most.
local score = names.CLAIMED + tonumber(string.match(ARGV[1], '^%d+'))
local claimed = redis.call('ZRANGEBYSCORE', names.jobs, score, score, 'LIMIT', 0, tonumber(ARGV[2]))
if #claimed == 0 then
  redis.call('ZREM', names.tag .. 'leases', ARGV[1])
else
  redis.call('ZADD', names.tag .. 'leases', 0, ARGV[1])
end
return claimed
