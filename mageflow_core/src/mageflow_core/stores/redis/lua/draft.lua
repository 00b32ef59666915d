-- A run while one step changes it: reads fall through to its hash, writes stay here until
-- `effects.flush()`.
--
-- Fields of the hash: `run`; `n<path>` a node; `s<id>` what is needed here of a signature, `b<id>`
-- the text of it for workers, `g<id>/<name>` a graph's node, `o<id>` a graph's names in order;
-- `i<path>` the signature of an item that was added; `a<path> <add id>` an addition that was made;
-- `m` the message, `v<path>` a result, `e<path>.<generation>` an error; `h<number>` the history,
-- `l` how many lines that has had; `w` that somebody waits for a node of it. What is absent in a
-- record has its default.
local draft = {
  VERSION = 1,
  ROOT = '0.1', -- the signature of a run
  WIDTH = 400, -- records that one step may write
  now = clock(),
}

anew('run', function()
  draft.run = false  -- the run's record
  draft.run_changed = false
  draft.texts = {}   -- fields as they were read; false where there is none
  draft.nodes = {}   -- path -> record; false where there is none
  draft.changed = {} -- path of a node -> the last step that has changed it
  draft.writes = {}  -- further fields and values to write
  draft.step = 0
end)

anew('step', function()
  draft.step = draft.step + 1
  draft.width, draft.looked = 0, 0
end)

local ENDED = { done = true, failed = true, canceled = true, skipped = true }

-- Of nodes, of what containers know of their children, and of runs.
local defaults = { __index = {
  kind = 'task', pos = 0, st = 'pending', gen = 1, round = 1, told = 0, attempt = 0, before = 0,
  sends = 0, crashes = 0, fence = 0, msg = '$', bodies = 0,
  cursor = 0, begun = 0, done = 0, failed = 0, canceled = 0, added = 0, cont = 0,
  v = 1, cbs = 0, marks = 0, reopened = 0, plans = 0, parkings = 0,
} }

-- --- reading -----------------------------------------------------------------------------------
-- One round trip inside the server for all of these fields; none of them is here yet.
function draft.take(wanted)
  local texts, found = draft.texts, redis.call('HMGET', KEYS[1], unpack(wanted))
  for index = 1, #wanted do texts[wanted[index]] = found[index] end
end

-- The same for those that are not here yet.
function draft.fetch(wanted)
  local texts, missing = draft.texts, {}
  for _, name in ipairs(wanted) do
    if texts[name] == nil then missing[#missing + 1] = name end
  end
  if #missing > 0 then draft.take(missing) end
end

function draft.field(name)
  local text = draft.texts[name]
  if text == nil then
    text = redis.call('HGET', KEYS[1], name)
    draft.texts[name] = text
  end
  return text
end

-- A record knows its place while it is here; see `draft.save`.
function draft.placed(node, path)
  local parent = names.parent_of(path)
  node.path, node.parent, node.role = path, parent, 'child'
  if not parent then
    node.role = 'root'
  else
    local mark, first = string.byte(path, #parent + 1, #parent + 2)
    if mark == 126 then -- ~
      node.role = 'continuation'
    elseif first == 33 then -- !
      node.role = 'callback'
    end
  end
  return setmetatable(node, defaults)
end

function draft.node_at(path)
  local node = draft.nodes[path]
  if node == nil then
    local text = draft.field('n' .. path)
    if text then
      node = draft.placed(cmsgpack.unpack(text), path)
      if node.inner then setmetatable(node.inner, defaults) end
      -- A node that is the source of its own result does not say its path.
      if node.res == true then node.res = path end
      if node.carried == true then node.carried = path end
    end
    draft.nodes[path] = node or false
  end
  return node or nil
end

function draft.want_lineage(path, wanted)
  while path do
    wanted[#wanted + 1] = 'n' .. path
    path = names.parent_of(path)
  end
end

-- Read fields of a run, `run` among them. False where there is no such run.
function draft.read(wanted)
  if draft.run then
    draft.fetch(wanted)
    return draft.run.v <= draft.VERSION
  end
  draft.take(wanted)
  if not draft.texts.run then return false end
  draft.run = setmetatable(cmsgpack.unpack(draft.texts.run), defaults)
  return draft.run.v <= draft.VERSION
end

-- Read a node and all above it at once, and fields ahead.
function draft.open(path, ...)
  local wanted = { 'run', 'w', ... }
  draft.want_lineage(path, wanted)
  return draft.read(wanted)
end

-- Running bodies below a node, callbacks aside. A chain does not count them: they are those of its
-- current step, and a claim need not write the chain.
function draft.bodies_below(node)
  while node.kind == 'chain' do
    local step = node.inner and draft.node_at(node.path .. '/' .. node.inner.cursor)
    if not step or step.round ~= node.gen then return 0 end
    if step.kind == 'task' and not step.inner then
      return step.claim and not step.held and 1 or 0
    end
    node = step
  end
  return node.bodies
end

-- --- writing -----------------------------------------------------------------------------------
function draft.edit(node)
  if draft.changed[node.path] ~= draft.step then
    draft.changed[node.path] = draft.step
    draft.width = draft.width + 1
  end
  return node
end

function draft.edit_run()
  draft.run_changed = true
  return draft.run
end

-- Write all that is new; records are over with that.
function draft.save()
  local writes, count = draft.writes, #draft.writes
  for path in pairs(draft.changed) do
    local node = draft.nodes[path]
    if node.res == path then node.res = true end
    if node.carried == path then node.carried = true end
    node.path, node.parent, node.role = nil, nil, nil
    writes[count + 1] = 'n' .. path
    writes[count + 2] = cmsgpack.pack(node)
    count = count + 2
  end
  if draft.run_changed then
    writes[count + 1] = 'run'
    writes[count + 2] = cmsgpack.pack(draft.run)
    count = count + 2
  end
  for first = 1, count, 4000 do
    redis.call('HSET', KEYS[1], unpack(writes, first, math.min(first + 3999, count)))
  end
end
