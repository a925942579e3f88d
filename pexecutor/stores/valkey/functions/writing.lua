-- Writing: all changes of records are sent to the server at once, after a verb has decided everything.

-- A record first leaves its old index and then enters its new one, so removals come first.
local COMMANDS = {'ZREM', 'HDEL', 'ZADD', 'HSET'}

local before                   -- id -> the record as the server has it, for changed records; false for new ones
local touched                  -- the ids of changed records, in the order of their first changes
local ends                     -- the changed records that have ended, in the order of their ends
local orders                   -- command -> key -> its arguments

local NEW_LISTS = {__index = function(lists, name)
  lists[name] = {}
  return lists[name]
end}

local function begin_writing()
  before, touched, ends = {}, {}, {}
  orders = {}
  Deliveries.begin_writing()
  Lanes.begin_writing()
  for _, command in ipairs(COMMANDS) do orders[command] = setmetatable({}, NEW_LISTS) end
end

local function open_book()
  records, names, following, tasks = {}, Hash.new('names'), Hash.new('following'), Hash.new('task')
  begin_writing()
end

local function hold_name(old, record)
  local held = holds_name(old)
  if holds_name(record) then
    if not held then names:set(record.name, record.id) end
  elseif held then
    names:set(old.name, false)
  end
end

local function follow(old, record)
  if old and old.state == STATE.following and following:get(digits(old.follows)) == old.id then
    following:set(digits(old.follows), false)
  end
  if record and record.state == STATE.following then following:set(digits(record.follows), record.id) end
end

-- Replaces the record `old` (false: a new task) by `record` (false: the task is dropped).
local function put(old, record)
  local id = (record or old).id
  if before[id] == nil then
    before[id] = old
    touched[#touched + 1] = id
  end
  records[id] = record
  hold_name(old, record)
  follow(old, record)
  if record and record.rare and record.rare.limit_keys then Lanes.use() end
  if record and record.state == STATE.finished then
    ends[#ends + 1] = record
    if old and old.state ~= STATE.finished then Deliveries.bring(record) end
  end
end

local function change(old, differences)
  local record = with(old, differences)
  put(old, record)
  told(record)
  return record
end

-- Orders

local function order(command, name, first, second)
  local words = orders[command][name]
  local count = #words
  words[count + 1] = first
  if second ~= nil then words[count + 2] = second end
end

-- Returns the bytes that a record counts for in history: params, errors, attempts, results, output and the rest of it.
local function bytes_of(record)
  return record and record.state == STATE.finished and record.packed_bytes + record.task_bytes or 0
end

local put_in, write

do  -- Lua allows 200 locals at once, and no other part uses the others

function Lanes.place(record)
  return (LIMIT.priority_max - record.priority) * LIMIT.task_number_end + record.number
end

local function take_out(old, id)
  local state = old.state
  if crashes_of(old) > 0 then
    order('ZREM', 'crashed', id)
    if state == STATE.running then tell(MESSAGE.work) end  -- other tasks with a crash may have waited until this one ended
  end
  if state == STATE.pending then
    Lanes.leave(old, id)
  elseif state == STATE.running then
    order('ZREM', 'running', id)
    Lanes.free_slots(old, id)
  elseif state == STATE.scheduled then
    order('ZREM', 'later', id)
    order('ZREM', 'due', id)
  elseif state == STATE.following then
    order('ZREM', 'later', id)
  else
    if old.part ~= 'failures' then order('ZREM', 'history', id) end
    if old.part ~= 'history' then order('ZREM', 'failures', id) end
    order('ZREM', 'expiry', id)
  end
end

-- Adds a record to the indexes of its state. The place of a finished one in history is assigned by `enter_history`.
function put_in(record, id)
  local state = record.state
  if crashes_of(record) > 0 and state ~= STATE.finished then order('ZADD', 'crashed', record.number, id) end
  if state == STATE.pending then
    Lanes.enter(record, id, Lanes.place(record))
  elseif state == STATE.running then
    order('ZADD', 'running', math.floor(record.at * 1e6), id)
    Lanes.take_slots(record, id)
  elseif state == STATE.scheduled then
    order('ZADD', 'later', record.number, id)
    order('ZADD', 'due', record.at, id)
  elseif state == STATE.following then
    order('ZADD', 'later', record.number, id)
  else
    order('ZADD', 'expiry', Endings.expires_at(record), id)
  end
end

local function order_record(old, record, id)
  if old then take_out(old, id) end
  if record then
    put_in(record, id)
    local packed = pack_record(record)
    order('HSET', 'record', id, packed)
    if record.task then order('HSET', 'task', id, record.task) end
    return #packed
  end
  order('HDEL', 'record', id)
  order('HDEL', 'task', id)
  return 0
end

local function order_fields(hash)
  for field in pairs(hash.changed) do
    local value = hash.values[field]
    order(value and 'HSET' or 'HDEL', hash.name, field, value or nil)
  end
  hash.changed = {}
end

local function enter_history()
  if #ends == 0 then return end
  local place = call('HINCRBY', key('head'), 'endings', #ends) - #ends
  for i, record in ipairs(ends) do
    order('ZADD', Endings.part_of(record), place + i, record.id)
    endings[#endings + 1] = record.id
  end
end

local function give_orders()
  for _, command in ipairs(COMMANDS) do
    for name, words in pairs(orders[command]) do
      each_piece(words, function(_, ...) call(command, key(name), ...) end)
    end
  end
end

function write()
  local bytes = 0
  for _, id in ipairs(touched) do
    local old, record = before[id], records[id]
    bytes = bytes - bytes_of(old)
    local packed_bytes = order_record(old, record, id)
    if record and record.state == STATE.finished then bytes = bytes + packed_bytes + record.task_bytes end
  end
  if bytes ~= 0 then call('HINCRBY', key('head'), 'history_bytes', bytes) end
  enter_history()
  order_fields(names)
  order_fields(following)
  Deliveries.order_new()
  give_orders()
  Lanes.settle()
  local changed, made = Deliveries.changed, #Deliveries.new
  begin_writing()
  if Deliveries.settle(changed, made) then
    give_orders()
    begin_writing()
  end
end

end
