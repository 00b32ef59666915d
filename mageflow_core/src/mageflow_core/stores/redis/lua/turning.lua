-- The rarer turns in a node's life: it is stopped, it begins anew, callbacks of it begin.

function life.set_mark(node, mark)
  if (node.mark == nil) ~= (mark == nil) then
    draft.edit_run().marks = draft.run.marks + (mark and 1 or -1)
  end
  local was = node.mark == 'suspend' or node.mark == 'interrupt'
  if was and mark ~= 'suspend' and mark ~= 'interrupt' then
    -- Also before a cancel: it holds back no callbacks that were parked here.
    effects.at('unpark', node.path, draft.now)
  end
  node.mark = mark
end

-- End a node as `ending`: at once if no body runs, else when those bodies have stopped.
function life.stop(node, ending, failure)
  draft.edit(node)
  local runs = node.st == 'active' and (not node.inner or draft.bodies_below(node) > 0)
  life.set_mark(node, 'cancel')
  if not runs then
    -- A thread that has timed out changes nothing any more.
    if node.claim then life.release_claim(node) end
    effects.withdraw(node)
    return life.finish(node, ending, failure)
  end
  node.ending = ending
  node.failure = failure
  effects.add('signals', { node.path, 'cancel' })
  effects.at('grace', node.path, draft.now + draft.policy().cancel_grace)
  effects.log('canceling', node)
end

-- Make a node of an earlier generation pending again; what is done below keeps its result.
-- Only the node itself: its children follow when its sweep comes to them.
function life.reopen(node)
  if node.mark == 'cancel' then
    life.set_mark(node, nil)
    effects.at('grace', node.path, false)
  end
  if node.claim then -- a zombie's: its fence no longer matches anything
    node.claim, node.number, node.held, node.last = nil, nil, nil, nil
    effects.stands[node.path] = false
  end
  local below = draft.bodies_below(node)
  if below ~= 0 then above.count_bodies(node, -below) end -- likewise
  effects.withdraw(node)
  if node.due then
    node.due = nil
    effects.at('due', node.path, false)
  end
  node.gen = node.gen + 1
  node.st = 'pending'
  node.ending, node.failure, node.error = nil, nil, nil
  node.val, node.res, node.carried, node.used = nil, nil, nil, nil
  node.started, node.ended = nil, nil
  node.before = node.attempt
  node.crashes, node.bodies = nil, nil
  local inner = node.inner
  if inner then
    -- A chain goes on where it stood; the others look at all their children again.
    node.inner = draft.new_inner({
      cursor = node.kind == 'chain' and inner.cursor or nil,
      telling = inner.telling, open = inner.open, added = inner.added, cont = inner.cont,
    })
  end
end

function life.begin_callbacks(owner, event, ids)
  local about, message, previous
  if event == 'success' then
    message, previous = owner.msg, owner.carried
  else
    local failed = draft.node_at(owner.error or owner.path)
    about = { failed.path, failed.failure[1], failed.failure[2] or false }
    message = failed.used and failed.prev or failed.msg
  end
  local again = owner.gen > 1 and '@' .. owner.gen or ''
  local plan = children.plan_of(owner.sig)
  for index, id in ipairs(ids) do
    local path = owner.path .. '/!' .. event .. '-' .. (index - 1) .. again
    draft.edit_run().cbs = draft.run.cbs + 1
    local callback = draft.new_node(path, index - 1, plan .. id)
    callback.about = about
    life.begin(callback, message, previous, nil)
  end
end
