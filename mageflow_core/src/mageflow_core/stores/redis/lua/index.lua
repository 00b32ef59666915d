-- The status that people see of a run, which it can be found by.
local function shown(root)
  if ENDED[root.st] or not root.mark then return root.st end
  if root.mark == 'cancel' then
    local runs = draft.bodies_below(root) > 0 or (root.st == 'active' and root.kind == 'task')
    return (runs or root.ending) and 'canceling' or 'canceled'
  end
  return root.mark == 'interrupt' and 'interrupted' or 'suspended'
end

function index.update(root)
  local status, before = shown(root), draft.run.shown
  if status == before then return end
  if before then redis.call('ZREM', names.tag .. 'i:s:' .. before, names.run_id) end
  redis.call('ZADD', names.tag .. 'i:s:' .. status, draft.run.created, names.run_id)
  draft.edit_run().shown = status
end
