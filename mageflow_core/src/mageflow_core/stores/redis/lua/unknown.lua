-- A worker was given a node and does not know its task. ARGV: policy, path.
if redis.call('EXISTS', KEYS[1]) == 1 then
  local when = draft.now + draft.policy().unknown_task_timeout
  redis.call('ZADD', names.due, 'NX', when, 'unknown ' .. names.run_id .. ARGV[2])
end
return 1
