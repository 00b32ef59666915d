-- Keys of what is claimed in the bucket under the lease of a worker. ARGV: its number.
local score = names.CLAIMED + tonumber(ARGV[1])
return redis.call('ZRANGEBYSCORE', names.jobs, score, score)
