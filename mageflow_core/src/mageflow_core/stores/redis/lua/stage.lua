-- Keep parts of a run that is about to be created; they go by themselves if it never is.
-- ARGV: policy, then names and texts.
local key = KEYS[1]
for first = 2, #ARGV, 4000 do
  redis.call('HSET', key, unpack(ARGV, first, math.min(first + 3999, #ARGV)))
end
redis.call('PEXPIRE', key, 600000)
return 1
