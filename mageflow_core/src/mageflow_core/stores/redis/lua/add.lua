-- Items for an open swarm. Gives {'' | 'again' | refusal, position of the first, how many, jobs}.
-- ARGV: policy, path, id of the addition, number of items, ranges of their signatures in the plan
-- (JSON), then the plan.
local path, id, count = ARGV[2], ARGV[3], tonumber(ARGV[4])

local function add()
  if not draft.open(path) then return draft.run and NEWER or NO_RUN end
  local node, refusal = growing.open_swarm(path)
  if not node then return { refusal, 0, 0, {} } end
  local made = 'a' .. node.path .. ' ' .. id
  local before = draft.field(made)
  if before then
    local first, many = string.match(before, '^(%d+) (%d+)$')
    return { 'again', tonumber(first), tonumber(many), {} }
  end
  local found, inner = draft.of(node), node.inner
  if (inner and (not inner.open or swarm.stopping(node))) or ENDED[node.st] or above.forbids(node)
    or not found.open then
    return { 'closed', 0, 0, {} }
  end
  if not inner then
    inner = draft.new_inner({ open = 1 })
    node.inner = inner
  end
  local first = swarm.total(node)
  local size = first + count
  if found.max_tasks and size > found.max_tasks then return { 'full', 0, 0, {} } end
  if size > draft.policy().max_nodes then return { 'too large', 0, 0, {} } end
  local plan, ranges = values.write_plan(6), cjson.decode(ARGV[5])
  for position = 0, count - 1 do
    local path_of_item = children.path(node, first + position)
    draft.write('i' .. path_of_item, children.signature_in(ranges, plan, position))
  end
  draft.write(made, string.format('%d %d', first, count))
  inner.added = inner.added + count
  if size == found.max_tasks then inner.open = nil end
  effects.at('idle', node.path, false)
  effects.push('sweep', node.path)
  containers.work_off()
  return { '', first, count, effects.flush() }
end

return add()
