-- What most steps do with a draft, and a claim does not: signatures, new nodes, further fields.
local signatures   -- id -> what is needed here of it
local decoded = {} -- the same by the texts: runs of one flow share it, and none changes it

anew('run', function() signatures = {} end)

-- Times in ms and limits.
function draft.policy()
  draft.limits = draft.limits or cjson.decode(ARGV[1])
  return draft.limits
end

function draft.signature(id)
  local found = signatures[id]
  if not found then
    local text = draft.field('s' .. id)
    found = decoded[text]
    if not found then
      found = cjson.decode(text)
      decoded[text] = found
    end
    signatures[id] = found
  end
  return found
end

function draft.of(node) return signatures[node.sig] or draft.signature(node.sig) end

function draft.write(name, text)
  draft.writes[#draft.writes + 1] = name
  draft.writes[#draft.writes + 1] = text
  draft.texts[name] = text
end

function draft.new_node(path, position, signature_id)
  local found = draft.signature(signature_id)
  local node = draft.placed({ sig = signature_id, pos = position }, path)
  if found.kind ~= 'task' then
    node.kind, node.args = found.kind, found.args
    if found.kind ~= 'chain' or found.args then draft.heed_above() end
  end
  if found.ok or found.err then node.calls = 1 end
  draft.nodes[path] = node
  return draft.edit(node)
end

-- From now on what is claimed has to look at the nodes above: some count bodies or have arguments.
function draft.heed_above()
  if not draft.run.above then draft.edit_run().above = 1 end
end

function draft.new_inner(inner) return setmetatable(inner, defaults) end

function draft.has_room() return draft.width + draft.looked < draft.WIDTH end
