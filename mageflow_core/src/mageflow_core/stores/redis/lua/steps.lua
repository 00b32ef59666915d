-- Those that a call may do several of. KEYS and ARGV are those of the one that is being done.
local steps = {}
local KEYS, ARGV = KEYS, ARGV
