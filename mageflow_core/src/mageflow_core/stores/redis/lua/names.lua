-- Keys and paths. KEYS[1] is `{namespace:bucket}:r:<run id>`, or `{namespace:bucket}:` where a
-- script works on the bucket; every other key begins with the same tag, so that one slot has all.
local names = { WAITING = 1e13, CLAIMED = 1e14 }

anew('run', function()
  local tag, run_id = string.match(KEYS[1], '^({.-}:)r?:?(.*)$')
  names.tag, names.run_id = tag, run_id
  -- Where each node with an open job stands, by score: to be sent again at that time (unconfirmed);
  -- WAITING plus when it is overdue in a backend's queue; CLAIMED plus the number of its worker.
  names.jobs = tag .. 'jobs'
end)

-- Made once for all steps of a call: a third of what it takes to store a score is to print it.
local claimed = {}

function names.claimed_by(number)
  local score = claimed[number]
  if not score then
    score = string.format('%.0f', names.CLAIMED + number)
    claimed[number] = score
  end
  return score
end

-- Parts of a path begin with '/' or '~'; see `mageflow_core.names`.
local parents = {}

function names.parent_of(path)
  if path == '' then return nil end
  local parent = parents[path]
  if not parent then
    parent = string.match(path, '^(.*)[/~]')
    parents[path] = parent
  end
  return parent
end

-- Channels begin with the namespace alone.
function names.publish(channel, text)
  redis.call('PUBLISH', string.match(names.tag, '^{(.*:)%d+}:$') .. channel, text)
end
