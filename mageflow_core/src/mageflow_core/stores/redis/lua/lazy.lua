-- A table of functions that is filled when the first of them is asked for: all functions are made
-- anew for each call of a script, and most steps need few of them.
local filling = { __index = function(module, name)
  local fill = module[1]
  module[1] = nil
  setmetatable(module, nil)
  fill(module)
  return module[name]
end }

local function lazy(fill) return setmetatable({ fill }, filling) end
