-- Keys of a run's jobs that nobody said were sent. ARGV: the run, how many jobs are looked at.
local found = {}
local waiting = redis.call(
  'ZRANGEBYSCORE', names.jobs, '-inf', '(' .. string.format('%.0f', names.WAITING),
  'LIMIT', 0, tonumber(ARGV[2]))
for _, key in ipairs(waiting) do
  if string.sub(key, 1, #ARGV[1]) == ARGV[1] then found[#found + 1] = key end
end
return found
