-- Lanes and slots: which pending tasks may start beside the running ones (`limits.py`). They are kept once the queue uses a limit
-- or a pause, or has a task of a handler that a node does not know. Until then, pending tasks are in `pending` alone. When the last
-- limit or pause is removed, or else at the end of mending, they are no longer kept if no task is in a lane.
--
--   head       hash    limits: exists if lanes and slots are kept
--   limits     hash    limit:NAME, handler:NAME -> number;  pause:NAME -> since and by, MessagePack; no name: everything
--   slots      zset    slot and id of each key of each running task; all have one score, so they are sorted as bytes
--   laned      zset    pending tasks that are in lanes, by start order
--   keyed:H    zset    those of the handler H that have limit keys, by start order
--   lane:L     zset    the tasks of the lane L, by start order
--   lanes:H    zset    'L' and an open lane, or 'Q' and an open queue, of the handler H, by the place of the first task
--   queue:Q    zset    the lanes that wait for a slot of one key, by the place of the first task
--   queues     set     all queues                     waits     hash   lane -> the queue in which it waits
--   handlers   set     the handlers that have lanes
--
-- A *slot* is written as the limit and the value, each after its length; a lane as its slots, that of the handler first; and a
-- queue as its handler and its slot. A lane is open, or in a queue whose key had no free slot when a claim looked at it. When
-- the key gets a free slot, its queues are opened. A claim closes a queue again when it finds that the key has none.

do  -- Lua allows 200 locals at once, and no other part uses these

local LANES_READ = 64          -- how many entries of an index a claim reads at once
local SCORE = 0

local function headed(text)
  return string.format('%05d:', #text) .. text
end

-- Returns the texts that `headed` has put into one.
local function parts_of(text)
  local parts = {}
  while text ~= '' do
    local length = tonumber(string.sub(text, 1, 5)) or #text
    parts[#parts + 1], text = string.sub(text, 7, 6 + length), string.sub(text, 7 + length)
  end
  return parts
end

local function slot_of(limit, value)
  return headed(limit) .. headed(value)
end

local function handler_slot(handler)
  return slot_of('', handler)
end

-- Returns the handler of a task. Records of earlier layouts do not have it.
function Lanes.handler_of(record)
  if not record.handler then
    local readable, submitted = pcall(cjson.decode, record.task or tasks:get(record.id) or '')
    local handler = readable and type(submitted) == 'table' and submitted.handler
    record.handler = type(handler) == 'string' and handler or TEXT.handler
  end
  return record.handler
end

local function limit_keys_of(record)
  return record.rare and record.rare.limit_keys or {}
end

Lanes.handler_slot = handler_slot

function Lanes.slots_of(record)
  local slots = {handler_slot(Lanes.handler_of(record))}
  for _, one in ipairs(limit_keys_of(record)) do slots[#slots + 1] = slot_of(one[1], one[2]) end
  return slots
end

local function lane_of(record)
  return table.concat(Lanes.slots_of(record))
end

local function plain_lane(handler)
  return handler_slot(handler)
end

-- Returns the handler of a lane, and its slots without that of the handler.
local function read_lane(lane)
  local parts, slots = parts_of(lane), {}
  for i = 3, #parts - 1, 2 do slots[#slots + 1] = slot_of(parts[i], parts[i + 1]) end
  return parts[2] or '', slots
end

-- Returns the number of slots in use of a key, and the ids of some tasks that use them.
local function range_of(slot)
  return '[' .. slot .. '0', '(' .. slot .. ':'
end

function Lanes.in_use(slot)
  return call('ZLEXCOUNT', key('slots'), range_of(slot))
end

function Lanes.users(slot, most)
  local from, to = range_of(slot)
  local ids = {}
  for i, entry in ipairs(call('ZRANGE', key('slots'), from, to, 'BYLEX', 'LIMIT', 0, most)) do
    ids[i] = string.sub(entry, -ID_DIGITS)
  end
  return ids
end

-- Settings

function Lanes.pause_of(packed)
  local since, by = unpack(unpack_list(packed) or {})
  return is_number(since) and is_time(since) and is_word(by) and {since = since, by = by} or nil
end

-- Returns the value of a setting if it is valid: a number, or a pause.
local function read_setting(kind, name, value)
  if not (name and is_text(name)) then return nil end
  if kind == 'pause' then return Lanes.pause_of(value) end
  local number = (kind == 'limit' or kind == 'handler') and tonumber(value)
  return number and is_whole_number(number) and number >= 1 and number or nil
end

-- Returns the numbers and the pauses: kind -> name -> value. One that is not valid is set aside.
function Lanes.settings()
  local found = {limit = {}, handler = {}, pause = {}}
  if not Lanes.is_used() then return found end
  local words = call('HGETALL', key('limits'))
  for i = 1, #words, 2 do
    local kind, name = string.match(words[i], '^(%a+):(.*)$')
    local value = read_setting(kind, name, words[i + 1])
    if value then
      found[kind][name] = value
    else
      call('HDEL', key('limits'), words[i])
      notice_damage('a limit or pause cannot be read', {limit = words[i], value = words[i + 1]})
    end
  end
  return found
end

-- Returns the number of a slot's key, or nil.
function Lanes.number_of(settings, slot)
  local limit, value = unpack(parts_of(slot))
  if limit == '' then return settings.handler[value] end
  return settings.limit[limit]
end

-- Indexes

-- Begins a call.
function Lanes.begin()
  Lanes.used = nil
end

function Lanes.begin_writing()
  Lanes.touched, Lanes.freed = {}, {}
end

function Lanes.is_used()
  if Lanes.used == nil then Lanes.used = call('HGET', key('head'), 'limits') and true or false end
  return Lanes.used
end

-- Begins to keep lanes and slots.
function Lanes.use()
  if Lanes.is_used() then return end
  Lanes.used = true
  call('HSET', key('head'), 'limits', '1')
  each_of('running', call('ZRANGE', key('running'), 0, -1), function(record)
    for _, slot in ipairs(Lanes.slots_of(record)) do call('ZADD', key('slots'), SCORE, slot .. record.id) end
  end)
end

-- Ends keeping lanes and slots if nothing needs them: there is no setting, and no task is in a lane. `use` begins anew.
function Lanes.end_use()
  if not Lanes.is_used() or call('HLEN', key('limits')) > 0 or call('ZCARD', key('laned')) > 0 then return end
  Lanes.used = false
  call('HDEL', key('head'), 'limits')
  call('DEL', key('slots'))
end

-- Adds a running record to the slots.
function Lanes.take_slots(record, id)
  if not Lanes.is_used() then return end
  for _, slot in ipairs(Lanes.slots_of(record)) do order('ZADD', 'slots', SCORE, slot .. id) end
end

function Lanes.free_slots(record, id)
  if not Lanes.is_used() then return end
  for _, slot in ipairs(Lanes.slots_of(record)) do
    order('ZREM', 'slots', slot .. id)
    Lanes.freed[slot] = true
  end
end

-- Opens the queues of a task's slots later, because a claim has reckoned with its start, but it could not be started.
function Lanes.leave_slots_free(record)
  for _, slot in ipairs(Lanes.slots_of(record)) do Lanes.freed[slot] = true end
end

-- Adds a pending record to its lane, or to `pending` if there are no lanes.
function Lanes.enter(record, id, place)
  if not Lanes.is_used() then return order('ZADD', 'pending', place, id) end
  local lane = lane_of(record)
  order('ZREM', 'pending', id)
  order('ZADD', 'laned', place, id)
  order('ZADD', 'lane:' .. lane, place, id)
  if #limit_keys_of(record) > 0 then order('ZADD', 'keyed:' .. Lanes.handler_of(record), place, id) end
  Lanes.touched[lane] = true
end

function Lanes.leave(record, id)
  order('ZREM', 'pending', id)
  if not Lanes.is_used() then return end
  local lane = lane_of(record)
  order('ZREM', 'laned', id)
  order('ZREM', 'lane:' .. lane, id)
  if #limit_keys_of(record) > 0 then order('ZREM', 'keyed:' .. Lanes.handler_of(record), id) end
  Lanes.touched[lane] = true
end

-- Returns the first entry of a sorted set, and its score.
local function first_of(name)
  return unpack(call('ZRANGE', key(name), 0, 0, 'WITHSCORES'))
end

-- Puts a queue at its place. `opened` is true or false to open or close it, or nil to leave it as it is.
local function settle_queue(queue, opened)
  local index, entry = key('lanes:' .. (parts_of(queue)[1] or '')), 'Q' .. queue
  local lane, place = first_of('queue:' .. queue)
  if not lane then call('SREM', key('queues'), queue) end
  if not lane or opened == false then
    call('ZREM', index, entry)
  elseif opened then
    call('ZADD', index, place, entry)
  else
    call('ZADD', index, 'XX', place, entry)
  end
end

local function leave_queue(lane, queue)
  call('HDEL', key('waits'), lane)
  call('ZREM', key('queue:' .. queue), lane)
  settle_queue(queue)
end

local function enter_queue(lane, queue, place)
  call('HSET', key('waits'), lane, queue)
  call('ZADD', key('queue:' .. queue), place, lane)
  call('SADD', key('queues'), queue)
  settle_queue(queue)
end

-- Puts a lane at its place. `slot` is the slot for which it waits, or false to open it, or nil to leave it as it is.
local function settle_lane(lane, slot)
  local handler, slots = read_lane(lane)
  local first, place = first_of('lane:' .. lane)
  local waits = #slots > 0 and call('HGET', key('waits'), lane)
  local queue = slot and headed(handler) .. slot or slot == nil and waits
  if waits and (not first or waits ~= queue) then leave_queue(lane, waits) end
  if not first or queue then call('ZREM', key('lanes:' .. handler), 'L' .. lane) end
  if not first then return end
  if queue then return enter_queue(lane, queue, place) end
  if call('ZADD', key('lanes:' .. handler), place, 'L' .. lane) == 1 then call('SADD', key('handlers'), handler) end
end

local function open_all(queues)
  each_piece(queues, function(first, ...)
    for i, is_there in ipairs(call('SMISMEMBER', key('queues'), ...)) do
      if is_there == 1 then settle_queue(queues[first + i - 1], true) end
    end
  end)
end

-- Opens the queues of slots that are free again.
local function open_freed(freed)
  if not next(freed) or call('ZCARD', key('laned')) == 0 then return end
  local queues = {}
  for _, handler in ipairs(call('SMEMBERS', key('handlers'))) do
    for slot in pairs(freed) do queues[#queues + 1] = headed(handler) .. slot end
  end
  open_all(queues)
  tell(MESSAGE.work)
end

-- Brings the lanes up to date after records were written.
function Lanes.settle()
  local touched, freed = Lanes.touched, Lanes.freed
  Lanes.begin_writing()
  for lane in pairs(touched) do settle_lane(lane) end
  open_freed(freed)
end

-- Opens the queues of limits whose numbers have changed. No lane waits in a queue for the slot of its handler.
function Lanes.open_queues(limits)
  if not next(limits) then return end
  for _, queue in ipairs(call('SMEMBERS', key('queues'))) do
    local _, limit = unpack(parts_of(queue))
    if limits[limit] then settle_queue(queue, true) end
  end
end

-- Claim

-- Moves the first tasks from `pending` into lanes; they are from the time before there were lanes. Returns the place of the
-- last one, if others may follow it.
local function move_into_lanes()
  local ids = call('ZRANGE', key('pending'), 0, LIMIT.changes_max - 1)
  if #ids == 0 then return math.huge end
  local last
  each_of('pending', ids, function(record)
    last = Lanes.place(record)
    Lanes.enter(record, record.id, last)
  end)
  write()
  return #ids == LIMIT.changes_max and last or math.huge
end

-- An index that a claim reads in order. `place` is the place of its next entry.
local function read_on(source)
  if source.next > #source.entries then
    if source.is_read then return false end
    source.entries = call('ZRANGE', key(source.name), source.offset, source.offset + LANES_READ - 1, 'WITHSCORES')
    source.next, source.offset, source.is_read = 1, source.offset + LANES_READ, #source.entries < 2 * LANES_READ
    if #source.entries == 0 then return false end
  end
  source.entry, source.place = source.entries[source.next], tonumber(source.entries[source.next + 1])
  source.next = source.next + 2
  return true
end

local Selection = {}
Selection.__index = Selection

-- Adds an index, or adds it again after its first entry was used.
function Selection:push(source)
  if not read_on(source) then return false end
  local sources = self.sources
  local i = #sources
  while i > 0 and sources[i].place < source.place do i = i - 1 end  -- the first one is at the end
  table.insert(sources, i + 1, source)
  return true
end

function Selection:add(kind, name, fields)
  fields.kind, fields.name, fields.entries, fields.next, fields.offset = kind, name, {}, 1, 0
  return self:push(fields)
end

function Selection:is_full(slot)
  local number = Lanes.number_of(self.settings, slot)
  if not number then return false end
  self.used[slot] = self.used[slot] or Lanes.in_use(slot)
  return self.used[slot] >= number
end

function Selection:is_open(handler)
  return (not self.known or self.known[handler]) and not self.settings.pause[handler]
    and not self:is_full(handler_slot(handler))
end

function Selection:close(queue)
  self.vain = self.vain + 1
  settle_queue(queue, false)
end

function Selection:look_at_lane(lane)
  local handler, slots = read_lane(lane)
  self.lanes[lane] = false
  self:add('lane', 'lane:' .. lane, {lane = lane, handler = handler, slots = slots})
end

local LOOK = {}

function LOOK.handler(self, source)
  local kind, rest = string.sub(source.entry, 1, 1), string.sub(source.entry, 2)
  if kind == 'L' then
    self:look_at_lane(rest)
  else
    local parts = parts_of(rest)
    local slot = slot_of(parts[2] or '', parts[3] or '')
    local is_there = self:add('queue', 'queue:' .. rest, {queue = rest, slot = slot, handler = source.handler})
    if not is_there then settle_queue(rest, false) end
  end
  self:push(source)
end

function LOOK.queue(self, source)
  if self:is_full(source.slot) then return self:close(source.queue) end
  if call('HGET', key('waits'), source.entry) == source.queue then
    self:look_at_lane(source.entry)
  else
    call('ZREM', key(source.name), source.entry)
    settle_queue(source.queue)
  end
  self:push(source)
end

function LOOK.lane(self, source)
  for _, slot in ipairs(source.slots) do
    if self:is_full(slot) then
      self.lanes[source.lane] = slot
      if not source.has_given then self.vain = self.vain + 1 end
      return
    end
  end
  local record = find(source.entry)
  if not record or record.state ~= STATE.pending or lane_of(record) ~= source.lane then
    order('ZREM', source.name, source.entry)
    Lanes.touched[source.lane] = true
  elseif self.may_start(record) then
    source.has_given = true
    self.chosen[#self.chosen + 1] = record
    for _, slot in ipairs(Lanes.slots_of(record)) do
      if self.used[slot] then self.used[slot] = self.used[slot] + 1 end
    end
  end
  self:push(source)
end

-- Returns the pending tasks that may start together, at most `limit`, in start order; and whether to look again, because this
-- call has looked at many lanes in vain. `known` has the handlers of the node, or is false. `may_start` decides about crashes.
function Lanes.choose(limit, known, may_start)
  local settings = Lanes.settings()
  if settings.pause[''] then return {}, false end
  local last = move_into_lanes()
  local self = setmetatable({settings = settings, known = known, may_start = may_start, used = {}, sources = {}, lanes = {},
    chosen = {}, vain = 0}, Selection)
  for _, handler in ipairs(call('SMEMBERS', key('handlers'))) do
    if self:is_open(handler) then self:add('handler', 'lanes:' .. handler, {handler = handler}) end
  end
  while #self.sources > 0 and #self.chosen < limit and self.vain < LIMIT.lanes_a_step_max do
    local source = table.remove(self.sources)
    if source.place > last then
      self.vain = LIMIT.lanes_a_step_max
    elseif self:is_open(source.handler) then
      LOOK[source.kind](self, source)
    end
  end
  for lane, slot in pairs(self.lanes) do settle_lane(lane, slot) end
  return self.chosen, self.vain >= LIMIT.lanes_a_step_max or #self.sources == 0 and last < math.huge
end

-- Reading

-- Returns the slots in use: slot -> number, for the keys that have a number.
function Lanes.counts(settings)
  local counted = {}
  if not Lanes.is_used() or not (next(settings.limit) or next(settings.handler)) then return counted end
  for _, entry in ipairs(call('ZRANGE', key('slots'), 0, -1)) do
    local slot = string.sub(entry, 1, -ID_DIGITS - 1)
    if Lanes.number_of(settings, slot) then counted[slot] = (counted[slot] or 0) + 1 end
  end
  return counted
end

-- Returns how many tasks of open handlers start before a pending task, and whether none of them has limit keys.
function Lanes.ahead(record, is_open)
  local before_it = string.format('(%.0f', Lanes.place(record))
  local function count(name) return call('ZCOUNT', key(name), '-inf', before_it) end
  local tasks_ahead, keyed = count('pending'), 0
  if Lanes.is_used() then
    for _, handler in ipairs(call('SMEMBERS', key('handlers'))) do
      if is_open(handler) then
        tasks_ahead = tasks_ahead + count('lane:' .. plain_lane(handler))
        keyed = keyed + count('keyed:' .. handler)
      end
    end
  end
  return tasks_ahead + keyed, keyed == 0
end

function Lanes.slot_parts(slot)
  return unpack(parts_of(slot))
end

-- Mending

-- Returns whether running tasks have no slots. If so, nothing starts until mending has restored them.
function Lanes.are_slots_missing()
  return Lanes.is_used() and call('ZCARD', key('slots')) < call('ZCARD', key('running'))
end

-- Restores the mark in `head` that lanes and slots are kept.
function Lanes.mend_mark()
  if call('HLEN', key('limits')) > 0 or call('ZCARD', key('laned')) > 0 then Lanes.use() end
end

-- Removes an entry of `slots` whose task does not run or does not have the key.
function Lanes.mend_slot(entry)
  local record = find(string.sub(entry, -ID_DIGITS))
  if record and record.state == STATE.running then
    for _, slot in ipairs(Lanes.slots_of(record)) do
      if slot .. record.id == entry then return end
    end
  end
  call('ZREM', key('slots'), entry)
  notice_damage('`slots` has an entry that is not the one of a running task', {entry = entry})
  Lanes.freed[string.sub(entry, 1, -ID_DIGITS - 1)] = true
end

-- Opens a lane that waits, so that it is found if its queue is damaged. The next claim that looks at it puts it back.
function Lanes.mend_wait(lane)
  settle_lane(lane, false)
end

end
