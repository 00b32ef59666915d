-- How a node whose claim is gone goes on.

-- Forget a claim that can no longer change anything; what it says is refused.
function queueing.drop_claim(node)
  life.release_claim(node)
  node.last = nil
end

-- The same attempt once more; parked at once where a mark stands.
function queueing.queue_again(node, delay)
  local mark, marked, over = above.look(node)
  node.st = 'queued'
  node.queued = draft.now
  if node.ending then
    life.finish(node, node.ending, node.failure)
  elseif over or mark == 'cancel' then
    life.finish(node, 'canceled')
  elseif delay and delay > 0 then
    node.due = draft.now + delay
    effects.at('due', node.path, node.due)
  elseif mark then
    parking.enter(node, marked)
  else
    effects.send(node)
  end
end
