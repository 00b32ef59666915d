-- The parts of a container: a chain's steps and a swarm's items by position, a graph's nodes by
-- name.
local children = {}
local KEPT_FAILURES = 10
local last -- the place that was asked for last: mostly it is asked for again

anew('run', function() last = {} end)

function children.path(parent, segment)
  if last.parent ~= parent or last.segment ~= segment then
    last = { parent = parent, segment = segment, path = parent.path .. '/' .. segment, sig = false }
  end
  return last.path
end

function children.plan_of(id) return string.match(id, '^%d+%.') end

-- The id of the signature that stands at a place: ranges of places share one, or count it up.
function children.signature_in(ranges, plan, position)
  local found
  for _, range in ipairs(ranges) do
    if range[1] > position then break end
    found = range
  end
  return plan .. (found[2] + (position - found[1]) * found[3])
end

local function find_signature(parent, segment)
  local found = draft.of(parent)
  local plan = children.plan_of(parent.sig)
  if found.kind == 'graph' then
    return plan .. cjson.decode(draft.field('g' .. parent.sig .. '/' .. segment)).sig
  end
  if segment < found.n then return children.signature_in(found.of, plan, segment) end
  return draft.field('i' .. children.path(parent, segment))
end

-- The id of the signature of a child; of a graph's by name.
function children.signature_of(parent, segment)
  children.path(parent, segment)
  local place = last
  place.sig = place.sig or find_signature(parent, segment)
  return place.sig
end

-- What is stored of a child, if anything; what it is made of comes along.
function children.at(parent, segment)
  local path = children.path(parent, segment)
  if draft.texts['n' .. path] == nil and draft.nodes[path] == nil and parent.kind ~= 'graph'
    and segment < draft.of(parent).n then
    draft.fetch({ 'n' .. path, 's' .. children.signature_of(parent, segment) })
  end
  return draft.node_at(path)
end

-- The child at a place, for changing; made if nothing is stored of it yet.
function children.edit(parent, segment)
  local path = children.path(parent, segment)
  local node = draft.node_at(path)
  if node then return draft.edit(node) end
  local position = segment
  if parent.kind == 'graph' then
    position = cjson.decode(draft.field('g' .. parent.sig .. '/' .. segment)).pos
  end
  return draft.new_node(path, position, children.signature_of(parent, segment))
end

-- Count an ended child of a swarm or graph by how it ended.
function children.count(inner, child)
  if child.st == 'done' then
    inner.done = inner.done + 1
  elseif child.st == 'failed' then
    inner.failed = inner.failed + 1
    inner.failures = inner.failures or {}
    if #inner.failures < KEPT_FAILURES then
      inner.failures[#inner.failures + 1] = child.pos
    end
  else
    inner.canceled = inner.canceled + 1
  end
end
