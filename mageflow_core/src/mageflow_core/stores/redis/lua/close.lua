-- A swarm takes no more items. Gives {'' | refusal, jobs}. Closing twice is no error.
-- ARGV: policy, path.
local function close()
  if not draft.open(ARGV[2]) then return draft.run and NEWER or NO_RUN end
  local node, refusal = growing.open_swarm(ARGV[2])
  if not node then return { refusal, {} } end
  if ENDED[node.st] or (node.inner and not node.inner.open) then return { '', {} } end
  node.inner = node.inner or draft.new_inner({})
  node.inner.open = nil
  effects.at('idle', node.path, false)
  effects.push('sweep', node.path)
  containers.work_off()
  return { '', effects.flush() }
end

return close()
