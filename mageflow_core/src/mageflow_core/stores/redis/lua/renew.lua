-- Keep a worker's lease of a bucket. Gives until when it holds, and how much is claimed under it; 0
-- where it was lost, also if others have taken over since what was claimed under it; 1 where there
-- is none, and nothing is claimed. A lease that has ended and of which nobody has taken anything
-- over, as nobody could while the server was away, goes on. One under which nothing is claimed is
-- not renewed: whoever claims meanwhile counts on no more than what is left of it.
-- ARGV: number and name of the worker, ms.
local now = clock()
if redis.call('ZREM', names.tag .. 'lost', ARGV[1]) == 1 then return { 0, 0 } end
local score = names.CLAIMED + tonumber(string.match(ARGV[1], '^%d+'))
local held = tonumber(redis.call('ZSCORE', names.tag .. 'leases', ARGV[1]) or 0)
local claimed = redis.call('ZCOUNT', names.jobs, score, score)
if claimed == 0 then
  if held > now then return { held, 0 } end
  redis.call('ZREM', names.tag .. 'leases', ARGV[1])
  return { 1, 0 }
end
if held == 0 then return { 0, 0 } end -- its worker has left, or the server has lost it
redis.call('ZADD', names.tag .. 'leases', now + tonumber(ARGV[2]), ARGV[1])
return { now + tonumber(ARGV[2]), claimed }
