-- Continuations: a task that returns a signature is replaced by it, in its place. The node keeps
-- its key, slot, parent and callbacks and holds what stands in for it, one after the other.

-- The body of `node` has returned the signature `id`. message_only: what follows gets the node's
-- message as previous result too, as a container in a chain would.
function continuation.replace(node, id, message_only)
  local message, previous, dependencies = node.msg, node.prev, node.deps
  if message_only then previous = message end
  life.release_claim(node)
  local holder, tail = node, draft.of(node)
  if node.role == 'continuation' and not (tail.ok or tail.err) then
    -- In tail position: the holder goes on to the next one, and this one is over.
    holder = draft.edit(draft.node_at(node.parent))
    if holder.inner.cont >= draft.policy().max_continuations then
      return life.finish(node, 'failed', { 'limit' })
    end
    node.st = 'done'
    node.ended = draft.now
    effects.ended = effects.ended or true
    holder.inner.begun = holder.inner.begun - 1
    node.slot = nil
  else
    node.inner = draft.new_inner({})
    draft.heed_above()
  end
  local inner = holder.inner
  inner.cont = inner.cont + 1
  local child = draft.new_node(holder.path .. '~' .. inner.cont, inner.cont, id)
  effects.log('continued', holder)
  life.begin_child(holder, child, message, previous, dependencies)
end

function continuation.tell(holder, child)
  if holder.ending then return effects.push('sweep', holder.path) end
  holder.res, holder.carried = child.res, child.carried
  life.finish(holder, child.st, nil, child.error)
end

-- Begin what stands in for a reopened node again.
function continuation.sweep(holder)
  local child = draft.edit(draft.node_at(holder.path .. '~' .. holder.inner.cont))
  if child.round == holder.gen and child.st ~= 'pending' then return end
  if child.st == 'done' then
    child.round = holder.gen
    continuation.tell(holder, child)
  else
    life.begin_child(holder, child, child.msg, child.prev, child.deps)
  end
end
