-- A worker asks to run a node, and may, or learns why not.
-- ARGV: policy, path, attempt, claim id, worker, its number, until when its lease holds, lease ms.
-- Gives {verdict, why} or, where it may, what the worker needs; see `work`.
local path, attempt, id, worker = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local number, lease_until, lease = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

-- The text behind a ref, false where it must be put together or read in chunks.
local function text_of(ref)
  local text = draft.field(ref == '$' and 'm' or 'v' .. ref)
  return text and text ~= '' and text
end

-- {'run', whole, fence, attempt, generation, sent at, until when the lease holds, labels,
--  signature, message, previous, arguments above, dependencies, signature of the container}. Where
-- `whole` is 0 the worker reads the rest itself.
local function work(node)
  local wanted, around, top = { 'b' .. node.sig }, {}, node
  local function want(ref) wanted[#wanted + 1] = ref == '$' and 'm' or 'v' .. ref end
  want(node.msg)
  if node.prev then want(node.prev) end
  for _, pair in ipairs(node.deps or {}) do want(pair[2]) end
  while top.parent and top.role ~= 'callback' do
    top = draft.node_at(top.parent)
    if top.args then
      wanted[#wanted + 1] = 'b' .. top.sig
      table.insert(around, 1, 'b' .. top.sig)
    end
  end
  draft.fetch(wanted)
  local whole = top.role ~= 'callback'
    or (not top.about and draft.node_at(top.parent).kind ~= 'swarm')
  local message, previous = text_of(node.msg), node.prev and text_of(node.prev)
  local parent = node.parent and draft.node_at(node.parent)
  whole = whole and message and (previous or not node.prev)
  local dependencies, arguments = {}, {}
  for _, pair in ipairs(node.deps or {}) do
    local text = text_of(pair[2])
    whole = whole and text
    dependencies[#dependencies + 1] = pair[1]
    dependencies[#dependencies + 1] = text or ''
  end
  for _, name in ipairs(around) do arguments[#arguments + 1] = draft.texts[name] end
  return {
    'run', whole and 1 or 0, node.fence, node.attempt - node.before, node.gen,
    node.sent_at or node.queued, lease_until, draft.run.labels or '', draft.texts['b' .. node.sig],
    message or '', previous or '', arguments, dependencies, parent and parent.sig or '',
  }
end

-- The worker says until when it has renewed its lease here, which spares asking; but a lease under
-- which nothing was claimed is not renewed, and what is left of it may be over before the next
-- renewal. One that has ended holds nothing until its worker has seen that what it had claimed is
-- lost.
local function keep_lease()
  if lease_until > draft.now + lease / 2 then return true end
  local member = number .. ' ' .. worker
  local held = redis.call('ZSCORE', names.leases, member)
  if held and tonumber(held) <= draft.now then
    local score = names.CLAIMED + number
    if redis.call('ZCOUNT', names.jobs, score, score) > 0 then return false end
  end
  lease_until = draft.now + lease
  redis.call('ZADD', names.leases, lease_until, member)
  return true
end

local function claim()
  if not draft.open(path) then
    if draft.run then return { 'release', 'its record is of a newer version' } end
    return { 'skip', 'no such run' }
  end
  local node = draft.node_at(path)
  if not node then return { 'skip', 'its turn has not come' } end
  if node.claim == id and not node.held then return work(node) end
  if node.st ~= 'queued' then return { 'skip', 'it is ' .. node.st } end
  if node.attempt ~= attempt then
    return { 'skip', 'attempt ' .. node.attempt .. ' is due, not ' .. attempt }
  end
  if node.due and node.due > draft.now then return { 'skip', 'it is not due yet' } end
  if node.kind ~= 'task' or node.inner then return { 'skip', 'it is a container' } end
  local mark, marked, over = above.look(node)
  if over or mark == 'cancel' then
    effects.withdraw(node)
    effects.flush()
    return { 'skip', mark == 'cancel' and 'canceled' or 'over' }
  end
  if mark then
    parking.enter(draft.edit(node), marked)
    effects.flush()
    return { 'park', mark }
  end
  if not keep_lease() then return { 'release', 'the lease of the worker is lost' } end
  draft.edit(node)
  if node.due then -- an older job came when its time had come: before its timer did
    node.due = nil
    effects.at('due', path, false)
  end
  node.fence = node.fence + 1
  node.claim, node.number = id, tonumber(number)
  node.st = 'active'
  node.started = draft.now
  node.worker = worker
  effects.withdraw(node)
  effects.stands[path] = node.number
  above.count_bodies(node, 1)
  local answer = work(node)
  effects.flush()
  return answer
end

return claim()
