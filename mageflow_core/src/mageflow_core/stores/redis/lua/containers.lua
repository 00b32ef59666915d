-- What containers do when they go on, and when a child has ended. A sweep begins what can begin
-- and ends the container when nothing is left; what does not fit into a step goes to timers.
local containers = {
  KINDS = { chain = chain, swarm = swarm, graph = graph },
}

function containers.machine_of(node)
  return node.inner.cont > 0 and continuation or containers.KINDS[node.kind]
end

function containers.sweep(node)
  if node.st ~= 'active' or not node.inner then return end
  if node.ending then
    if draft.bodies_below(node) == 0 and not above.over(node) then
      life.finish(draft.edit(node), node.ending, node.failure)
    end
    return
  end
  if above.forbids(node) then return end
  draft.edit(node)
  containers.machine_of(node).sweep(node)
end

-- Tell the container of a child that has ended, once, and only in its own generation.
function containers.tell(child)
  local parent = draft.node_at(child.parent)
  if not ENDED[child.st] or child.round ~= parent.gen then return end
  draft.edit(parent)
  if not parent.inner or ENDED[parent.st] then return end
  if child.slot then
    draft.edit(child).slot = nil
    parent.inner.begun = parent.inner.begun - 1
  end
  if parent.st ~= 'active' then return end -- canceled before its container began, which will see
  if above.over(parent) then return end -- told too late: all of this has ended with what is above
  containers.machine_of(parent).tell(parent, child)
end

-- When the root has ended and no callback is left, the time to live begins.
function containers.settle()
  if draft.run.settled or draft.run.cbs > 0 or not ENDED[draft.node_at('').st] then return end
  draft.edit_run().settled = draft.now
  if draft.run.deadline then effects.at('deadline', '', false) end
  effects.at('expire', '', draft.now + draft.run.ttl)
  effects.settled = true
end

function containers.work_off()
  while effects.todo[effects.head] do
    local kind, path = effects.todo[effects.head][1], effects.todo[effects.head][2]
    effects.head = effects.head + 1
    local node = draft.node_at(path)
    -- That a slot is still held shows that the container was not told: a child that never had one
    -- (canceled ahead of its turn) is told of at once.
    if not draft.has_room() and (kind == 'sweep' or node.slot) then
      effects.at(kind, path, draft.now)
    elseif kind == 'tell' then
      containers.tell(node)
    else
      containers.sweep(node)
    end
  end
  containers.settle()
end
