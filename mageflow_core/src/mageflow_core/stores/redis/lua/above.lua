-- What the nodes above say of one: the strongest mark on its path, and whether it is over there.
-- Gives mark, the path that has it, and over: a container above has ended, or has been reopened
-- and not come to this branch yet.
local above = { STRENGTH = { suspend = 1, interrupt = 2, cancel = 3 } }

-- The node's own mark counts too. A callback obeys suspend and interrupt of its owner and what is
-- above that, but neither their cancels nor their ends.
function above.look(node)
  if draft.run.marks == 0 and draft.run.reopened == 0 then return nil, '', false end
  local mark, marked, over, crossed = nil, '', false, false
  while true do
    local own = node.mark
    if own and not (crossed and own == 'cancel')
      and (not mark or above.STRENGTH[own] > above.STRENGTH[mark]) then
      mark, marked = own, node.path
    end
    if not node.parent then return mark, marked, over end
    local parent = draft.node_at(node.parent)
    if node.role == 'callback' then
      crossed = true
    elseif not crossed then
      over = over or ENDED[parent.st] or node.round ~= parent.gen
    end
    node = parent
  end
end

-- Nothing below may begin, now or later.
function above.forbids(node)
  local mark, _, over = above.look(node)
  return over or mark == 'cancel'
end

-- It has ended with what is above, or is not part of that any more.
function above.over(node)
  local _, _, over = above.look(node)
  return over
end

-- Count running bodies in the containers around them, callbacks' owners aside, up to where one was
-- reopened meanwhile; a canceled one that has none left ends. Chains do not count.
function above.count_bodies(node, change)
  if not draft.run.above and draft.run.marks == 0 then return end
  local left = change > 0 and 1 or 0
  while node.parent and node.role ~= 'callback' do
    local parent = draft.node_at(node.parent)
    if node.round ~= parent.gen then return end
    node = parent
    if node.kind ~= 'chain' then
      left = node.bodies + change
      draft.edit(node).bodies = left
    end
    if left == 0 and node.ending and not ENDED[node.st] then
      effects.push('sweep', node.path)
    end
  end
end
