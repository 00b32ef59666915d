-- How many runs of a bucket there are of each status that is asked for. ARGV: statuses.
local counts = {}
for index, status in ipairs(ARGV) do
  counts[index] = redis.call('ZCARD', names.tag .. 'i:s:' .. status)
end
return counts
