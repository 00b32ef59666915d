-- Chains: steps in order, the first failure ends it.

-- The first step gets what the chain got; a later one the chain's message and the previous result;
-- a container there has that result as its message too.
function chain.begin_step(node, step, before)
  local cursor = node.inner.cursor
  if cursor == 0 then return life.begin_child(node, step, node.msg, node.prev, node.deps) end
  local carried = (before or children.at(node, cursor - 1)).carried
  local plain = draft.of(step).kind == 'task'
  life.begin_child(node, step, plain and node.msg or carried, carried, nil)
end

-- Begin the current step, unless it has begun; pass over those that are done.
function chain.sweep(node)
  local inner, steps, before = node.inner, draft.of(node).n, nil
  while inner.cursor < steps do
    local step = children.at(node, inner.cursor)
    local current = step and step.round == node.gen
    if step and step.st == 'done' then
      inner.cursor = inner.cursor + 1
      before = step
    elseif current and step.st == 'canceled' then
      return life.stop(node, 'canceled')
    elseif current and step.st ~= 'pending' then
      return
    else
      return chain.begin_step(node, children.edit(node, inner.cursor), before)
    end
  end
  local last = before or children.at(node, steps - 1)
  node.res, node.carried = last.res, last.carried
  life.finish(node, 'done')
end

function chain.tell(node, step)
  if node.ending then
    effects.push('sweep', node.path)
  elseif step.st == 'failed' then
    life.finish(node, 'failed', nil, step.error)
  elseif step.st == 'canceled' then
    life.stop(node, 'canceled')
  else
    effects.push('sweep', node.path)
  end
end
