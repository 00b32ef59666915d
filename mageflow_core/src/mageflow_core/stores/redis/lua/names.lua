-- Keys and paths. KEYS[1] is `{namespace:bucket}:r:<run id>`, or `{namespace:bucket}:` where a
-- script works on the bucket; every other key begins with the same tag, so that one slot has all.
local tag = string.sub(KEYS[1], 1, string.find(KEYS[1], '}:', 1, true) + 1)
local names = {
  tag = tag,
  run_id = string.sub(KEYS[1], #tag + 3),
  -- Where each node with an open job stands, by score: to be sent again at that time (unconfirmed);
  -- WAITING plus when it is overdue in a backend's queue; CLAIMED plus the number of its worker.
  jobs = tag .. 'jobs', WAITING = 1e13, CLAIMED = 1e14,
  due = tag .. 'due',
  leases = tag .. 'leases',
}

-- Parts of a path begin with '/' or '~'; see `mageflow_core.names`.
local parents = {}

function names.parent_of(path)
  local parent = parents[path]
  if parent == nil then
    parent = string.match(path, '^(.*)[/~]') or false
    parents[path] = parent
  end
  return parent or nil
end

-- Channels begin with the namespace alone.
function names.publish(channel, text)
  redis.call('PUBLISH', string.match(tag, '^{(.*:)%d+}:$') .. channel, text)
end
