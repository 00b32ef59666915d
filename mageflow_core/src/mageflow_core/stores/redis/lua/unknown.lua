-- A worker was given a node and does not know its task. ARGV: policy, path.
if redis.call('EXISTS', KEYS[1]) == 1 then
  local when = draft.now + draft.policy().unknown_task_timeout
  local entry = 'unknown ' .. names.run_id .. ARGV[2]
  if redis.call('ZADD', names.tag .. 'due', 'NX', when, entry) == 1 then effects.wake(when) end
end
return 1
