-- Somebody waits for a node of this run, and is to be told of every end. ARGV: policy.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'w', '1') end
return 1
