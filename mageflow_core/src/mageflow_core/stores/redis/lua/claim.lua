-- A worker asks to run a node, and may, or learns why not.
-- ARGV: policy, path, attempt, claim id, worker, its number, until when its lease holds, lease ms.
-- Gives {verdict, why} or, where it may, what the worker needs; see `work`.
local path, attempt, id, worker = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local number, lease_until, lease = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

local function name_of(ref) return ref == '$' and 'm' or 'v' .. ref end

-- The text behind a ref, false where it must be put together or read in chunks.
local function text_of(ref)
  local text = draft.texts[name_of(ref)]
  return text and text ~= '' and text
end

-- The signature of the container; that of a root is known.
local function container_of(node)
  local parent = node.parent
  return parent == '' and draft.ROOT or parent and draft.node_at(parent).sig or ''
end

-- {'run', whole, fence, attempt, generation, sent at, until when the lease holds, labels,
--  signature, message, previous, arguments above, dependencies, signature of the container}, ''
-- where there is none of them. Where `whole` is 0 the worker reads the rest itself.
local function work(node)
  local body, previous, needed = 'b' .. node.sig, node.prev, node.deps
  local wanted, top = { body, name_of(node.msg) }, node
  local around, dependencies = '', '' -- an empty list takes longer to answer than a text
  if previous then wanted[3] = name_of(previous) end
  if needed then
    for _, pair in ipairs(needed) do wanted[#wanted + 1] = name_of(pair[2]) end
  end
  if draft.run.above or string.find(path, '/!', 1, true) then
    while top.parent and top.role ~= 'callback' do
      top = draft.node_at(top.parent)
      if top.args then
        if around == '' then around = {} end
        wanted[#wanted + 1] = 'b' .. top.sig
        table.insert(around, 1, 'b' .. top.sig)
      end
    end
  end
  draft.fetch(wanted)
  local texts, message = draft.texts, text_of(node.msg)
  local whole = message and (top.role ~= 'callback'
    or (not top.about and draft.node_at(top.parent).kind ~= 'swarm'))
  if previous then
    previous = text_of(previous)
    whole = whole and previous
  end
  if needed then
    dependencies = {}
    for _, pair in ipairs(needed) do
      local text = text_of(pair[2])
      whole = whole and text
      dependencies[#dependencies + 1] = pair[1]
      dependencies[#dependencies + 1] = text or ''
    end
  end
  for position = 1, #around do around[position] = texts[around[position]] end
  return {
    'run', whole and 1 or 0, node.fence, node.attempt - node.before, node.gen,
    node.sent_at or node.queued, lease_until, draft.run.labels or '', texts[body],
    message or '', previous or '', around, dependencies,
    container_of(node),
  }
end

-- The worker says until when it has renewed its lease here, which spares asking; but a lease under
-- which nothing was claimed is not renewed, and what is left of it may be over before the next
-- renewal. One that has ended holds nothing until its worker has seen that what it had claimed is
-- lost.
local function keep_lease()
  if lease_until > draft.now + lease / 2 then return true end
  local member = number .. ' ' .. worker
  local held = redis.call('ZSCORE', names.tag .. 'leases', member)
  if held and tonumber(held) <= draft.now then
    local score = names.CLAIMED + number
    if redis.call('ZCOUNT', names.jobs, score, score) > 0 then return false end
  end
  lease_until = draft.now + lease
  redis.call('ZADD', names.tag .. 'leases', lease_until, member)
  return true
end

-- What is above is read with a node where it is at hand: a root mostly need not be looked at.
local function open()
  local wanted = { 'run' }
  if names.parent_of(path) == '' then
    wanted[2] = 'n' .. path
  else
    draft.want_lineage(path, wanted)
  end
  return draft.read(wanted)
end

local function claim()
  if not open() then
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
  local unusual = node.due or node.parked
  if node.due then -- an older job came when its time had come: before its timer did
    node.due = nil
    effects.at('due', path, false)
  end
  if node.parked then effects.unpark(node) end
  node.fence = node.fence + 1
  node.claim, node.number = id, tonumber(number)
  node.st = 'active'
  node.started = draft.now
  node.worker = worker
  above.count_bodies(node, 1)
  local answer = work(node)
  if draft.later or unusual then
    effects.stands[path] = node.number
    effects.flush()
  else -- the usual has no further effects
    if path == '' then index.update(node) end
    draft.save()
    redis.call('ZADD', names.jobs, names.claimed_by(number), names.run_id .. path)
  end
  return answer
end

return claim()
