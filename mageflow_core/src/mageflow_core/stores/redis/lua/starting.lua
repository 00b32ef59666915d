-- A run begins. Gives why it cannot, if so; asked again with the same id, it is answered as before.
-- inbox: where it is told of as well; '' for nowhere.
local starting = {}

function starting.start(start_id, inbox)
  if draft.run.start_id == start_id then return nil end
  if draft.run.start_id then return 'it was started before' end
  if draft.run.by then return 'it stands for a part of run ' .. draft.run.by end
  local root = draft.edit(draft.node_at(''))
  if ENDED[root.st] then return 'it has ended: ' .. root.st end
  draft.edit_run()
  draft.run.start_id = start_id
  draft.run.started = draft.now
  if inbox ~= '' then draft.run.inbox = inbox end
  local deadline = draft.of(root).deadline
  if deadline then
    draft.run.deadline = draft.now + deadline
    effects.at('deadline', '', draft.run.deadline)
  end
  effects.log('started', root)
  life.begin(root, '$', nil, nil)
  containers.work_off()
end
