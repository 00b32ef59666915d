-- Keys of waiting jobs that are overdue when one that was sent at a time has been claimed, or a
-- worker has had nothing to do. ARGV: that time in ms, or '' for now; how many at most.
local time = ARGV[1] ~= '' and tonumber(ARGV[1]) or clock()
return redis.call(
  'ZRANGEBYSCORE', names.jobs, string.format('%.0f', names.WAITING),
  string.format('%.0f', names.WAITING + time), 'LIMIT', 0, tonumber(ARGV[2]))
