-- Find a node by its path, also one that nothing is stored of yet.

function locating.segment_in(parent, text)
  if parent.kind == 'graph' then
    return draft.field('g' .. parent.sig .. '/' .. text) and text
  end
  local count = draft.of(parent).n + (parent.inner and parent.inner.added or 0)
  local position = string.match(text, '^%d+$') and tonumber(text)
  return position and position < count and tostring(position) == text and position
end

-- The node at a path, stored as pending if its turn has not come; nil if the run has no such node.
-- Callbacks and continuations are there only once they are due.
function locating.locate(path)
  local node = draft.node_at(path)
  if node then
    if node.st == 'pending' and node.role == 'child' then
      -- Said something about in an earlier generation; its turn comes in this one.
      node.round = draft.node_at(node.parent).gen
    end
    return draft.edit(node)
  end
  local higher, text = string.match(path, '^(.*)/([^/~!][^/~]*)$')
  local parent = higher and locating.locate(higher)
  if not parent or parent.kind == 'task' then return nil end
  local segment = locating.segment_in(parent, text)
  if not segment then return nil end
  local child = children.edit(parent, segment)
  child.round = parent.gen
  return child
end
