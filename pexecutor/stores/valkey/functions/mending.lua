-- Mending: makes the indexes and the names agree with the records, some entries per call, while everything else continues. It
-- starts when a node joins, when damage was noticed, and some minutes after the last time. It ends after a whole pass in which
-- no damage was noticed.
--
--   head       hash    mending: the next part, and the position in it; mend_again: damage was noticed meanwhile;
--                      mended_at: when mending ended last

local MENDED_AT_ONCE_MAX = 500
local FOLLOWERS_MAX = 100      -- the longest chain of followers that is searched

local check_type, check_keys

do

local KEYS = {{'damaged', 'list'}, {'head', 'hash'}, {'task', 'hash'}, {'record', 'hash'}, {'names', 'hash'},
  {'following', 'hash'}, {'pending', 'zset'}, {'later', 'zset'}, {'due', 'zset'}, {'running', 'zset'}, {'crashed', 'zset'},
  {'history', 'zset'}, {'failures', 'zset'}, {'expiry', 'zset'}, {'nodes', 'zset'}, {'leases', 'hash'}, {'node', 'hash'}, {'seen', 'set'},
  {'moves', 'hash'}, {'arrivals', 'set'}, {'answers:hook', 'hash'}, {'answers:token', 'hash'}, {'answered:hook', 'zset'},
  {'answered:token', 'zset'}, {'answer_arrivals', 'set'}, {'schedule', 'hash'}, {'definition', 'hash'},
  {'schedules', 'zset'}, {'upcoming', 'zset'}, {'schedule_arrivals', 'set'}, {'delivery', 'hash'}, {'deliveries', 'zset'},
  {'deliveries:targets', 'zset'}, {'deliveries:due', 'zset'}, {'delivery_arrivals', 'set'},
  {'limits', 'hash'}, {'slots', 'zset'}, {'laned', 'zset'}, {'queues', 'set'}, {'waits', 'hash'}, {'handlers', 'set'},
  {'limit_arrivals', 'set'}}
local COUNTERS = {'acceptances', 'claims', 'endings', 'history_bytes', 'damaged', 'tag', 'answered', 'answer_bytes:hook',
  'answer_bytes:token', 'schedules_bytes', 'deliveries'}

function check_type(name, wanted)
  local found = call('TYPE', key(name)).ok
  if found == 'none' or found == wanted then return end
  call('DEL', key(name))
  notice_damage('the key `' .. name .. '` was a ' .. found .. ' instead of a ' .. wanted)
end

-- Checks that all keys have their types, and that all counters are numbers.
function check_keys()
  for _, one in ipairs(KEYS) do check_type(unpack(one)) end
  for _, node in ipairs(call('ZRANGE', key('nodes'), 0, -1)) do check_type('cancels:' .. node, 'set') end
  for _, field in ipairs(COUNTERS) do
    local value = call('HGET', key('head'), field)
    if value and not (string.find(value, '^-?%d+$') and #value <= 15) then
      call('HDEL', key('head'), field)
      notice_damage('`head` has a ' .. field .. ' that is not a whole number', {value = value})
    end
  end
end

end

-- Records

local unreadable_parts, mend_record

do  -- Lua allows 200 locals at once, and no other part uses these

-- Returns the last task of a chain in which each task follows the one before it.
local function last_follower(record)
  for _ = 1, FOLLOWERS_MAX do
    local follower = follower_of(record)
    if not follower then break end
    record = follower
  end
  return record
end

-- Makes a task whose name another task holds run after that task.
local function queue_up(record, holder)
  local tail = last_follower(holder)
  change(record, {state = STATE.following, follows = tail.number, supersedes = false, token = 0, node = '', cancelled = false})
  names:set(holder.name, holder.id)
  notice_damage('task ' .. record.id .. ' has the name of task ' .. holder.id .. ', and runs after it', {id = record.id})
end

local function settle_name(record)
  local holder = holder_of(record.name)
  if not holder then
    names:set(record.name, record.id)
  elseif holder.id ~= record.id then
    queue_up(record, holder)
  end
end

local function settle_follower(record)
  local followed = find(record.follows)
  local follower = followed and follower_of(followed)
  if follower and follower.id == record.id and followed.state ~= STATE.finished and followed.name == record.name then return end
  if followed and not follower and followed.state ~= STATE.finished and followed.name == record.name then
    following:set(followed.id, record.id)
    return
  end
  local holder = holder_of(record.name)
  if holder then return queue_up(record, holder) end
  change(record, {state = first_state(record), follows = 0, supersedes = false})
  notice_damage('task ' .. record.id .. ' followed a task that is gone, and is no longer a follower', {id = record.id})
end

local function settle_history(record)
  local part = Endings.part_of(record)
  if is_kept(record) and not call('ZSCORE', key(part), record.id) then
    order('ZADD', part, call('HINCRBY', key('head'), 'endings', 1), record.id)
  end
  if is_kept(record) or not call('ZSCORE', key('expiry'), record.id) then put_in(record, record.id) end
end

-- Makes the indexes hold a record according to its state.
local function settle(record)
  if record.state == STATE.finished then return settle_history(record) end
  if record.state == STATE.running and not call('ZSCORE', key('running'), record.id) then
    call('SREM', key('seen'), record.node)  -- the node may have lost the task meanwhile, so it must compare again
  end
  if record.state == STATE.following then settle_follower(record) else settle_name(record) end
  local settled = find(record.id)
  if settled then put_in(settled, settled.id) end
end

local function is_json(text)
  return text and is_text(text) and pcall(cjson.decode, text)
end

local function are_texts(attempts)
  for _, attempt in ipairs(attempts) do
    if type(attempt[ATTEMPT.outcome]) ~= 'string'
      or not is_text(attempt[ATTEMPT.outcome] .. (attempt[ATTEMPT.error] or '')) then return false end
  end
  return true
end

-- Returns the parts of a record that nodes cannot read.
function unreadable_parts(record, task)
  local parts = {}
  if not (is_json(task) and submitted_name(task) == record.name) then parts[#parts + 1] = PART.task end
  if not are_texts(record.attempts) then parts[#parts + 1] = PART.attempts end
  if record.state == STATE.finished and not is_json(record.ending) then parts[#parts + 1] = PART.ending end
  return parts
end

function mend_record(id, packed, task)
  records[id] = nil
  learn(id, packed)
  local record = records[id]
  if not record then return end
  local parts = unreadable_parts(record, task)
  if #parts > 0 then repair(record, parts) end
  record = find(id)
  if record then settle(record) end
end

end

-- Returns the cursor to continue with. After a restart of the server the order of the entries differs: start from 0.
local function cursor_of(at)
  local cursor, life = string.match(at, '(%d+) (%w+)$')
  return life == this_life() and cursor or '0'
end

-- Returns the cursor to continue with, and some entries of a hash or sorted set: name, value, name, value, ...
local function scanned(command, name, cursor)
  return unpack(call(command, key(name), cursor, 'COUNT', MENDED_AT_ONCE_MAX))
end

do  -- Lua allows 200 locals at once, and no other part uses these

-- Entries

local function mend_task(id)
  if not find(id) and not aside[id] then set_aside(id, false, '`task` has task ' .. id .. ', which has no record') end
end

local function mend_name(name, id)
  names.values[name] = id
  holder_of(name)
end

local function mend_following(id, follower)
  following.values[id] = follower
  local record = find(id)
  if not record or record.state == STATE.finished then
    if not aside[id] then remove_field(following, id, follower) end
  else
    follower_of(record)
  end
end

local function mend_running(record)
  if not call('ZSCORE', key('nodes'), record.node) then
    notice_damage('task ' .. record.id .. ' runs on an unknown node', {id = record.id, node = record.node})
    -- Treat it as a node with a fresh lease: if it is alive its next beat keeps the task, otherwise it is reaped.
    extend(record.node, lease_of(record.node))
    call('HSETNX', key('node'), record.node, packed_beat('', 0))
  end
end

local function mend_crashed(record)
  if crashes_of(record) == 0 then call('ZREM', key('crashed'), record.id) end
end

-- Returns the function that removes a record from a part of history if it belongs in the other one, or has an invalid place.
local function mend_place(part)
  return function(record)
    local place = tonumber(call('ZSCORE', key(part), record.id))
    if place and not (is_whole_number(place) and Endings.part_of(record) == part) then call('ZREM', key(part), record.id) end
  end
end

-- Restores missing data of nodes, and removes data of unknown ones.
local function mend_nodes()
  for _, node in ipairs(call('ZRANGE', key('nodes'), 0, -1)) do
    call('HSETNX', key('leases'), node, LIMIT.lease_seconds)
    call('ZADD', key('nodes'), 'LT', now + lease_of(node), node)
    if last_beat(node) == 0 then call('HSET', key('node'), node, packed_beat('', 0)) end
  end
  for _, name in ipairs({'node', 'leases'}) do
    for _, node in ipairs(call('HKEYS', key(name))) do
      if not call('ZSCORE', key('nodes'), node) then call('HDEL', key(name), node) end
    end
  end
end

-- The steps of mending. Each gets the cursor at which to continue, and returns the next one; '0' if it is complete.

local function mend_entries(scan, name, mend_entry)
  return function(cursor)
    local next_cursor, words = scanned(scan, name, cursor)
    for i = 1, #words, 2 do mend_entry(words[i], words[i + 1]) end
    return next_cursor
  end
end

local function mend_hash(name, mend_entry)
  return mend_entries('HSCAN', name, mend_entry)
end

local function mend_index(name, mend_entry)
  return function(cursor)
    local next_cursor, words = scanned('ZSCAN', name, cursor)
    local ids = {}
    for i = 1, #words, 2 do ids[#ids + 1] = words[i] end
    each_of(name, ids, mend_entry or function() end)
    return next_cursor
  end
end

local function mend_records(cursor)
  local next_cursor, words = scanned('HSCAN', 'record', cursor)
  local ids = {}
  for i = 1, #words, 2 do ids[#ids + 1] = words[i] end
  tasks:read(ids)
  for i = 1, #words, 2 do mend_record(words[i], words[i + 1], tasks:get(words[i])) end
  return next_cursor
end

local function once_through(body)
  return function()
    body()
    return '0'
  end
end

-- Each step is a name, as in `mending` in `head`, and a function.
local STEPS = {
  {'keys', once_through(check_keys)},
  {'mark', once_through(Lanes.mend_mark)},
  {'history', mend_index('history', mend_place('history'))},
  {'failures', mend_index('failures', mend_place('failures'))},
  {'record', mend_records},
  {'task', mend_hash('task', mend_task)},
  {'names', mend_hash('names', mend_name)},
  {'following', mend_hash('following', mend_following)},
  {'pending', mend_index('pending')},
  {'laned', mend_index('laned')},
  {'slots', mend_entries('ZSCAN', 'slots', Lanes.mend_slot)},
  {'waits', mend_hash('waits', Lanes.mend_wait)},
  {'later', mend_index('later')},
  {'due', mend_index('due')},
  {'running', mend_index('running', mend_running)},
  {'crashed', mend_index('crashed', mend_crashed)},
  {'expiry', mend_index('expiry')},
  {'nodes', once_through(mend_nodes)},
  {'schedule', mend_hash('schedule', Schedules.mend)},
  {'upcoming', mend_entries('ZSCAN', 'upcoming', Schedules.mend_upcoming)},
  {'schedules', once_through(Schedules.mend_names)},
  {'definition', once_through(Schedules.mend_definitions)},
  {'delivery', mend_hash('delivery', Deliveries.mend)},
  {'deliveries', mend_entries('ZSCAN', 'deliveries', Deliveries.mend_age)},
  {'targets', mend_entries('ZSCAN', 'deliveries:targets', Deliveries.mend_target)},
  {'dues', mend_entries('ZSCAN', 'deliveries:due', Deliveries.mend_due)},
  {'count', once_through(Deliveries.mend_count)},
}

local function finish_mending()
  Lanes.end_use()
  call('HDEL', key('head'), 'mending')
  call('HSET', key('head'), 'mended_at', now)
  mending = false
  if call('HDEL', key('head'), 'mend_again') == 1 then mend_soon() end
end

local function mend_step()
  local at = call('HGET', key('head'), 'mending') or ''
  local name, cursor = string.match(at, '^%a+'), cursor_of(at)
  for i, step in ipairs(STEPS) do
    local step_name, mend = unpack(step)
    if step_name == name then
      local next_cursor = mend(cursor)
      write()
      if next_cursor ~= '0' then
        return call('HSET', key('head'), 'mending', name .. ' ' .. next_cursor .. ' ' .. this_life())
      end
      local next_name = unpack(STEPS[i + 1] or {})
      if next_name then return call('HSET', key('head'), 'mending', next_name) end
    end
  end
  finish_mending()
end

-- Mends some entries. Returns whether there is more to do. With `at_once`, because a call of the node has failed, the types
-- of all keys are checked first, also in a queue whose tag is missing.
register('mend', function(tag, at_once)
  if at_once then
    check_keys()
    mend_soon()
  end
  local sealed, own_tag = read_head()
  if sealed then return refuse(REFUSAL.sealed, sealed) end
  local is_ours = own_tag == tag or has_its_tag_back(tag)
  if not is_ours and not at_once then return refuse_other_queue() end
  if mending and is_ours then mend_step() end
  return answer(mending and true or false)
end)

-- Repairs tasks in which a node has found unreadable parts.
verb('repair', function(found)
  for _, one in ipairs(found) do
    local number, parts = unpack(one)
    local record = find(number)
    if record then repair(record, parts) end
  end
  return true
end)

end
