-- What happens together with the changed records, and how all of it is applied.
anew('run', function()
  -- Path -> a job to be sent, the number of the worker that has claimed it, or false.
  effects.stands = {}
  effects.lots = {} -- the jobs of each step
  effects.timers = nil -- entry -> time, or false
  effects.events, effects.signals, effects.parked = nil, nil, nil -- lists
  effects.ended = nil   -- whether some node has; 'root' if it was that one
  effects.settled = nil -- whether the run is now
end)

anew('step', function()
  effects.sent = {} -- jobs in the order in which they were made
  effects.todo = {} -- {kind, path} for `containers.work_off`, in the order in which it was added
  effects.head = 1
end)

local UNCONFIRMED = 10000 -- ms after which a job is sent again if nobody says that it was sent
local AGAIN = string.format('%.0f', draft.now + UNCONFIRMED)
local SOON = 15000        -- ms within which somebody looks at every bucket in any case
local NEWS = 4096         -- bytes

function effects.push(kind, path) effects.todo[#effects.todo + 1] = { kind, path } end

function effects.add(list, value)
  local found = effects[list]
  if found then
    found[#found + 1] = value
  else
    effects[list] = { value }
  end
end

function effects.send(node)
  local found = draft.of(node)
  node.sends = node.sends + 1
  node.sent_at, node.resends = node.queued ~= draft.now and draft.now or nil, nil
  local job = {
    node.path, node.attempt, node.sends, found.task, found.backend or '', found.queue or '',
    found.priority or '',
  }
  effects.stands[node.path] = job
  effects.sent[#effects.sent + 1] = job
end

function effects.unpark(node)
  if not node.parked then return end
  effects.add('parked', { 'ZREM', names.tag .. 'p:' .. names.run_id, node.parked })
  draft.edit(node).parked = nil
end

-- Neither a job nor a parked place is left of this node.
function effects.withdraw(node)
  effects.stands[node.path] = false
  effects.unpark(node)
end

-- time: false where nothing is due any more.
function effects.at(kind, path, time)
  effects.timers = effects.timers or {}
  effects.timers[kind .. ' ' .. names.run_id .. path] = time
end

-- A line of history. Items of swarms have their timestamps instead.
function effects.log(what, node, detail)
  if node.role == 'child' and draft.node_at(node.parent).kind == 'swarm' then return end
  effects.add('events', { draft.now, what, node.path, node.worker or false, detail or '' })
end

-- --- applying ----------------------------------------------------------------------------------
local function write_events()
  local number = tonumber(draft.field('l') or 0)
  for _, event in ipairs(effects.events) do
    draft.write(string.format('h%d', number % draft.run.cap), cmsgpack.pack(event))
    number = number + 1
  end
  draft.write('l', string.format('%d', number))
end

-- Leaves those in the lots that are to be sent.
local function move_jobs()
  local add, remove = {}, {}
  for path, stand in pairs(effects.stands) do
    if not stand then
      remove[#remove + 1] = names.run_id .. path
    else
      add[#add + 1] = type(stand) == 'number' and names.claimed_by(stand) or AGAIN
      add[#add + 1] = names.run_id .. path
    end
  end
  if #add > 0 then redis.call('ZADD', names.jobs, unpack(add)) end
  if #remove > 0 then redis.call('ZREM', names.jobs, unpack(remove)) end
  for _, jobs in ipairs(effects.lots) do
    local count = 0
    for index = 1, #jobs do
      local job = jobs[index]
      jobs[index] = nil
      if effects.stands[job[1]] == job then
        count = count + 1
        jobs[count] = job
      end
    end
  end
end

-- Tell the bucket's owner of what is due before it would look by itself.
function effects.wake(time)
  if time < draft.now + SOON then
    names.publish('due', string.match(names.tag, ':(%d+)}') .. ' ' .. string.format('%.0f', time))
  end
end

local function move_timers()
  local first = nil
  for entry, time in pairs(effects.timers) do
    if time then
      redis.call('ZADD', names.tag .. 'due', time, entry)
      first = math.min(first or time, time)
    else
      redis.call('ZREM', names.tag .. 'due', entry)
    end
  end
  if first then effects.wake(first) end
end

-- What those are told who wait for the end: what was written with it, which they need not ask for
-- then, where that is short.
local function news()
  local writes, size = draft.writes, 0
  for index = 1, #writes do
    size = size + #writes[index]
    if size > NEWS then return 'ended' end
  end
  return 'ended' .. cmsgpack.pack(writes)
end

-- A step is over: all of it is applied now, or later with what further steps of the run change.
-- Gives the jobs that are to be sent, once that has been done.
function effects.flush()
  local jobs = effects.sent
  effects.lots[#effects.lots + 1] = jobs
  if not draft.later then effects.apply() end
  return jobs
end

function effects.apply()
  local root = draft.changed[''] and draft.nodes['']
  if root and (root.mark or root.st ~= draft.run.shown) then index.update(root) end
  if effects.events then write_events() end
  draft.save()
  move_jobs()
  if effects.timers then move_timers() end
  if effects.parked then
    for _, change in ipairs(effects.parked) do redis.call(unpack(change)) end
  end
  if effects.signals then
    for _, signal in ipairs(effects.signals) do
      names.publish('control', cjson.encode({ 'signal', names.run_id, signal[1], signal[2] }))
    end
  end
  local seen = effects.ended or effects.signals -- of what is to stop, much is over at once
  if effects.settled or effects.ended == 'root' or (seen and draft.field('w')) then
    local said = news()
    names.publish('run:' .. names.run_id, said)
    local inbox = draft.run.inbox -- of the store that has started it
    if inbox then names.publish('inbox:' .. inbox, names.run_id .. ' ' .. said) end
  end
end
