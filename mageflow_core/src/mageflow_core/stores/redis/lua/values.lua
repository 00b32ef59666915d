-- What is written once: values and signatures.
local values = {}
local INLINE = 65536 -- bytes; longer values have keys of their own

-- A value of the run's, or the marker that it has a key of its own.
function values.write(name, place, text)
  if #text <= INLINE then return draft.write(name, text) end
  local key = names.tag .. 'v:' .. names.run_id .. place
  redis.call('SET', key, text)
  redis.call('SADD', names.tag .. 'b:' .. names.run_id, key)
  draft.write(name, '')
end

-- Parts of new signatures; those of one plan refer to each other by numbers.
function values.write_plan(first)
  local plan = draft.run.plans .. '.'
  draft.edit_run().plans = draft.run.plans + 1
  for index = first, #ARGV, 2 do
    local name = ARGV[index]
    draft.write(string.sub(name, 1, 1) .. plan .. string.sub(name, 2), ARGV[index + 1])
  end
  return plan
end
