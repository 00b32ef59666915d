-- Store a run and, where it has a message, start it. Gives {'fresh' | 'there' | 'conflict', jobs}.
-- ARGV: policy, content, start key, ms to live, labels, what it is found by (JSON), whether it is
-- started, message, key of parts that were staged or '', the inbox of whoever starts it or '', then
-- the plan.
local staged = ARGV[9]

local function add_to_indexes(labels)
  local score = string.format('%.0f', draft.run.created)
  redis.call('ZADD', names.tag .. 'i', score, names.run_id)
  for _, name in ipairs(labels) do
    redis.call('ZADD', names.tag .. 'i:' .. name, score, names.run_id)
  end
end

local function create()
  if draft.open('', 'l') or draft.run then
    if staged ~= '' then redis.call('UNLINK', staged) end
    return { (draft.run.content or '') == ARGV[2] and 'there' or 'conflict', {} }
  end
  if staged ~= '' then
    redis.call('RENAME', staged, KEYS[1])
    redis.call('PERSIST', KEYS[1])
    draft.texts = {}
  end
  draft.run = setmetatable({ created = draft.now, ttl = tonumber(ARGV[4]) }, defaults)
  draft.edit_run()
  if ARGV[2] ~= '' then draft.run.content = ARGV[2] end
  if ARGV[3] ~= '' then draft.run.key = ARGV[3] end
  if ARGV[5] ~= '' then draft.run.labels = ARGV[5] end
  draft.run.index = ARGV[6]
  draft.run.cap = draft.policy().history
  values.write_plan(11)
  values.write('m', '$', ARGV[8])
  draft.new_node('', 0, draft.ROOT)
  add_to_indexes(cjson.decode(ARGV[6]))
  if ARGV[7] == '1' then
    starting.start(names.run_id, ARGV[10])
  else
    effects.at('expire', '', draft.now + draft.policy().pending_ttl)
  end
  return { 'fresh', effects.flush() }
end

return create()
