-- A time has come. Gives jobs; false of a newer record, which is left alone. ARGV: policy, kind,
-- path, whether some live worker knows the node's task (asked of `unknown`), ms that a reservation
-- holds.
local kind, path, known = ARGV[2], ARGV[3], ARGV[4] == '1'
local entry = kind .. ' ' .. names.run_id .. path
local HANDLERS = {}

-- Entries of a run that was removed may come up for one that was made anew under its id: then there
-- need not be such a node.
function HANDLERS.sweep()
  if draft.node_at(path) then effects.push('sweep', path) end
end

function HANDLERS.tell()
  local node = draft.node_at(path)
  if node and node.slot then effects.push('tell', path) end -- else its container was told already
end

-- A delay, back-off or pause after a crash is over.
function HANDLERS.due()
  local node = draft.node_at(path)
  if not node or (node.st ~= 'queued' and node.st ~= 'retrying') or not node.due then return end
  if node.claim then return end -- held: what comes next waits for its thread
  if node.due > draft.now then return effects.at('due', path, node.due) end
  if above.forbids(node) then return end
  draft.edit(node)
  if node.st == 'retrying' then
    node.st = 'queued'
    node.queued = draft.now
  end
  life.activate(node)
end

-- Send parked nodes again; whether they may run is for their claims to find out.
function HANDLERS.unpark()
  local half, wanted = math.floor(draft.WIDTH / 2), {}
  local waiting = parking.first(path, half + 1)
  if #waiting > half then
    effects.at('unpark', path, draft.now)
    table.remove(waiting)
  end
  for _, each in ipairs(waiting) do draft.want_lineage(each, wanted) end
  draft.fetch(wanted)
  for _, each in ipairs(waiting) do
    local node = draft.edit(draft.node_at(each))
    effects.unpark(node)
    if node.st == 'queued' and not above.forbids(node) then effects.send(node) end
  end
end

-- Bodies below a canceled node had their time; what they still say is refused. Below what has ended
-- meanwhile it has ended too.
function HANDLERS.grace()
  local node = draft.node_at(path)
  if node and node.ending and not ENDED[node.st] and not above.over(node) then
    life.finish(draft.edit(node), node.ending, node.failure)
    node.last = nil
  end
end

function HANDLERS.idle()
  local node = draft.node_at(path)
  if not node or node.st ~= 'active' or not node.inner then return end
  if node.inner.begun == 0 and node.inner.cursor == swarm.total(node) then
    draft.edit(node).inner.open = nil
    effects.push('sweep', path)
  end
end

function HANDLERS.deadline()
  local root = draft.node_at(path)
  if not draft.run.deadline or ENDED[root.st] or root.ending then return end
  if draft.run.deadline > draft.now then return effects.at('deadline', path, draft.run.deadline) end
  life.stop(root, 'failed', { 'deadline' })
end

function HANDLERS.unknown()
  local node = draft.node_at(path)
  if not node or node.st ~= 'queued' or node.due or above.forbids(node) then return end
  draft.edit(node)
  local time = (node.queued or draft.now) + draft.policy().unknown_task_timeout
  if known then
    effects.send(node)
  elseif time > draft.now then -- it was given to a worker that knew it, and lost, in between
    effects.at('unknown', path, time)
  else
    effects.withdraw(node)
    life.finish(node, 'failed', { 'unknown-task' })
  end
end

-- The run that was to take this one's place in its signature never came.
function HANDLERS.reserved()
  if not draft.run.by or draft.run.alias then return end
  local time = draft.run.by_at + tonumber(ARGV[5])
  if time > draft.now then return effects.at('reserved', '', time) end
  draft.edit_run()
  draft.run.by, draft.run.by_at = nil, nil
end

-- What a node may have left in the sets of the bucket: an ended one a timer that asks whether its
-- task is known, another its job and every timer that does not come up at once.
local function add_leftovers(path, text, due, jobs)
  local key = names.run_id .. path
  due[#due + 1] = 'unknown ' .. key
  if ENDED[cmsgpack.unpack(text).st] then return end
  jobs[#jobs + 1] = key
  for _, each in ipairs({ 'due ', 'grace ', 'idle ' }) do due[#due + 1] = each .. key end
end

-- A run is gone at once, what it consists of some at a time: the timer stays until then. Where
-- scanning goes on is kept among the fields: from the start it would pass over ever more that is
-- empty by now, and find nothing in the end.
local function clear()
  local gone, values = names.tag .. 'x:' .. names.run_id, names.tag .. 'b:' .. names.run_id
  local from = redis.call('HGET', gone, 'scanned') or '0'
  local scanned = redis.call('HSCAN', gone, from, 'COUNT', math.ceil(draft.WIDTH / 2))
  local fields, due, jobs, found = {}, {}, {}, scanned[2]
  for position = 1, #found, 2 do
    fields[#fields + 1] = found[position]
    if string.sub(found[position], 1, 1) == 'n' then
      add_leftovers(string.sub(found[position], 2), found[position + 1], due, jobs)
    end
  end
  if scanned[1] == '0' then
    redis.call('UNLINK', gone)
  else
    if #fields > 0 then redis.call('HDEL', gone, unpack(fields)) end
    redis.call('HSET', gone, 'scanned', scanned[1])
  end
  if #due > 0 then redis.call('ZREM', names.tag .. 'due', unpack(due)) end
  if #jobs > 0 then redis.call('ZREM', names.jobs, unpack(jobs)) end
  local long = redis.call('SPOP', values, draft.WIDTH)
  if #long > 0 then redis.call('UNLINK', unpack(long)) end
  if redis.call('EXISTS', gone, values) == 0 then redis.call('ZREM', names.tag .. 'due', entry) end
end

local function remove()
  redis.call('ZREM', names.tag .. 'i', names.run_id)
  redis.call('ZREM', names.tag .. 'i:s:' .. draft.run.shown, names.run_id)
  for _, name in ipairs(cjson.decode(draft.run.index)) do
    redis.call('ZREM', names.tag .. 'i:' .. name, names.run_id)
  end
  if draft.run.by then redis.call('ZREM', names.tag .. 'due', 'reserved ' .. names.run_id) end
  redis.call('UNLINK', names.tag .. 'p:' .. names.run_id)
  redis.call('RENAME', KEYS[1], names.tag .. 'x:' .. names.run_id)
  names.publish('run:' .. names.run_id, 'removed')
  clear()
end

-- Remove a settled run, or one that was never started. What runs is never removed.
function HANDLERS.expire()
  local time = draft.run.created + draft.policy().pending_ttl
  if draft.run.settled then
    time = draft.run.settled + draft.run.ttl
  elseif draft.run.started then
    return
  elseif draft.run.by and not draft.run.alias then
    time = draft.now + tonumber(ARGV[5])
  end
  if time > draft.now then return effects.at('expire', path, time) end
  return 'removed'
end

local function fire()
  local time = redis.call('ZSCORE', names.tag .. 'due', entry)
  if not time or tonumber(time) > draft.now then return {} end -- served by another, or set anew
  if not draft.open(path) then
    if draft.run then return false end
    if kind == 'expire' then clear() else redis.call('ZREM', names.tag .. 'due', entry) end
    return {}
  end
  effects.at(kind, path, false)
  if HANDLERS[kind]() == 'removed' then
    remove()
    return {}
  end
  containers.work_off()
  return effects.flush()
end

return fire()
