-- The swarm that a path means: what a continued task goes on as.

function growing.open_swarm(path)
  local node = locating.locate(path)
  if not node then return nil, 'no such node' end
  while node.inner and node.inner.cont > 0 do
    node = draft.edit(draft.node_at(node.path .. '~' .. node.inner.cont))
  end
  if node.kind ~= 'swarm' then return nil, 'not a swarm' end
  return node
end
