-- Damage: keys and entries can be lost (by a server that evicts keys) or changed by other programs. An entry that cannot be
-- used is set aside and noted in `damaged`; everything else continues. Its traces in other keys are removed by `mending.lua`.

local INDEXES = {'pending', 'laned', 'later', 'due', 'running', 'crashed', 'history', 'failures', 'expiry'}
-- The states of the records that belong in an index.
local BELONGS = {
  pending = {[STATE.pending] = true},
  laned = {[STATE.pending] = true},
  later = {[STATE.scheduled] = true, [STATE.following] = true},
  due = {[STATE.scheduled] = true},
  running = {[STATE.running] = true},
  crashed = {[STATE.scheduled] = true, [STATE.following] = true, [STATE.pending] = true, [STATE.running] = true},
  history = {[STATE.finished] = true},
  failures = {[STATE.finished] = true},
  expiry = {[STATE.finished] = true},
}

local function number_in_head(field, default)
  local number = tonumber(call('HGET', key('head'), field) or default)
  return is_number(number) and number or default
end

local function unpack_list(packed)
  local readable, list = pcall(cmsgpack.unpack, packed)
  return readable and type(list) == 'table' and list or nil
end

-- Returns the list that was stored under a key with `SET`, or nil.
local function read_packed(name)
  local readable, packed = pcall(call, 'GET', key(name))
  if not readable then call('DEL', key(name)) end
  return readable and packed and unpack_list(packed) or nil
end

-- Notes

do

local DAMAGED_MAX = 1000       -- how many notes are kept
local NOTED_BYTES_MAX = 8192   -- how many bytes of each value a note keeps
local DAMAGES_MAX = 20         -- how many notes one call reports; all of them are counted

local function printable(bytes)
  return (string.gsub(string.sub(bytes, 1, NOTED_BYTES_MAX), '[^\32-\126]', function(byte)
    return string.format('\\x%02x', string.byte(byte))
  end))
end

function mend_soon()
  -- If mending is under way already, it is repeated afterwards: the damage may be in a part that it has passed.
  if call('HSETNX', key('head'), 'mending', 'keys') == 0 then call('HSET', key('head'), 'mend_again', '1') end
  mending = true
end

function notice_damage(what, found)
  what = printable(what)
  local note = {at = now, what = what}
  for name, value in pairs(found or {}) do note[name] = value and printable(tostring(value)) or nil end
  local text = cjson.encode(note)
  if not pcall(call, 'LPUSH', key('damaged'), text) then
    call('DEL', key('damaged'))
    call('LPUSH', key('damaged'), text)
  end
  call('LTRIM', key('damaged'), 0, DAMAGED_MAX - 1)
  damaged = call('HINCRBY', key('head'), 'damaged', 1)
  if #damages < DAMAGES_MAX then damages[#damages + 1] = what end
  mend_soon()
end

end

-- Returns the name in a submitted task, or nil.
local function submitted_name(task)
  local readable, submitted = pcall(cjson.decode, task or '')
  local name = readable and type(submitted) == 'table' and submitted.name
  return type(name) == 'string' and name or nil
end

-- Removes everything that is stored under an id; `packed` is its record, or false if there is none.
function set_aside(id, packed, why)
  records[id], aside[id] = false, true
  local task = call('HGET', key('task'), id)
  notice_damage(why, {id = id, record = packed, task = task})
  for _, index in ipairs(INDEXES) do call('ZREM', key(index), id) end
  call('HDEL', key('record'), id)
  call('HDEL', key('task'), id)
  call('HDEL', key('following'), id)
  following.values[id] = false
  local name = submitted_name(task)
  if name and call('HGET', key('names'), name) == id then
    call('HDEL', key('names'), name)
    names.values[name] = false
  end
end

-- Removes an entry from an index where it does not belong. Entries that this call has changed are skipped: their index is
-- only updated by `write`.
local OTHER = {pending = 'laned', history = 'failures'}  -- these tasks are in one of two indexes, and listed from both

local function drop_entry(index, id)
  if before[id] ~= nil then return 0 end
  local dropped = call('ZREM', key(index), id)
  if OTHER[index] then dropped = math.max(dropped, call('ZREM', key(OTHER[index]), id)) end
  if aside[id] then return 1 end
  local record = records[id]
  if record then
    notice_damage('`' .. index .. '` has task ' .. id .. ', which is ' .. record.state, {id = id})
  else
    set_aside(id, false, '`' .. index .. '` has task ' .. id .. ', which has no record')
  end
  return dropped
end

-- Calls `body` with each record that an index names. Returns how many entries did not belong there and were removed.
local function each_of(index, ids, body)
  local dropped = 0
  read_records(ids)
  for _, id in ipairs(ids) do
    local record = find(id)
    if record and BELONGS[index][record.state] then
      body(record)
    else
      dropped = dropped + drop_entry(index, id)
    end
  end
  return dropped
end

-- Returns what is needed of a finished record in a part of history to drop it; nil if it was set aside.
local function remains_of(part, id, packed)
  local readable, remains = pcall(unpack_remains, id, packed, fields_of(packed))
  if readable and remains.state == STATE.finished and is_whole_number(remains.task_bytes) then
    remains.part = part
    return remains
  end
  learn(id, packed)
  drop_entry(part, id)
end

-- Cheap checks

-- Returns whether fewer names are held than there are tasks that hold a name. If so, nothing is accepted or started until
-- the names are restored, because two tasks of one name might run. If other keys lack entries too, the result is a false alarm
-- rather than a missed one.
local function are_names_missing()
  local holders = call('HLEN', key('record')) - call('ZCARD', key('expiry')) - call('HLEN', key('following'))
  return call('HLEN', key('names')) < holders
end

-- Returns whether the keys have consistent numbers of entries. This detects every missing entry, but no changed value.
local function are_complete()
  local pending, later, due = Lanes.pending(), call('ZCARD', key('later')), call('ZCARD', key('due'))
  local running, ended, kept = call('ZCARD', key('running')), call('ZCARD', key('expiry')), call('HLEN', key('record'))
  local nodes, schedules = call('ZCARD', key('nodes')), call('HLEN', key('schedule'))
  return kept == pending + later + running + ended and call('HLEN', key('task')) == kept
    and call('HLEN', key('names')) == pending + running + due and call('HLEN', key('following')) == later - due
    and call('ZCARD', key('history')) + call('ZCARD', key('failures')) <= ended
    and call('HLEN', key('node')) == nodes and call('HLEN', key('leases')) == nodes
    and call('HLEN', key('definition')) == schedules and call('ZCARD', key('schedules')) == schedules
    and call('ZCARD', key('upcoming')) == schedules and Deliveries.are_complete()
end
