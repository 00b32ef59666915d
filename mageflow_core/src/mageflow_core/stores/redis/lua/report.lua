-- How an attempt ended, told by its worker. Gives {why it was refused, '', or 'again', jobs}.
-- ARGV: policy, path, claim id, fence, the signature of its container as the claim has told it
--   (only to read it with the rest), kind of outcome, whether it used the previous result, then
--   done: value, whether what follows gets this one's message instead
--   failed: cause, data, ms until the next attempt or '', whether its thread still runs
--   continued: whether it gets the message alone, then the plan of the signature
local path, claim_id, fence, kind = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[6]
local used = ARGV[7] == '1'

local function fail(node)
  local cause, data, retry_in, held = ARGV[8], ARGV[9], tonumber(ARGV[10]), ARGV[11] == '1'
  local failure = { cause }
  if data ~= '' then
    failure[2] = 'e' .. path .. '.' .. node.gen
    draft.write(failure[2], data)
  end
  if node.ending and node.failure then
    life.finish(node, node.ending, node.failure)
  elseif not retry_in then
    life.finish(node, 'failed', failure)
  elseif above.forbids(node) then
    life.finish(node, 'canceled')
  else
    node.st = 'retrying'
    node.attempt = node.attempt + 1
    node.due = draft.now + retry_in
    node.failure = failure
    effects.log('retrying', node, cause)
    local claimed, number = node.claim, node.number
    life.release_claim(node)
    if held then -- its thread keeps the slot, and the next attempt waits for that
      node.claim, node.number, node.held = claimed, number, 1
      effects.stands[path] = number
    else
      effects.at('due', path, node.due)
    end
  end
end

local function continue(node)
  local id = values.write_plan(9) .. '1'
  if node.ending then
    life.finish(node, node.ending, node.failure)
  elseif above.forbids(node) then
    life.finish(node, 'canceled')
  else
    continuation.replace(node, id, ARGV[8] == '1')
  end
end

local function apply(node)
  if kind == 'done' or kind == 'failed' or kind == 'continued' then
    node.used = used and 1 or nil
  end
  if kind == 'done' then
    values.write('v' .. path, path, ARGV[8])
    node.val = #ARGV[8]
    node.res, node.carried = path, path
    if ARGV[9] == '1' then node.carried = used and node.prev or node.msg end
    life.finish(node, 'done')
  elseif kind == 'failed' then
    fail(node)
  elseif kind == 'continued' then
    continue(node)
  else
    life.release_claim(node)
    if kind == 'released' then queueing.queue_again(node) else effects.at('due', path, node.due) end
  end
end

local function report()
  if not draft.open(path, 'l', ARGV[5] ~= '' and 's' .. ARGV[5] or nil) then
    if draft.run then return { 'its record is of a newer version', {} } end
    redis.call('ZREM', names.jobs, names.run_id .. path) -- it was removed while this body ran
    return { 'no such run', {} }
  end
  local node = draft.node_at(path)
  if not node then return { 'no such node', {} } end
  if node.claim ~= claim_id or node.fence ~= fence then
    return { node.last == claim_id and 'again' or 'the claim is lost', {} }
  end
  if (node.held ~= nil) ~= (kind == 'returned') then return { 'again', {} } end
  local _, _, over = above.look(node)
  draft.edit(node)
  if over then
    queueing.drop_claim(node)
    containers.work_off()
    return { 'a container above has ended', effects.flush() }
  end
  apply(node)
  containers.work_off()
  return { '', effects.flush() }
end

return report()
