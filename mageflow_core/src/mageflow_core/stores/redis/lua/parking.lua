-- Nodes that wait until a mark above them is removed: in one sorted set for each run, by the path
-- that has the mark and then in the order in which they came.
local function key() return names.tag .. 'p:' .. names.run_id end

function parking.enter(node, marked)
  effects.unpark(node)
  effects.stands[node.path] = false
  local number = draft.run.parkings + 1
  draft.edit_run().parkings = number
  node.parked = string.format('%s\n%015d %s', marked, number, node.path)
  effects.add('parked', { 'ZADD', key(), 0, node.parked })
end

-- Paths of those that came first.
function parking.first(marked, many)
  local found = redis.call(
    'ZRANGEBYLEX', key(), '[' .. marked .. '\n', '(' .. marked .. '\n\255', 'LIMIT', 0, many)
  for position, member in ipairs(found) do found[position] = string.match(member, '\n%d+ (.*)$') end
  return found
end
