-- The backend has taken a job: it waits in a queue now. ARGV: policy, path, number of the sending.
local RESEND_AFTER, LONGEST = 60000, 3600000

local function confirm()
  local path = ARGV[2]
  local score = tonumber(redis.call('ZSCORE', names.jobs, names.run_id .. path) or names.CLAIMED)
  if score >= names.WAITING or not draft.open(path) then return 0 end
  local node = draft.node_at(path)
  if not node or node.sends ~= tonumber(ARGV[3]) then return 0 end
  local wait = math.min(RESEND_AFTER * 2 ^ (node.resends or 0), LONGEST)
  local overdue = (node.sent_at or node.queued) + wait
  redis.call('ZADD', names.jobs, names.WAITING + overdue, names.run_id .. path)
  return 1
end

return confirm()
