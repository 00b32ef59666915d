-- Several steps in one call, which share what it takes to begin one. Those of one run that follow
-- each other share its records too, and are written together: where one of them fails, nothing has
-- been written of those before it, and all of them have its error.
-- KEYS: of each. ARGV, for each: its name, how many arguments it has, and these.
-- Gives the answer of each, the error in its place where it has failed. When they have changed as
-- much as one step may, the others are not done: there are fewer answers.
local keys, given = KEYS, ARGV
local answers, at, width = {}, 1, 0
local first, shared = 1, false -- of those that are written together, and whether there are any yet

for number = 1, #keys do
  if width >= draft.WIDTH then break end
  local key, name, last = keys[number], given[at], at + 1 + given[at + 1]
  KEYS, ARGV = { key }, { unpack(given, at + 2, last) }
  at = last + 1
  if not shared then
    fresh.begin('run')
    first = number
  end
  fresh.begin('step')
  -- One that creates a run may move a key, which could not be done again.
  local more = key == keys[number + 1] and name ~= 'create' and given[at] ~= 'create'
  shared = shared or more
  draft.later = shared
  local fine, answer = pcall(steps[name])
  width = width + draft.width
  more = more and width < draft.WIDTH
  answers[number] = answer or false
  if fine and shared and not more and #effects.lots > 0 then fine, answer = pcall(effects.apply) end
  if not fine then
    if type(answer) ~= 'table' then answer = { err = answer } end
    for failed = first, number do answers[failed] = answer end
  end
  shared = fine and more
end

return answers
