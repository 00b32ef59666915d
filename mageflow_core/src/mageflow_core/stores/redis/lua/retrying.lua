-- Retry by hand: what failed or was canceled runs again, as a new generation.

-- Innermost first; not beyond a callback, which changes nothing for its owner.
function retrying.ended_above(node)
  local found = {}
  while node.parent and node.role ~= 'callback' do
    node = draft.node_at(node.parent)
    if ENDED[node.st] then found[#found + 1] = node end
  end
  return found
end

-- Why a node cannot run again, whatever is above it that still runs.
function retrying.refuse(node, containers)
  for _, container in ipairs(containers) do
    if container.st == 'done' then
      return names.run_id .. container.path .. ' above it is done, and its result was used'
    end
  end
  local retriable = node.st == 'failed' or node.st == 'canceled'
  if node.st == 'done' or not (#containers > 0 or retriable) then
    return 'it is ' .. node.st .. ': only what failed or was canceled can run again'
  end
end

-- Why the container that still runs around `top` would not begin it.
function retrying.refuse_below(top)
  if not top.parent or top.role == 'callback' then return nil end
  local parent = draft.node_at(top.parent)
  local mark, _, over = above.look(parent)
  if mark == 'cancel' then return 'a container above it is being canceled' end
  if over or top.round ~= parent.gen then
    return 'a container above it was retried, and its turn comes again'
  end
end

-- A root or callback: nothing above it has a turn to give.
function retrying.begin_again(top)
  draft.edit_run()
  if top.role == 'callback' then
    draft.run.cbs = draft.run.cbs + 1
  elseif not draft.run.start_id then -- canceled before it was started: it can be, now
    return effects.at('expire', '', draft.now + draft.policy().pending_ttl)
  elseif draft.of(top).deadline then
    draft.run.deadline = draft.now + draft.of(top).deadline
    effects.at('deadline', '', draft.run.deadline)
  end
  life.begin(top, top.msg, top.prev, top.deps)
end

function retrying.without(list, value)
  local kept = nil
  for _, each in ipairs(list or {}) do
    if each ~= value then
      kept = kept or {}
      kept[#kept + 1] = each
    end
  end
  return kept
end

function retrying.contains(list, value)
  for _, each in ipairs(list or {}) do
    if each == value then return true end
  end
  return false
end

-- The container still runs: the child takes its turn there again.
function retrying.await_turn(parent, child, was)
  local inner = parent.inner
  if not inner or parent.st ~= 'active' then return end -- its turn will come
  if child.slot then -- the container has not been told of its end yet
    child.slot = nil
    inner.begun = inner.begun - 1
  elseif child.pos >= inner.cursor then
    return -- it was canceled ahead of its turn, which will come
  elseif was == 'failed' then
    inner.failed = inner.failed - 1
    inner.failures = retrying.without(inner.failures, child.pos)
  else
    inner.canceled = inner.canceled - 1
  end
  local segment, ready = child.pos, parent.kind == 'swarm'
  if parent.kind == 'graph' then
    segment = string.match(child.path, '[^/]*$')
    ready = graph.is_ready(parent, segment, child.told)
  end
  if ready and not retrying.contains(inner.ready, segment) then
    inner.ready = inner.ready or {}
    inner.ready[#inner.ready + 1] = segment
  end
  effects.push('sweep', parent.path)
end

-- Reopen a node and its ended containers; gives why not, if it cannot be.
function retrying.retry(node)
  local containers = retrying.ended_above(node)
  local top = draft.edit(containers[#containers] or node)
  local refusal = retrying.refuse(node, containers) or retrying.refuse_below(top)
  if refusal then return refusal end
  draft.edit_run().reopened = draft.run.reopened + 1
  if draft.run.settled then
    draft.run.settled = nil
    effects.at('expire', '', false)
  end
  local was = top.st
  life.reopen(top)
  if top.parent and top.role ~= 'callback' then
    retrying.await_turn(draft.edit(draft.node_at(top.parent)), top, was)
  else
    retrying.begin_again(top)
  end
end
