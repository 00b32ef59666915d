-- Send a job of a run's node again. Gives the jobs; false of a newer record, which is left alone.
-- ARGV: policy, path, and where it must still stand: the highest score, and whether that is in a
-- backend's queue, where it will wait twice as long. Two that see the same overdue job send it
-- once.
local function resend()
  local path, waited = ARGV[2], ARGV[4] == '1'
  local score = tonumber(redis.call('ZSCORE', names.jobs, names.run_id .. path) or names.CLAIMED)
  if score > tonumber(ARGV[3]) or (waited and score < names.WAITING) then return {} end
  local node = draft.open(path) and draft.node_at(path)
  if draft.run and draft.run.v > draft.VERSION then return false end
  if not node then
    redis.call('ZREM', names.jobs, names.run_id .. path)
    return {}
  end
  draft.edit(node)
  if node.st == 'queued' and not node.due and not node.parked then
    local resends = (node.resends or 0) + (waited and 1 or 0)
    effects.send(node)
    node.resends = resends > 0 and resends or nil
  else
    effects.withdraw(node)
  end
  return effects.flush()
end

return resend()
