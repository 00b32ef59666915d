-- Keep a stored run for a place in another. Gives 1, or 0 if it was started or stands elsewhere.
-- ARGV: policy, id of the other run, ms that the reservation holds.
local function reserve()
  if not draft.open('') then return draft.run and NEWER or NO_RUN end
  local run = draft.run
  if run.start_id or (run.by and run.by ~= ARGV[2]) or ENDED[draft.node_at('').st] then return 0 end
  draft.edit_run()
  draft.run.by = ARGV[2]
  draft.run.by_at = draft.now
  effects.at('reserved', '', draft.now + tonumber(ARGV[3]))
  effects.flush()
  return 1
end

return reserve()
