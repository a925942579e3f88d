-- Deliveries: the notifications that endings and skipped occurrences bring, until their receivers have them. The step that
-- records an ending makes its deliveries: `put` reports each ending to `Deliveries.bring`, and `write` stores what it brings.
--
--   delivery            hash   number -> target, times, attempts and notice, MessagePack (`StoredDelivery` in
--                              `delivery_rows.py`)
--   deliveries          zset   the numbers, by the time at which the deliveries were made
--   deliveries:targets  zset   the target and number of each delivery, as by `target_entry`
--   deliveries:due      zset   the target, due time and number of each delivery, as by `due_entry`
--   head                hash   deliveries: how many there are; deliveries_max: the bound, which the last beat has set
--
-- The last two sorted sets give all members the same score, so the server sorts them as bytes, and each target has a range of
-- its own. The numbers of deliveries and of tasks come from one counter.

local bounded

do  -- Lua allows 200 locals at once, and the parts that follow use `Deliveries` and `bounded` alone

local DROPPED_MAX = 500        -- how many deliveries a step drops besides as many as it makes
local TIME_DIGITS = 18         -- microseconds of every time
local SCORE = 0

-- Texts

local function is_continuation(byte)
  return byte and byte >= 128 and byte < 192
end

local function characters_of(text)
  local _, continuations = string.gsub(text, '[\128-\191]', '')
  return #text - continuations
end

-- Returns a text, shortened to its beginning and its end if it is longer than an error may be.
function bounded(text)
  if not text or #text <= LIMIT.error_bytes_max then return text end
  local gap = string.format(TEXT.middle_omitted, characters_of(text))
  local half = math.floor((LIMIT.error_bytes_max - #gap) / 2)
  local first, last = half, #text - half + 1
  while is_continuation(string.byte(text, first + 1)) do first = first - 1 end
  while is_continuation(string.byte(text, last)) do last = last + 1 end
  return string.sub(text, 1, first) .. gap .. string.sub(text, last)
end

local function in_digits(microseconds)
  return string.format('%0' .. TIME_DIGITS .. '.0f', microseconds)
end

-- Returns the beginning of the entries of a target. It begins with the target's length, so that no two targets share it.
local function head_of(target)
  return string.format('%05d:', #target) .. target
end

local function target_entry(delivery)
  return head_of(delivery.target) .. delivery.id
end

local function due_entry(delivery)
  return head_of(delivery.target) .. in_digits(delivery.due_at * 1e6) .. delivery.id
end

local function id_in(entry)
  return string.sub(entry, -ID_DIGITS)
end

-- Returns the public id of a task with this number.
local function task_id(number)
  Deliveries.tag = Deliveries.tag or number_in_head('tag', 0)
  return string.format('%06x-%.0f', Deliveries.tag, number)
end

-- Reading

local function are_words(notice, ...)
  for _, name in ipairs({...}) do
    if not is_word(notice[name]) then return false end
  end
  return true
end

local function is_notice(notice)
  if notice.type == NOTICE.ended then
    return are_words(notice, 'task_id', 'name', 'handler') and OUTCOME[notice.outcome]
      and is_time(notice.submitted_at) and is_time(notice.finished_at)
      and (notice.started_at == nil or is_time(notice.started_at)) and (notice.error == nil or is_word(notice.error))
  end
  return notice.type == NOTICE.skipped and are_words(notice, 'schedule', 'name', 'handler') and SKIP[notice.reason]
    and is_time(notice.at) and (notice.holder_id == nil or is_word(notice.holder_id))
end

-- Returns a delivery if it is valid. Otherwise it returns nil or raises an error, so it is called by `pcall`.
local function read_delivery(id, packed)
  local delivery = NAMED.stored_delivery(cmsgpack.unpack(packed))
  if is_id(id) and is_word(delivery.target) and is_time(delivery.made_at) and is_time(delivery.due_at)
    and is_whole_number(delivery.attempts) and delivery.attempts >= 0 and is_notice(delivery.notice) then
    delivery.id, delivery.number = id, tonumber(id)
    return delivery
  end
end

-- Returns the delivery if it can be used, or sets it aside. Mending removes its entries from the indexes.
local function usable(id, packed)
  local readable, delivery = pcall(read_delivery, id, packed)
  if readable and delivery then return delivery end
  notice_damage('delivery ' .. id .. ' cannot be read', {id = id, delivery = packed})
  order('HDEL', 'delivery', id)
  order('ZREM', 'deliveries', id)
  Deliveries.changed = true
end

-- Returns the delivery with this id, or nil.
local function find_delivery(id)
  local packed = call('HGET', key('delivery'), id)
  return packed and usable(id, packed) or nil
end

local function drop_entry_of(index, entry)
  if call('ZREM', key(index), entry) == 1 then
    notice_damage('`' .. index .. '` has an entry that is not the one of a delivery', {entry = entry})
  end
end

-- Returns the deliveries to which entries of an index belong, and how many of the entries belong to none and were dropped.
local function belonging(index, entries, entry_of)
  local found, dropped = {}, 0
  for _, entry in ipairs(entries) do
    local delivery = find_delivery(id_in(entry))
    if delivery and entry_of(delivery) == entry then
      found[#found + 1] = delivery
    else
      drop_entry_of(index, entry)
      dropped = dropped + 1
    end
  end
  return found, dropped
end

-- Returns the first deliveries in a range of an index. It reads again if entries were dropped: valid ones may follow.
local function first_in(index, from, to, limit, entry_of)
  repeat
    local found, dropped = belonging(index, call('ZRANGE', key(index), from, to, 'BYLEX', 'LIMIT', 0, limit), entry_of)
    if dropped == 0 then return found end
  until false
end

local function id_of(delivery)
  return delivery.id
end

-- Returns the deliveries that were made first, at most `limit`, and until a time if there is one.
local function oldest(limit, made_at)
  repeat
    local ids = call('ZRANGE', key('deliveries'), '-inf', made_at or '+inf', 'BYSCORE', 'LIMIT', 0, limit)
    local found, dropped = belonging('deliveries', ids, id_of)
    if dropped == 0 then return found end
  until false
end

-- Changing

local function store(delivery)
  order('HSET', 'delivery', delivery.id, cmsgpack.pack(LIST.stored_delivery(delivery)))
  order('ZADD', 'deliveries', delivery.made_at, delivery.id)
  order('ZADD', 'deliveries:targets', SCORE, target_entry(delivery))
  order('ZADD', 'deliveries:due', SCORE, due_entry(delivery))
  Deliveries.changed = true
end

local function remove(delivery)
  order('HDEL', 'delivery', delivery.id)
  order('ZREM', 'deliveries', delivery.id)
  order('ZREM', 'deliveries:targets', target_entry(delivery))
  order('ZREM', 'deliveries:due', due_entry(delivery))
  Deliveries.changed = true
end

-- Stores a delivery with another due time.
local function postpone(delivery, seconds, attempts)
  order('ZREM', 'deliveries:due', due_entry(delivery))
  delivery.due_at, delivery.attempts = now + seconds, attempts
  store(delivery)
end

-- Making

-- Begins a call.
function Deliveries.begin()
  Deliveries.count, Deliveries.made, Deliveries.dropped, Deliveries.tag = 0, 0, {}, nil
end

function Deliveries.begin_writing()
  Deliveries.new, Deliveries.changed = {}, false
end

local function add(targets, notice)
  for _, target in ipairs(targets) do Deliveries.new[#Deliveries.new + 1] = {target = target, notice = notice} end
end

-- Returns how many deliveries the end of a record makes at most.
function Deliveries.most(record)
  local most = 0
  for _, targets in pairs(record.rare and record.rare.brings or {}) do most = math.max(most, #targets) end
  return most
end

-- Makes the deliveries that the end of a record brings.
function Deliveries.bring(record)
  local rare = record.rare
  local targets = rare and rare.brings and rare.brings[record.outcome]
  if not targets then return end
  local last = record.attempts[#record.attempts]
  add(targets, {type = NOTICE.ended, task_id = task_id(record.number), name = record.name, handler = rare.handler,
    outcome = record.outcome, submitted_at = record.submitted_at, finished_at = record.at,
    started_at = last and last[ATTEMPT.started_at], error = bounded(record.reason) or nil})
end

-- Makes the deliveries of a step on a schedule that has recorded a new skip.
function Deliveries.skip(step, occurrence)
  if #step.targets == 0 then return end
  local readable, definition = pcall(cjson.decode, call('HGET', key('definition'), step.name) or '')
  local task, holder = readable and definition.task, occurrence[OCCURRENCE.task]
  if type(task) ~= 'table' or type(task.name) ~= 'string' then return end  -- a node that reads it sets it aside
  if type(holder) == 'number' then holder = task_id(holder) end
  add(step.targets, {type = NOTICE.skipped, schedule = step.name, name = task.name, handler = task.handler or TEXT.handler,
    reason = occurrence[OCCURRENCE.reason], at = occurrence[OCCURRENCE.at], holder_id = holder ~= TEXT.no_task and holder or nil})
end

-- Returns the number before the first of some new numbers.
local function draw_numbers(count)
  if number_in_head('acceptances', 0) == 0 then restore_numbers() end
  return call('HINCRBY', key('head'), 'acceptances', count) - count
end

-- Stores new deliveries, with all other changes of a step.
function Deliveries.order_new()
  local new = Deliveries.new
  if #new == 0 then return end
  local last = draw_numbers(#new)
  for i, delivery in ipairs(new) do
    delivery.id, delivery.made_at, delivery.due_at, delivery.attempts = digits(last + i), now, now, 0
    store(delivery)
  end
  Deliveries.made = Deliveries.made + #new
end

-- Keeps the bound after a step has changed deliveries, and counts them. Returns whether there is more to write.
function Deliveries.settle(changed, made)
  if not changed then return false end
  local count = call('HLEN', key('delivery'))
  local over = math.min(count - number_in_head('deliveries_max', LIMIT.deliveries_max), made + DROPPED_MAX)
  for _, delivery in ipairs(over > 0 and oldest(over) or {}) do
    remove(delivery)
    Deliveries.dropped[#Deliveries.dropped + 1] = LIST.delivery(delivery)
    count = count - 1
  end
  Deliveries.count = count
  call('HSET', key('head'), 'deliveries', count)
  return over > 0
end

local function listed(deliveries)
  local rows = {}
  for i, delivery in ipairs(deliveries) do rows[i] = LIST.delivery(delivery) end
  return rows
end

-- Verbs

-- Returns the delivery of a target that is due first, until a time if there is one; or nil.
local function next_due(target, until_when)
  local head = head_of(target)
  local to = '(' .. head .. (until_when and in_digits(until_when * 1e6 + 1) or ':')
  return first_in('deliveries:due', '[' .. head .. '0', to, 1, due_entry)[1]
end

verb('take_deliveries', function(id, targets, seconds)
  return once(id, function()
    local taken, next_due_at = {}, math.huge
    for _, target in ipairs(targets) do
      local delivery = next_due(target, now)
      if delivery then
        postpone(delivery, seconds, delivery.attempts)
        taken[#taken + 1] = LIST.delivery(delivery)
      end
    end
    write()
    for _, target in ipairs(targets) do
      local delivery = next_due(target)
      if delivery then next_due_at = math.min(next_due_at, delivery.due_at) end
    end
    return LIST.deliveries{at = now, rows = taken, next_at = next_due_at < math.huge and next_due_at or NONE.due}
  end)
end)

verb('put_off_delivery', function(id, number, seconds)
  return once(id, function()
    local delivery = find_delivery(digits(number))
    if delivery then postpone(delivery, seconds, delivery.attempts + 1) end
    return delivery and true or false
  end)
end)

verb('end_deliveries', function(numbers)
  for _, number in ipairs(numbers) do
    local delivery = find_delivery(digits(number))
    if delivery then remove(delivery) end
  end
  return true
end)

verb('end_old_deliveries', function(id, limit, seconds_max)
  return once(id, function()
    local ended = oldest(limit, now - seconds_max)
    for _, delivery in ipairs(ended) do remove(delivery) end
    write()
    local _, made_at = unpack(call('ZRANGE', key('deliveries'), 0, 0, 'WITHSCORES'))
    return LIST.deliveries{at = now, rows = listed(ended), next_at = made_at and tonumber(made_at) + seconds_max or NONE.due}
  end)
end)

verb('page_deliveries', function(target, limit, after)
  local head = head_of(target)
  return listed(first_in('deliveries:targets', '(' .. head .. digits(after), '(' .. head .. ':', limit, target_entry))
end)

-- Moves (`delivery_moves.lua`)

-- Returns the rows of some deliveries, the oldest first, from a place on.
function Deliveries.listed(first, most)
  return listed(belonging('deliveries', call('ZRANGE', key('deliveries'), first, first + most - 1), id_of))
end

-- Stores a delivery unchanged. Returns false if its number is that of another one.
function Deliveries.arrive(delivery)
  delivery.id = digits(delivery.number)
  if call('HEXISTS', key('delivery'), delivery.id) == 1 then return false end
  store(delivery)
  return true
end

-- Drops deliveries. Returns how many ids it got.
function Deliveries.drop(ids)
  for _, id in ipairs(ids) do
    local delivery = find_delivery(id)
    if delivery then remove(delivery) end
    call('ZREM', key('deliveries'), id)  -- also an entry without its delivery, so that no caller finds it again
  end
  return #ids
end

-- Mending: the steps for the keys of deliveries (`mending.lua`, `damage.lua`)

-- Returns whether the indexes have an entry for each delivery. While there is none, it costs nothing.
function Deliveries.are_complete()
  local count = Deliveries.count
  if count == 0 then return true end
  return call('HLEN', key('delivery')) == count and call('ZCARD', key('deliveries')) == count
    and call('ZCARD', key('deliveries:targets')) == count and call('ZCARD', key('deliveries:due')) == count
end

function Deliveries.mend(id, packed)
  local delivery = usable(id, packed)
  if delivery then store(delivery) end
end

function Deliveries.mend_age(id, made_at)
  local delivery = find_delivery(id)
  if not delivery or delivery.made_at ~= tonumber(made_at) then drop_entry_of('deliveries', id) end
end

function Deliveries.mend_target(entry)
  belonging('deliveries:targets', {entry}, target_entry)
end

function Deliveries.mend_due(entry)
  belonging('deliveries:due', {entry}, due_entry)
end

function Deliveries.mend_count()
  Deliveries.changed = true
end

end
