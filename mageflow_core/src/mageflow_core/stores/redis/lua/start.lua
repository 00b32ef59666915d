-- Start a stored run. Gives {'' | 'again' | why not, jobs}. ARGV: policy, message, id of the start.
local function start_stored()
  if not draft.open('') then return draft.run and NEWER or NO_RUN end
  local before = draft.run.start_id
  effects.at('expire', '', false)
  local refusal = starting.start(ARGV[3])
  if refusal or before then return { refusal or 'again', {} } end
  values.write('m', '$', ARGV[2])
  return { '', effects.flush() }
end

return start_stored()
