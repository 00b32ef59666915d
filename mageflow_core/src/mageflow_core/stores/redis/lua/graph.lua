-- Graphs: named nodes, each begins when all that it depends on are done.

function graph.part(node, name) return cjson.decode(draft.field('g' .. node.sig .. '/' .. name)) end

-- Whether all that it depends on are done.
function graph.is_ready(node, name, told) return told == #graph.part(node, name).needs end

-- Whether nothing further may begin.
function graph.stopping(node)
  local inner = node.inner
  return draft.of(node).on_failure == 'stop' and (inner.failed > 0 or inner.canceled > 0)
end

function graph.append(list, value)
  list = list or {}
  list[#list + 1] = value
  return list
end

-- Find what is ready from the start, and count what is over already.
function graph.look_at_all(node)
  local inner = node.inner
  if inner.cursor == draft.of(node).n then return true end
  local order = cjson.decode(draft.field('o' .. node.sig))
  while inner.cursor < #order do
    if not draft.has_room() then return false end
    draft.looked = draft.looked + 1
    local name = order[inner.cursor + 1]
    local child = children.at(node, name)
    if child and child.st == 'done' then
      children.count(inner, child)
      if child.slot then -- it ended when the graph had, so nobody was told
        draft.edit(child).slot = nil
        inner.telling = graph.append(inner.telling, { name, 0 })
      end
    elseif child and ENDED[child.st] and child.round == node.gen then
      children.count(inner, child)
    elseif graph.is_ready(node, name, child and child.told or 0) then
      inner.ready = graph.append(inner.ready, name)
    end
    inner.cursor = inner.cursor + 1
  end
  return true
end

-- Count a done node in those that wait for it; false where the step gets too wide.
function graph.tell_dependents(node)
  local inner = node.inner
  while inner.telling do
    local name, told = inner.telling[1][1], inner.telling[1][2]
    local dependents = graph.part(node, name).dependents
    while told < #dependents do
      if not draft.has_room() then
        inner.telling[1][2] = told
        return false
      end
      local waiting = children.edit(node, dependents[told + 1])
      waiting.told = waiting.told + 1
      told = told + 1
      if graph.is_ready(node, dependents[told], waiting.told) and waiting.pos < inner.cursor then
        inner.ready = graph.append(inner.ready, dependents[told])
      end
    end
    table.remove(inner.telling, 1)
    if #inner.telling == 0 then inner.telling = nil end
  end
  return true
end

-- A node without dependencies gets what the graph got; another the graph's message and the results
-- that it waited for, by name.
function graph.begin_part(node, name, child)
  local needs = graph.part(node, name).needs
  if #needs == 0 then return life.begin_child(node, child, node.msg, node.prev, node.deps) end
  local dependencies = {}
  for _, needed in ipairs(needs) do
    dependencies[#dependencies + 1] = { needed, children.at(node, needed).res }
  end
  life.begin_child(node, child, node.msg, nil, dependencies)
end

-- End the graph if nothing runs and nothing further can begin.
function graph.conclude(node)
  local inner = node.inner
  if inner.begun > 0 or ENDED[node.st] or (inner.ready and not graph.stopping(node)) then return end
  if inner.failed > 0 then
    life.finish(node, 'failed', { 'graph' })
  elseif inner.canceled > 0 then
    life.finish(node, 'canceled')
  else
    node.res, node.carried = node.path, node.path
    life.finish(node, 'done')
  end
end

-- Look at every node once a generation, tell dependents, begin those that are ready.
function graph.sweep(node)
  if not (graph.look_at_all(node) and graph.tell_dependents(node)) then
    return effects.at('sweep', node.path, draft.now)
  end
  local inner, found = node.inner, draft.of(node)
  local limit = found.limit or found.n
  while inner.ready and inner.begun < limit and not graph.stopping(node) do
    if not draft.has_room() then return effects.at('sweep', node.path, draft.now) end
    local name = table.remove(inner.ready, 1)
    if #inner.ready == 0 then inner.ready = nil end
    local child = children.edit(node, name)
    if not (ENDED[child.st] and child.round == node.gen) then
      graph.begin_part(node, name, child)
    end
  end
  graph.conclude(node)
end

function graph.tell(node, child)
  local inner = node.inner
  if child.pos < inner.cursor then children.count(inner, child) end
  if child.st == 'done' then
    local name = string.match(child.path, '[^/]*$')
    inner.telling = graph.append(inner.telling, { name, 0 })
  end
  effects.push('sweep', node.path)
end
