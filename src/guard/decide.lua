-- One decision for both rules at once, by the store's own clock. KEYS: the person, the person's tool. ARGV, for each:
-- interval, tolerance and block in microseconds. Returns: 0 through, 1 limited, 2 blocked; by which key; the wait.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function written(number) return string.format('%.0f', number) end
local ahead = {}
for i, key in ipairs(KEYS) do
  local interval, tolerance, block = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local kept = redis.call('HMGET', key, 'rests', 'blocked')
  local rests, blocked = tonumber(kept[1] or '0'), tonumber(kept[2] or '0')
  if blocked > now then return { 2, i, blocked - now } end
  ahead[i] = math.max(rests, now) + interval
  local wait = ahead[i] - now - tolerance
  if wait > 0 then
    if block == 0 then return { 1, i, wait } end
    redis.call('HSET', key, 'blocked', written(now + block))
    redis.call('PEXPIRE', key, written(math.ceil(math.max(block, rests - now) / 1000)))
    return { 2, i, block }
  end
end
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, 'rests', written(ahead[i]))
  redis.call('PEXPIRE', key, written(math.ceil((ahead[i] - now) / 1000)))
end
return { 0, 0, 0 }
