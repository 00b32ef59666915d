-- What a step is answered with that found no run it could work on.
local NO_RUN = 'no run'
local NEWER = 'newer'
