-- The verbs of the store contract, each one atomic step on the server.
--
-- One queue is one set of keys under one hash tag, so it lies on one node of a cluster. Its time is the server's, never a
-- caller's. Every verb takes one MessagePack value and answers one: {result, changes, counts, time}; what became of records
-- on the way (due, reaped, passed on) is in `changes`, so that whoever called tells of it, and nobody twice.
--
--   meta       hash    tag, layout, acceptances, claims, endings, run_id, quiet_until, history_bytes, bounds of history
--   task       hash    number -> the task as submitted, JSON
--   record     hash    number -> everything else, MessagePack (`pack`)
--   names      hash    name -> number of the task that holds it
--   following  hash    number -> number of the task that follows it
--   pending    zset    by start order       later    zset   not due, by acceptance     due      zset  by time
--   running    zset    by start time        history  zset   by order of the endings    expiry   zset  by time
--   nodes      zset    node -> when its lease ends            leases   hash    node -> how long one is
--   node       hash    node -> its last beat and what it says of itself, MessagePack
--   seen       set     nodes that have compared their tasks with this life of the server
--   cancels:N  set     what runs on node N and is to be cancelled
--   seekers    string  there while somebody waits for room
--   claim:N    string  the last claim of node N, and what it was given
--   reply:ID   string  what a call was answered, for when the answer was lost
--
-- `put` is the one way in which a record changes, as in `book.py`; what a submit does is `submission.py` once more.

local function call(...)
  return redis.call(...)
end

local STEP = 2 ^ 40            -- more than there are acceptance numbers
local PRIORITY_MAX = 100
local SWEEP_MAX = 100          -- how many records that are due, or out of date, one call moves
local REPLY_MS = 60000         -- how long a lost answer can be asked for again
local CLAIM_MS = 3600000       -- how long a node's last claim is known, longer than any call is on its way
local SEEK_MS = 2000           -- how long somebody is taken to wait for room
local LINGER = 10              -- how many seconds a record is there for those who waited for it
local LAYOUT = '1'             -- of the keys; another layout is another program's

-- Of the call under way; `verb` sets them.
local queue, now, changes, endings

local function key(name)
  return queue .. ':' .. name
end

local function digits(number)
  return string.format('%013d', number)
end

-- Records

local function pack(r)
  return cmsgpack.pack({r.state, r.name, r.priority, r.submitted_at, r.at, r.on_crash, r.keep, r.token, r.node,
    r.follows, r.supersedes, r.attempts, r.ending, r.cancelled})
end

local function unpack_record(number, packed)
  local a = cmsgpack.unpack(packed)
  return {number = number, state = a[1], name = a[2], priority = a[3], submitted_at = a[4], at = a[5], on_crash = a[6],
    keep = a[7], token = a[8], node = a[9], follows = a[10], supersedes = a[11], attempts = a[12], ending = a[13],
    cancelled = a[14]}
end

local function find(number)
  number = tonumber(number)
  local packed = call('HGET', key('record'), digits(number))
  return packed and unpack_record(number, packed)
end

local function holder_of(name)
  local number = call('HGET', key('names'), name)
  return number and find(number)
end

local function follower_of(record)
  local number = call('HGET', key('following'), digits(record.number))
  return number and find(number)
end

local function with(record, differences)
  local copy = {}
  for field, value in pairs(record) do copy[field] = value end
  for field, value in pairs(differences) do copy[field] = value end
  return copy
end

local function row(record)
  local task = record.task or call('HGET', key('task'), digits(record.number))
  return {record.number, record.state, record.submitted_at, record.at, record.priority, record.attempts, record.token,
    record.node, record.follows, record.supersedes, record.ending, task}
end

local function told(record)
  changes[#changes + 1] = row(record)
end

-- The book

local function place(record)
  return (PRIORITY_MAX - record.priority) * STEP + record.number
end

local function waiting()
  return call('ZCARD', key('pending')) + call('ZCARD', key('later'))
end

local function holds_name(record)
  return record.state ~= 'following' and record.state ~= 'finished'
end

local function take_out(old, number)
  local state = old.state
  if state == 'pending' then
    call('ZREM', key('pending'), number)
  elseif state == 'running' then
    call('ZREM', key('running'), number)
  elseif state == 'scheduled' then
    call('ZREM', key('later'), number)
    call('ZREM', key('due'), number)
  elseif state == 'following' then
    call('ZREM', key('later'), number)
    call('HDEL', key('following'), digits(old.follows))
  end
end

local function forget(record)
  local number = digits(record.number)
  call('HINCRBY', key('meta'), 'history_bytes', -#record.ending)
  call('HDEL', key('record'), number)
  call('HDEL', key('task'), number)
  call('ZREM', key('history'), number)
  call('ZREM', key('expiry'), number)
end

local function put_in(record, number)
  local state = record.state
  if state == 'pending' then
    call('ZADD', key('pending'), place(record), number)
  elseif state == 'running' then
    call('ZADD', key('running'), math.floor(record.at * 1e6), number)
  elseif state == 'scheduled' then
    call('ZADD', key('later'), record.number, number)
    call('ZADD', key('due'), record.at, number)
  elseif state == 'following' then
    call('ZADD', key('later'), record.number, number)
    call('HSET', key('following'), digits(record.follows), number)
  else
    call('ZADD', key('history'), call('HINCRBY', key('meta'), 'endings', 1), number)
    call('HINCRBY', key('meta'), 'history_bytes', #record.ending)
    call('ZADD', key('expiry'), record.at + record.keep, number)
    endings[#endings + 1] = record.number
  end
end

local function put(old, record)
  local number = digits(record.number)
  call('HSET', key('record'), number, pack(record))
  if record.task then call('HSET', key('task'), number, record.task) end
  if old then take_out(old, number) end
  put_in(record, number)
  local held = old and holds_name(old)
  if holds_name(record) then
    if not held then call('HSET', key('names'), record.name, number) end
  elseif held then
    call('HDEL', key('names'), record.name)
  end
end

local function change(old, differences)
  local record = with(old, differences)
  put(old, record)
  told(record)
  return record
end

