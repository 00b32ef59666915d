-- A table of functions that is filled when the first of them is asked for: all functions are made
-- anew for each call of a script, and most steps need few of them.
local filling = { __index = function(module, name)
  local fill = rawget(module, 1)
  if not fill then return nil end
  module[1] = nil
  fill(module)
  return rawget(module, name)
end }

local function lazy(fill) return setmetatable({ fill }, filling) end
