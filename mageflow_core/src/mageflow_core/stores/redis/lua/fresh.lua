-- What begins with a run, and what with each step of it: a call may do several of them.
local fresh = { run = {}, step = {} }

local function anew(what, make)
  local all = fresh[what]
  all[#all + 1] = make
  make()
end

function fresh.begin(what)
  local all = fresh[what]
  for index = 1, #all do all[index]() end
end
