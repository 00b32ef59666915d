-- Runs of a bucket that match, newest first. Gives {id, time of creation, …}, then, where it has
-- not looked at all of them, the time and id of the run that it has looked at last.
-- ARGV: names of the indexes to look into (JSON; the smallest is gone through), from when, before
-- when (ms, or ''), time and id of the run to go on after (or ''), how many at most.
local indexes, since, before = cjson.decode(ARGV[1]), ARGV[2], ARGV[3]
local after_time, after_id, many = ARGV[4], ARGV[5], tonumber(ARGV[6])
local top = '+inf'
if before ~= '' then top = '(' .. before end
if after_time ~= '' and (before == '' or tonumber(after_time) < tonumber(before)) then
  top = after_time
end
local LOOKS = 2000 -- runs that one call looks at: nobody else is served meanwhile
local STEP = 200
local found, first, looks = {}, 0, 0

local function size(name) return redis.call('ZCARD', names.tag .. name) end

for index = 2, #indexes do
  if size(indexes[index]) < size(indexes[1]) then
    indexes[1], indexes[index] = indexes[index], indexes[1]
  end
end

local function matches(id)
  for index = 2, #indexes do
    if not redis.call('ZSCORE', names.tag .. indexes[index], id) then return false end
  end
  return true
end

while true do
  local page = redis.call(
    'ZREVRANGEBYSCORE', names.tag .. indexes[1], top, since ~= '' and since or '-inf', 'WITHSCORES',
    'LIMIT', first, STEP)
  for index = 1, #page, 2 do
    local id, time = page[index], page[index + 1]
    if time ~= after_time or id < after_id then
      looks = looks + 1
      if matches(id) then
        found[#found + 1] = id
        found[#found + 1] = time
        if #found == 2 * many then return { found } end
      end
      if looks == LOOKS then return { found, time, id } end
    end
  end
  if #page < 2 * STEP then return { found } end
  first = first + STEP
end
