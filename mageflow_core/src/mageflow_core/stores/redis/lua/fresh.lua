-- What a step begins with. Where a call does several of them, all of it is made anew for each.
local fresh = {}

local function anew(make)
  fresh[#fresh + 1] = make
  make()
end
