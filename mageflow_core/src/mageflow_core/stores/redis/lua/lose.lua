-- The lease under which a node was claimed is lost. Gives {why not or '', jobs}; false of a newer
-- record, which is left alone.
-- ARGV: policy, path, number of the worker, worker, whether its process is gone, ms to wait after
-- each number of crashes from 1 on: jitter is the caller's. A lease that still holds is not lost.
local path, number, worker, crashed = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'

local function lose()
  if crashed then
    local held = redis.call('ZSCORE', names.tag .. 'leases', number .. ' ' .. worker)
    if held and tonumber(held) > draft.now then return { 'the lease holds', {} } end
  end
  local node = draft.open(path) and draft.node_at(path)
  if draft.run and draft.run.v > draft.VERSION then return false end
  if not node or not node.claim or node.number ~= number then
    redis.call('ZREM', names.jobs, names.run_id .. path)
    return { 'the claim is not held', {} }
  end
  if crashed then redis.call('ZADD', names.tag .. 'lost', draft.now, number .. ' ' .. worker) end
  local _, _, over = above.look(node)
  draft.edit(node)
  if over then
    queueing.drop_claim(node)
    containers.work_off()
    return { 'a container above has ended', effects.flush() }
  end
  local held = node.held
  queueing.drop_claim(node) -- its outcome was never applied, and will be refused
  if held then
    effects.at('due', path, node.due)
    return { '', effects.flush() }
  end
  effects.log('lost', node)
  if crashed then node.crashes = node.crashes + 1 end
  if node.crashes > draft.policy().max_crashes then
    life.finish(node, 'failed', { 'worker-lost' })
  else
    queueing.queue_again(node, crashed and tonumber(ARGV[5 + math.min(node.crashes, 3)]) or 0)
  end
  containers.work_off()
  return { '', effects.flush() }
end

return lose()
