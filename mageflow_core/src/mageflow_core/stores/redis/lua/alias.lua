-- A reserved run is a node of another from now on. ARGV: policy, key of that node.
local function alias()
  if not draft.open('') then return draft.run and NEWER or NO_RUN end
  draft.edit_run().alias = ARGV[2]
  effects.flush()
  return 1
end

return alias()
