-- Start a stored run. Gives {'' | 'again' | why not, jobs}. ARGV: policy, message, id of the start,
-- the inbox of whoever starts it or ''.
local function start_stored()
  if not draft.open('', 'l') then return draft.run and NEWER or NO_RUN end
  local before = draft.run.start_id
  effects.at('expire', '', false)
  local refusal = starting.start(ARGV[3], ARGV[4])
  if refusal or before then return { refusal or 'again', {} } end
  values.write('m', '$', ARGV[2])
  return { '', effects.flush() }
end

return start_stored()
