-- The verbs of the store contract, each one atomic step on the server.
--
-- One queue is one set of keys under one hash tag, so it lies on one node of a cluster. Its time is the server's, never a
-- caller's. Every verb takes one MessagePack value and answers one: {result, changes, counts, time, damages}; what became of
-- records on the way (due, reaped, passed on) is in `changes`, so that whoever called tells of it, and nobody twice.
-- Entries that cannot be used are set aside on the way, and described in `damages` (`damage.lua`, `mending.lua`).
--
--   head       hash    tag, layout, acceptances, claims, endings, run_id, quiet_until, history_bytes, bounds of history,
--                      damaged (how many entries were found damaged), mending, mend_again, mended_at
--   meta       hash    layout alone, for programs of layout 1: they kept there what is in `head` now, and refuse another
--   task       hash    number -> the task as submitted, JSON
--   record     hash    number -> everything else, MessagePack (`pack`)
--   names      hash    name -> number of the task that holds it
--   following  hash    number -> number of the task that follows it
--   pending    zset    by start order       later    zset   not due, by acceptance     due      zset  by time
--   running    zset    by start time        history  zset   by order of the endings    expiry   zset  by time
--   crashed    zset    those in flight that have a crash, by number
--   tag        string  the tag once more: the ids of all tasks depend on it
--   damaged    list    what was set aside because it could not be used, the latest first; JSON
--   nodes      zset    node -> when its lease ends            leases   hash    node -> how long one is
--   node       hash    node -> its last beat and what it says of itself, MessagePack
--   seen       set     nodes that have compared their tasks with this life of the server
--   cancels:N  set     what runs on node N and is to be cancelled
--   seekers    string  there while somebody waits for room
--   claim:N    string  the last claim of node N, and what it was given
--   reply:ID   string  what a call was answered, for when the answer was lost
--
-- What a verb reads and changes is in memory until it has decided everything; then it is written at once, many tasks with one
-- command (`writing.lua`). `put` is the one way in which a record changes, as in `book.py`; what a submit does is
-- `submission.py` once more.

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
local LAYOUT = '2'             -- of the keys; another layout is another program's, or is converted (`upgrade.lua`)
local WORDS_MAX = 4000         -- how many arguments a command is given at once, Lua has room for 8000; even, for pairs

-- Of the call under way; `register` sets them.
local queue, now, changes, endings
local damages, aside           -- what was found damaged; the ids that were set aside
local damaged, mending         -- how many were set aside so far; whether there is something to mend
local notice_damage, set_aside, mend_soon, has_its_tag_back  -- `damage.lua` and `nodes.lua` make them
local names, following, tasks  -- hashes, as far as they are known
local records                  -- id -> the record as it is now; false when there is none. An id is a number in `digits`

local function tell(message)
  call('PUBLISH', queue, message)
end

local function key(name)
  return queue .. ':' .. name
end

-- A number as it stands in the keys, where it is sorted as text; what was read there is in that form already.
local function digits(number)
  return type(number) == 'string' and number or string.format('%013d', number)
end

local function all_digits(numbers)
  local ids = {}
  for i, number in ipairs(numbers) do ids[i] = digits(number) end
  return ids
end

-- The words in pieces that are not too long for one command.
local function each_piece(words, body)
  for first = 1, #words, WORDS_MAX do
    body(first, unpack(words, first, math.min(first + WORDS_MAX - 1, #words)))
  end
end

-- A hash on the server, as far as it is known here; false stands for what is not in it.

local Hash = {}
Hash.__index = Hash

function Hash.new(name)
  return setmetatable({name = name, values = {}, changed = {}}, Hash)
end

-- Has these known, all by one command.
function Hash:read(fields)
  local values = self.values
  each_piece(fields, function(first, ...)
    for i, value in ipairs(call('HMGET', key(self.name), ...)) do
      local field = fields[first + i - 1]
      if values[field] == nil then values[field] = value end
    end
  end)
end

function Hash:get(field)
  if self.values[field] == nil then self.values[field] = call('HGET', key(self.name), field) end
  return self.values[field]
end

function Hash:set(field, value)
  self.values[field] = value
  self.changed[field] = true
end

-- Records

-- A list of 16, put together and read without a table of it: to make one and have it grow is what would take the time.
-- Layout 1 had lists of the first 14.
local LIST_OF_16, FIELDS = '\220\000\016', 16
local FIRST_OF_LIST_OF_14, FIELDS_OF_LAYOUT_1 = 158, 14

local function pack(r)
  return LIST_OF_16 .. cmsgpack.pack(r.state, r.name, r.priority, r.submitted_at, r.at, r.on_crash, r.keep, r.token,
    r.node, r.follows, r.supersedes, r.attempts, r.ending, r.cancelled or false, r.rare or false, r.task_bytes)
end

local function fields_of(packed)
  if string.byte(packed) == FIRST_OF_LIST_OF_14 then return FIELDS_OF_LAYOUT_1, 1 end
  return FIELDS, #LIST_OF_16
end

-- Of one in history, as much as it takes to forget it.
local function unpack_remains(id, packed)
  local _, state, _, _, _, _, _, _, _, _, _, _, _, _, _, _, task_bytes = cmsgpack.unpack_limit(packed, fields_of(packed))
  return {id = id, state = state, task_bytes = task_bytes or 0, packed_bytes = #packed}
end

local STATES = {scheduled = true, following = true, pending = true, running = true, finished = true}
local NUMBER_MAX = 2 ^ 53
local TIME_MAX = 253402300800  -- in seconds since 1970, the year 10000: no later time can be shown

local function is_number(value)
  return type(value) == 'number' and value > -NUMBER_MAX and value < NUMBER_MAX
end

local function is_whole_number(value)
  return is_number(value) and value % 1 == 0
end

local function are_attempts(attempts)
  if type(attempts) ~= 'table' then return false end
  for _, attempt in ipairs(attempts) do
    if not (attempt[1] >= 0 and attempt[1] < TIME_MAX and attempt[2] >= 0 and attempt[2] < TIME_MAX) then return false end
  end
  return true
end

-- Facts that few tasks have: crashes, how many of its starts were cut off by the loss of their node.
local function are_rare_facts(rare)
  return not rare or type(rare) == 'table' and is_whole_number(rare.crashes) and rare.crashes >= 0
end

-- The record, if it can be used as one: each field has the type that all verbs count on. Otherwise it is nil, or an error:
-- `read_record` is called by `pcall`, and a comparison with a value of another type raises one. So most types are checked
-- without a call, which would cost more than all else here.
local function read_record(id, packed)
  local _, state, name, priority, submitted_at, at, on_crash, keep, token, node, follows, supersedes, attempts, ending,
    cancelled, rare, task_bytes = cmsgpack.unpack_limit(packed, fields_of(packed))
  rare, task_bytes = rare or false, task_bytes or 0
  if STATES[state] and name >= '' and node >= '' and ending >= '' and (on_crash == 'rerun' or on_crash == 'fail')
    and priority >= -PRIORITY_MAX and priority <= PRIORITY_MAX and priority % 1 == 0
    and submitted_at >= 0 and submitted_at < TIME_MAX and at >= 0 and at < TIME_MAX
    and keep > -NUMBER_MAX and keep < NUMBER_MAX and token > -NUMBER_MAX and token < NUMBER_MAX and token % 1 == 0
    and follows > -NUMBER_MAX and follows < NUMBER_MAX and follows % 1 == 0
    and task_bytes > -NUMBER_MAX and task_bytes < NUMBER_MAX and task_bytes % 1 == 0
    and (supersedes == true or supersedes == false) and (cancelled == true or cancelled == false)
    and are_attempts(attempts) and are_rare_facts(rare) then
    return {id = id, number = tonumber(id), state = state, name = name, priority = priority,
      submitted_at = submitted_at, at = at, on_crash = on_crash, keep = keep, token = token, node = node,
      follows = follows, supersedes = supersedes, attempts = attempts, ending = ending, cancelled = cancelled,
      rare = rare, task_bytes = task_bytes, packed_bytes = #packed}
  end
end

local function is_id(id)
  return #id == 13 and string.find(id, '^%d+$') ~= nil
end

local function learn(id, packed)
  if records[id] ~= nil then return end
  if not packed then
    records[id] = false
    return
  end
  local readable, record = pcall(read_record, id, packed)
  if readable and record and is_id(id) then
    records[id] = record
  else
    set_aside(id, packed, 'the record of task ' .. id .. ' cannot be read')
  end
end

-- What is packed under each id, all by one command.
local function each_packed(ids, body)
  each_piece(ids, function(first, ...)
    for i, packed in ipairs(call('HMGET', key('record'), ...)) do body(ids[first + i - 1], packed) end
  end)
end

-- Has these records known.
local function read_records(ids)
  each_packed(ids, learn)
end

local function find(number)
  local id = digits(number)
  if records[id] == nil then learn(id, call('HGET', key('record'), id)) end
  return records[id]
end

local function holds_name(record)
  return record and record.state ~= 'following' and record.state ~= 'finished'
end

-- An entry of a hash that names a record which does not answer to it holds nothing, and is removed.
local function remove_field(hash, field, id)
  hash:set(field, false)
  notice_damage('`' .. hash.name .. '` has an entry for task ' .. id .. ' that does not apply', {field = field, id = id})
end

local function holder_of(name)
  local id = names:get(name)
  if not id then return id end
  local record = find(id)
  if holds_name(record) and record.name == name then return record end
  remove_field(names, name, id)
  return false
end

local function follower_of(record)
  local id = following:get(record.id)
  if not id then return id end
  local follower = find(id)
  if follower and follower.state == 'following' and follower.follows == record.number then return follower end
  remove_field(following, record.id, id)
  return false
end

-- A record but for some differences: what is not said anew is as it was.
local function with(record, differences)
  return setmetatable(differences, {__index = record})
end

local function crashes_of(record)
  return record.rare and record.rare.crashes or 0
end

-- The task as it can be shown when what was submitted is lost.
local function nameless(record)
  notice_damage('task ' .. record.id .. ' has a record, and nothing that was submitted', {name = record.name})
  return cjson.encode({name = record.name})
end

local function row(record)
  local task = record.task or tasks:get(record.id) or nameless(record)
  return {record.number, record.state, record.submitted_at, record.at, record.priority, record.attempts, record.token,
    record.node, record.follows, record.supersedes, record.ending, task, crashes_of(record)}
end

local function told(record)
  changes[#changes + 1] = row(record)
end

local function waiting()
  return call('ZCARD', key('pending')) + call('ZCARD', key('later'))
end
