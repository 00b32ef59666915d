-- Suspend, resume, interrupt, cancel and retry. Gives {'' | 'again' | why not | false where there
-- is no such node, jobs}. ARGV: policy, path, verb, id of the request.
local path, verb, id = ARGV[2], ARGV[3], ARGV[4]

-- Why nothing can be steered here, if so.
local function over(node)
  if ENDED[node.st] then return 'it has ended: ' .. node.st end
  if node.ending then return 'it is being canceled' end
  if above.forbids(node) then return 'a container above it has ended or is being canceled' end
end

local function put(node, mark)
  local refusal = over(node)
  if not refusal and (not node.mark or above.STRENGTH[mark] > above.STRENGTH[node.mark]) then
    life.set_mark(node, mark)
  end
  return refusal
end

local VERBS = { retry = retrying.retry }

function VERBS.suspend(node) return put(node, 'suspend') end

function VERBS.interrupt(node)
  local refusal = put(node, 'interrupt')
  if not refusal then effects.add('signals', { node.path, 'interrupt' }) end
  return refusal
end

-- Also of an ended node: callbacks of it may be parked there.
function VERBS.resume(node)
  if node.mark ~= 'suspend' and node.mark ~= 'interrupt' then
    return 'it is neither suspended nor interrupted itself'
  end
  life.set_mark(node, nil)
end

function VERBS.cancel(node)
  local refusal = over(node)
  if not refusal then life.stop(node, 'canceled') end
  return refusal
end

local function steer()
  if not draft.open(path) then return draft.run and NEWER or NO_RUN end
  local node = locating.locate(path)
  if not node then return { false, {} } end
  if node.last_request == id then return { 'again', {} } end
  local refusal = VERBS[verb](node)
  if refusal then return { refusal, {} } end
  draft.edit(node).last_request = id
  effects.log(verb, node)
  containers.work_off()
  return { '', effects.flush() }
end

return steer()
