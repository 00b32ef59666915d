-- Swarms: items side by side, up to a limit, from a list that may grow while it runs.

function swarm.total(node) return draft.of(node).n + node.inner.added end

function swarm.stopping(node)
  local limit = draft.of(node).stop_after
  return node.ending or (limit and node.inner.failed >= limit)
end

-- Count an item that is over before its turn: done in an earlier generation, or canceled while
-- pending.
function swarm.met(node, position)
  local item = children.at(node, position)
  if not item then return false end
  draft.looked = draft.looked + 1
  if item.st == 'done' or (ENDED[item.st] and item.round == node.gen) then
    children.count(node.inner, item)
    return true
  end
  return false
end

-- End the swarm if no item is left that runs or may yet begin.
function swarm.conclude(node)
  local found, inner = draft.of(node), node.inner
  local total = swarm.total(node)
  if inner.begun > 0 or ENDED[node.st] then return end
  if swarm.stopping(node) then
    life.finish(node, 'failed', { 'swarm' })
  elseif inner.cursor < total or inner.ready then
    return
  elseif inner.open then
    if found.idle then effects.at('idle', node.path, draft.now + found.idle) end
  elseif total > 0 and inner.done == 0 then
    life.finish(node, 'failed', { 'swarm' })
  else
    node.res, node.carried = node.path, node.path
    life.finish(node, 'done')
  end
end

-- Begin items while there are slots, then see whether anything is left.
function swarm.sweep(node)
  local inner, count = node.inner, swarm.total(node)
  local limit = draft.of(node).limit or count
  while not swarm.stopping(node) and inner.begun < limit
    and (inner.ready or inner.cursor < count) do
    if not draft.has_room() then return effects.at('sweep', node.path, draft.now) end
    local position = nil
    if inner.ready then
      position = table.remove(inner.ready, 1)
      if #inner.ready == 0 then inner.ready = nil end
    else
      inner.cursor = inner.cursor + 1
      if not swarm.met(node, inner.cursor - 1) then position = inner.cursor - 1 end
    end
    if position then
      local item = children.edit(node, position)
      if not (ENDED[item.st] and item.round == node.gen) then
        life.begin_child(node, item, node.msg, node.prev, node.deps)
      end
    end
  end
  swarm.conclude(node)
end

-- An item ahead of the cursor is counted when the sweep meets it.
function swarm.tell(node, item)
  if item.pos < node.inner.cursor then children.count(node.inner, item) end
  if draft.of(node).interrupt_running and swarm.stopping(node) and not node.ending then
    life.stop(node, 'failed', { 'swarm' })
  end
  effects.push('sweep', node.path)
end
