-- The verbs of the store contract. Each is one atomic step on the server.
--
-- The keys of a queue share one hash tag, so they are on one node of a cluster. The time is the server's, never a caller's.
-- Every verb takes one MessagePack value and answers one, a `ServerReply` (`wire.py`). Its `changes` has all records
-- that changed during the call (also because they became due, were reaped or took over a name). Only the node that made the
-- call gets them, so each change is reported once. Entries that cannot be used are set aside during the call, and described
-- in `damages` (`damage.lua`, `mending.lua`).
--
--   head       hash    tag, layout, acceptances, claims, endings, run_id, quiet_until, history_bytes, bounds of history,
--                      damaged (number of damaged entries found), mending, mend_again, mended_at
--   meta       hash    layout alone, for programs of layout 1: they kept the fields of `head` here, and refuse other layouts
--   task       hash    number -> the task as submitted, JSON
--   record     hash    number -> everything else, MessagePack (`pack`)
--   names      hash    name -> number of the task that holds it
--   following  hash    number -> number of the task that follows it
--   pending    zset    by start order       later    zset   not due, by acceptance     due      zset  by time
--   running    zset    by start time                                                   expiry   zset  finished, by time
--   history    zset    succeeded            failures zset   other outcomes; both by order of the endings
--   crashed    zset    tasks in flight that have a crash, by number
--   delivery, deliveries, deliveries:targets, deliveries:due  (`deliveries.lua`)
--   tag        string  a copy of the tag, because the ids of all tasks depend on it
--   damaged    list    entries that were set aside because they could not be used, the latest first; JSON
--   nodes      zset    node -> when its lease ends            leases   hash    node -> length of its lease, in seconds
--   node       hash    node -> its last beat and the state that it reported, MessagePack
--   seen       set     nodes that have compared their tasks since this start of the server
--   cancels:N  set     running tasks that node N has to cancel
--   seekers    string  exists while a caller waits for room
--   claim:N    string  the last claim of node N, and the tasks that it got
--   reply:ID   string  the reply to a call, in case the caller has not received it
--
-- The data that a verb reads and changes is kept in memory until the verb has decided everything. Then it is written at once,
-- many tasks per command (`writing.lua`). Every change of a record goes through `put`, as in `book.py`. The rules of a submit
-- are those of `submission.py`.

local function call(...)
  return redis.call(...)
end

local SWEEP_MAX = 100          -- how many due or expired records one call moves
local REPLY_MS = 60000         -- how long a reply is kept for a caller that has not received it
local CLAIM_MS = 3600000       -- how long a node's last claim is kept; longer than any call can be delayed
local SEEK_MS = 2000           -- how long a caller is assumed to wait for room
local LINGER = 10              -- how many seconds an expired record is kept for callers that wait for its end
local ID_DIGITS = 13
local WORDS_MAX = 4000         -- how many arguments a command gets; Lua allows 8000. Even, because some come in pairs

-- The state of the current call; `register` sets it.
local queue, now, changes, endings
local damages, aside           -- descriptions of damage found; ids that were set aside
local damaged, mending         -- how many entries were set aside so far; whether mending is needed
local notice_damage, set_aside, mend_soon, has_its_tag_back  -- defined in `damage.lua` and `nodes.lua`
local names, following, tasks  -- hashes, as far as they have been read
local Endings = {}             -- functions about finished records
local Deliveries = {}          -- defined in `deliveries.lua`
local Lanes = {}               -- defined in `lanes.lua`
local records                  -- id -> the current record, or false if there is none. An id is a number as by `digits`

local function tell(message)
  call('PUBLISH', queue, message)
end

local function key(name)
  return queue .. ':' .. name
end

-- Returns a number as it is written in keys, with leading zeros, so that it sorts as text. A text from a key is unchanged.
local function digits(number)
  return type(number) == 'string' and number or string.format('%0' .. ID_DIGITS .. 'd', number)
end

local function all_digits(numbers)
  local ids = {}
  for i, number in ipairs(numbers) do ids[i] = digits(number) end
  return ids
end

-- Calls `body` with the words, in pieces that are not too long for one command.
local function each_piece(words, body)
  for first = 1, #words, WORDS_MAX do
    body(first, unpack(words, first, math.min(first + WORDS_MAX - 1, #words)))
  end
end

-- A hash on the server, as far as it has been read. The value false means that the field does not exist.

local Hash = {}
Hash.__index = Hash

function Hash.new(name)
  return setmetatable({name = name, values = {}, changed = {}}, Hash)
end

-- Reads fields with one command.
function Hash:read(fields)
  local values = self.values
  each_piece(fields, function(first, ...)
    for i, value in ipairs(call('HMGET', key(self.name), ...)) do
      local field = fields[first + i - 1]
      if values[field] == nil then values[field] = value end  -- a change of this call is newer than the server's value
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

-- The prelude has the functions that pack and unpack a record (`StoredRecord` in `wire.py`). Layout 1 had fewer fields, and
-- therefore a list with a head of one byte.
local FIRST_OF_LIST_OF_14, FIELDS_OF_LAYOUT_1 = 158, 14

-- Returns how many fields a packed record has, and the offset of the first one.
local function fields_of(packed)
  if string.byte(packed) == FIRST_OF_LIST_OF_14 then return FIELDS_OF_LAYOUT_1, 1 end
  return PACKED.fields, #PACKED.head
end

local NUMBER_MAX = 2 ^ 53

local function is_number(value)
  return type(value) == 'number' and value > -NUMBER_MAX and value < NUMBER_MAX
end

local function is_whole_number(value)
  return is_number(value) and value % 1 == 0
end

local function is_time(value)
  return value >= 0 and value < LIMIT.time_end
end

-- Returns whether bytes are UTF-8, because the texts of a reply must be.
local function is_text(bytes)
  if not string.find(bytes, '[\128-\255]') then return true end
  if string.find(bytes, '\224[\128-\159]') or string.find(bytes, '\237[\160-\191]')
    or string.find(bytes, '\240[\128-\143]') or string.find(bytes, '\244[\144-\191]') then return false end
  bytes = string.gsub(bytes, '[\194-\223][\128-\191]', ' ')
  bytes = string.gsub(bytes, '[\224-\239][\128-\191][\128-\191]', ' ')
  bytes = string.gsub(bytes, '[\240-\244][\128-\191][\128-\191][\128-\191]', ' ')
  return not string.find(bytes, '[\128-\255]')
end

local function is_word(value)
  return type(value) == 'string' and is_text(value)
end

local function are_attempts(attempts)
  if type(attempts) ~= 'table' then return false end
  for _, attempt in ipairs(attempts) do
    if not (is_time(attempt[ATTEMPT.started_at]) and is_time(attempt[ATTEMPT.ended_at])) then return false end
  end
  return true
end

local are_rare_facts

do

local function are_limit_keys(keys)
  if type(keys) ~= 'table' then return false end
  for _, one in ipairs(keys) do
    if type(one) ~= 'table' or not (is_word(one[1]) and is_word(one[2])) then return false end
  end
  return true
end

local function are_targets(targets)
  local count = 0
  for _, target in pairs(targets) do
    if not is_word(target) then return false end
    count = count + 1
  end
  return count > 0 and count == #targets
end

local function are_brought(rare)
  if not is_word(rare.handler) or not next(rare.brings) then return false end
  for outcome, targets in pairs(rare.brings) do
    if not (OUTCOME[outcome] and are_targets(targets)) then return false end
  end
  return true
end

-- Facts that few tasks have: `crashes`, the number of starts that the loss of the node cut off; and `brings`, the targets of
-- each outcome, with the `handler` of the task; `limit_keys`; and `retry_of`, the number of the task that it repeats
-- (`StoredRare` in `rare.py`).
function are_rare_facts(rare)
  return not rare or type(rare) == 'table' and is_whole_number(rare.crashes) and rare.crashes >= 0
    and (not rare.brings or are_brought(rare)) and (not rare.limit_keys or are_limit_keys(rare.limit_keys))
    and (not rare.retry_of or is_whole_number(rare.retry_of) and rare.retry_of >= 0)
end

end

-- Returns the record if it is valid: each field has the type that all verbs rely on. Otherwise it returns nil or raises an
-- error, because it is called by `pcall` and comparing a value of another type raises one. Most types are checked by such
-- comparisons: a call of `type` per field would cost more than all the rest of this function.
local function read_record(id, packed)
  local r = unpack_record(id, packed, fields_of(packed))
  r.rare, r.task_bytes = r.rare or false, r.task_bytes or 0  -- layout 1 had neither
  local keep_failed = r.keep_failed or 0
  local keep, token, follows, task_bytes = r.keep, r.token, r.follows, r.task_bytes
  if STATE[r.state] and ON_CRASH[r.on_crash] and r.name >= '' and r.node >= '' and r.ending >= ''  -- or an error
    and r.priority >= -LIMIT.priority_max and r.priority <= LIMIT.priority_max and r.priority % 1 == 0
    and is_time(r.submitted_at) and is_time(r.at)
    and keep > -NUMBER_MAX and keep < NUMBER_MAX and keep_failed > -NUMBER_MAX and keep_failed < NUMBER_MAX and token > -NUMBER_MAX and token < NUMBER_MAX and token % 1 == 0
    and follows > -NUMBER_MAX and follows < NUMBER_MAX and follows % 1 == 0
    and task_bytes > -NUMBER_MAX and task_bytes < NUMBER_MAX and task_bytes % 1 == 0
    and (r.supersedes == true or r.supersedes == false) and (r.cancelled == true or r.cancelled == false)
    and are_attempts(r.attempts) and are_rare_facts(r.rare) and (r.handler == nil or is_word(r.handler)) then
    return r
  end
end

local function is_id(id)
  return #id == ID_DIGITS and string.find(id, '^%d+$') ~= nil
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

-- Reads the packed records of ids with one command, and calls `body` for each.
local function each_packed(ids, body)
  each_piece(ids, function(first, ...)
    for i, packed in ipairs(call('HMGET', key('record'), ...)) do body(ids[first + i - 1], packed) end
  end)
end

-- Reads records into memory.
local function read_records(ids)
  each_packed(ids, learn)
end

local function find(number)
  local id = digits(number)
  if records[id] == nil then learn(id, call('HGET', key('record'), id)) end
  return records[id]
end

local function holds_name(record)
  return record and record.state ~= STATE.following and record.state ~= STATE.finished
end

-- Removes the entry of a hash that names a record to which the entry does not apply.
local function remove_field(hash, field, id)
  hash:set(field, false)
  notice_damage('`' .. hash.name .. '` has an entry for task ' .. id .. ' that does not apply', {field = field, id = id})
end

local function holder_of(name)
  local id = names:get(name)
  if not id then return id end
  local record = find(id)  -- damage can leave a name with a task that does not hold it
  if holds_name(record) and record.name == name then return record end
  remove_field(names, name, id)
  return false
end

local function follower_of(record)
  local id = following:get(record.id)
  if not id then return id end
  local follower = find(id)
  if follower and follower.state == STATE.following and follower.follows == record.number then return follower end
  remove_field(following, record.id, id)
  return false
end

-- Returns a copy of a record with some fields changed.
local function with(record, differences)
  return setmetatable(differences, {__index = record})
end

local function crashes_of(record)
  return record.rare and record.rare.crashes or 0
end

-- Returns the outcome of a finished task, or nil if its ending cannot be read. A node writes the outcome first.
function Endings.outcome_of(record)
  local outcome = record.outcome or string.match(record.ending, '^{"outcome":"([%l_]+)"')
  if outcome then return outcome end
  local readable, fields = pcall(cjson.decode, record.ending)
  return readable and type(fields) == 'table' and fields.outcome or nil
end

-- Returns the part of history of a finished record: the name of its index.
function Endings.part_of(record)
  return Endings.outcome_of(record) == OUTCOME.succeeded and 'history' or 'failures'
end

-- Returns when a finished record can no longer be read.
function Endings.expires_at(record)
  local keep = record.keep
  if record.keep_failed and Endings.part_of(record) == 'failures' then keep = record.keep_failed end
  return record.at + keep
end

-- Returns rare facts with another number of crashes, or false if there are none.
local function with_crashes(rare, crashes)
  local old = rare or {}
  if crashes == 0 and not (old.brings or old.limit_keys or old.retry_of) then return false end
  return {crashes = crashes, handler = old.handler, brings = old.brings, limit_keys = old.limit_keys, retry_of = old.retry_of}
end

-- Returns a task to show in the place of a submitted task that is lost.
local function nameless(record)
  notice_damage('task ' .. record.id .. ' has a record, but the submitted task is missing', {name = record.name})
  return cjson.encode({name = record.name})
end

local function row(record)
  return list_row(record, record.task or tasks:get(record.id) or nameless(record))
end

local function told(record)
  changes[#changes + 1] = row(record)
end

function Lanes.pending()
  return call('ZCARD', key('pending')) + (Lanes.is_used() and call('ZCARD', key('laned')) or 0)
end

local function waiting()
  return Lanes.pending() + call('ZCARD', key('later'))
end
