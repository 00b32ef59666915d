-- How a node begins and ends; the rarer turns are in `turning.lua`. Who is above is told later, in
-- the order of `effects.todo`.

-- Whether it takes no items beyond those that it was made with.
function life.is_closed(found)
  return found.kind ~= 'swarm' or not found.open or found.n == found.max_tasks
end

function life.release_claim(node)
  if not node.held then above.count_bodies(node, -1) end
  node.last = node.claim
  node.claim, node.number, node.held = nil, nil, nil
  effects.stands[node.path] = false
end

-- What has waited for its time goes on.
function life.activate(node)
  node.due = nil
  if node.kind == 'task' and not node.inner then return effects.send(node) end
  node.st = 'active'
  node.started = draft.now
  if not node.inner then
    node.inner = draft.new_inner({})
    if not life.is_closed(draft.of(node)) then node.inner.open = 1 end
  end
  effects.log('begun', node)
  effects.push('sweep', node.path)
end

-- The node's turn has come: queue it, or wait for the time that its options give.
function life.begin(node, message, previous, dependencies)
  local found = draft.of(node)
  -- What has its default is left out: every field costs time whenever the record is read.
  node.msg, node.prev, node.deps = message ~= '$' and message or nil, previous, dependencies
  node.st = 'queued'
  node.queued = draft.now
  if found.eta then
    node.due = found.eta
  elseif found.delay then
    node.due = draft.now + found.delay
  end
  if node.kind == 'task' and not node.inner then node.attempt = node.attempt + 1 end
  if node.due and node.due > draft.now then
    effects.at('due', node.path, node.due)
  else
    life.activate(node)
  end
end

-- Begin a child, anew where it ended or was left in an earlier generation.
function life.begin_child(parent, child, message, previous, dependencies)
  if child.st ~= 'pending' then life.reopen(child) end
  child.round = parent.gen > 1 and parent.gen or nil
  child.slot = 1
  parent.inner.begun = parent.inner.begun + 1
  life.begin(child, message, previous, dependencies)
end

-- The node has ended: due callbacks begin, whoever is above is told. `failure` is the node's own,
-- {cause, field of its data}; `failed_path` what failed below it.
function life.finish(node, status, failure, failed_path)
  if node.st == 'active' and node.claim then life.release_claim(node) end
  node.st = status
  node.ended = draft.now
  node.failure = failure
  node.error = failed_path or (failure and node.path or nil)
  if node.due then
    node.due = nil
    effects.at('due', node.path, false)
  end
  if node.mark == 'cancel' then effects.at('grace', node.path, false) end
  effects.log(status, node, failure and failure[1])
  effects.ended = effects.ended or true
  if node.path == '' then effects.ended = 'root' end
  if node.role == 'child' or node.role == 'continuation' then effects.push('tell', node.path) end
  if node.role == 'callback' then draft.edit_run().cbs = draft.run.cbs - 1 end
  local found = node.calls and draft.of(node)
  if not found then return end
  if found.ok and status == 'done' then
    life.begin_callbacks(node, 'success', found.ok)
  elseif found.err and status == 'failed' then
    life.begin_callbacks(node, 'error', found.err)
  end
end
