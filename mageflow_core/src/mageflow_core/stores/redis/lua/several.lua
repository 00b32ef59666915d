-- Several steps in one call, which share what it takes to begin one.
-- KEYS: of each. ARGV, for each: its name, how many arguments it has, and these.
-- Gives the answer of each, the error in its place where it has failed. When they have changed as
-- much as one step may, the others are not done: there are fewer answers.
local keys, given = KEYS, ARGV
local answers, at, width = {}, 1, 0

for number = 1, #keys do
  if width >= draft.WIDTH then break end
  local step, last = steps[given[at]], at + 1 + given[at + 1]
  KEYS, ARGV = { keys[number] }, { unpack(given, at + 2, last) }
  at = last + 1
  for index = 1, #fresh do fresh[index]() end
  local fine, answer = pcall(step)
  if not fine and type(answer) ~= 'table' then answer = { err = answer } end
  answers[number] = answer or false
  width = width + draft.width
end

return answers
