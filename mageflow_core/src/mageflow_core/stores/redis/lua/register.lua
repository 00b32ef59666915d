-- A worker lives: keep what it says of itself, drop those that have said nothing for too long.
-- Gives all that live. ARGV: id, description (JSON text), ms that it counts as alive, 0 to leave.
local now = clock()
local alive, told = names.tag .. 'alive', names.tag .. 'workers'
if tonumber(ARGV[3]) > 0 then
  redis.call('ZADD', alive, now + tonumber(ARGV[3]), ARGV[1])
  redis.call('HSET', told, ARGV[1], ARGV[2])
  redis.call('HSET', told, ARGV[1] .. ' seen', now)
elseif ARGV[1] ~= '' then
  redis.call('ZADD', alive, 0, ARGV[1])
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', now)) do
  redis.call('ZREM', alive, gone)
  redis.call('HDEL', told, gone, gone .. ' seen')
end
return redis.call('HGETALL', told)
