-- Upgrade: converts a queue of an earlier layout to this one, some records per call. The queue is sealed meanwhile, and an
-- interrupted upgrade is continued by the next call. No node may use the queue. The new number of the layout is written last.
--
-- Layout 1: each record is converted. `meta` becomes `head`; a `meta` with only the layout stays, so that programs of layout 1
-- refuse the queue. Layouts 2 to 4 only lack keys, rare facts and the handler of a record. Up to layout 5, `history` has all
-- finished tasks: those that have not succeeded move to `failures`, with their places.
--
--   head       hash    converting: the position among the records of layout 1; converted_bytes: the bytes of history so far;
--                      parting: the place in `history` up to which tasks were moved. Programs of layout 5 do not know this
--                      field, so they do not continue the conversion: they find the queue sealed

local PARTED_BY_THIS_LAYOUT = {['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true}
local CONVERTING = 'its stored form is being converted: start a node of the newer version to complete the conversion'

local convert

do  -- Lua allows 200 locals at once, and no other part uses these

local function bounded_attempts(attempts)
  local some = {}
  for i, attempt in ipairs(attempts) do
    some[i] = LIST.attempt{started_at = attempt[ATTEMPT.started_at], ended_at = attempt[ATTEMPT.ended_at],
      outcome = attempt[ATTEMPT.outcome], error = bounded(attempt[ATTEMPT.error])}
  end
  return some
end

-- Returns an ending with a bounded error, and without a `null` that stood for a wait that is not a number.
local function bounded_ending(ending)
  ending = string.gsub(ending, ',"retry_after_seconds":null', '')
  if #ending <= LIMIT.error_bytes_max then return ending end
  local fields = cjson.decode(ending)
  if type(fields.error) ~= 'string' or #fields.error <= LIMIT.error_bytes_max then return ending end
  fields.error = bounded(fields.error)
  return cjson.encode(fields)
end

local function repaired(record, task)
  local parts = unreadable_parts(record, task)
  if #parts == 0 then return record end
  repair(record, parts)
  write()
  return find(record.id)
end

-- Converts one record. Returns how many bytes it takes in history.
function convert(id, packed, task)
  records[id] = nil
  learn(id, packed)
  local record = records[id] and repaired(records[id], task)
  if not record then return 0 end
  local packed_now = pack_record(with(record, {attempts = bounded_attempts(record.attempts),
    ending = bounded_ending(record.ending), task_bytes = #(record.task or task)}))
  order('HSET', 'record', id, packed_now)
  return record.state == STATE.finished and #packed_now + #(record.task or task) or 0
end

end

local function begin_upgrade()
  check_keys()
  local words = call('HGETALL', key('meta'))
  for i = 1, #words, 2 do
    if words[i] ~= 'layout' then call('HSET', key('head'), words[i], words[i + 1]) end
  end
  call('HSET', key('head'), 'sealed', CONVERTING, 'converting', '0', 'converted_bytes', 0)
  call('DEL', key('meta'))
  call('HSET', key('meta'), 'layout', LAYOUT)
end

local begin_parting, part_step

do  -- Lua allows 200 locals at once, and no other part uses the others

function begin_parting()
  call('HSET', key('head'), 'sealed', CONVERTING, 'parting', '-inf')
end

local function finish_parting()
  call('HDEL', key('head'), 'parting', 'sealed')
  seal_as_marked()
  call('HSET', key('meta'), 'layout', LAYOUT)
  call('HSET', key('head'), 'layout', LAYOUT)
end

-- Moves some records to their part of history.
function part_step(at)
  local words = call('ZRANGE', key('history'), at, '+inf', 'BYSCORE', 'LIMIT', 0, MENDED_AT_ONCE_MAX, 'WITHSCORES')
  if #words == 0 then return finish_parting() end
  local ids = {}
  for i = 1, #words, 2 do ids[#ids + 1] = words[i] end
  read_records(ids)
  for i, id in ipairs(ids) do
    local record = records[id]
    if record and Endings.part_of(record) == 'failures' then
      order('ZREM', 'history', id)
      order('ZADD', 'failures', words[2 * i], id)
    end
  end
  write()
  call('HSET', key('head'), 'parting', '(' .. words[#words])
end

end

local function finish_converting()
  call('HSET', key('head'), 'history_bytes', number_in_head('converted_bytes', 0))
  call('HDEL', key('head'), 'converting', 'converted_bytes')
  begin_parting()
end

-- Converts some records of layout 1.
local function convert_step(at)
  local cursor = cursor_of(at)
  if cursor == '0' then call('HSET', key('head'), 'converted_bytes', 0) end
  local next_cursor, words = scanned('HSCAN', 'record', cursor)
  local ids, bytes = {}, 0
  for i = 1, #words, 2 do ids[#ids + 1] = words[i] end
  tasks:read(ids)
  for i = 1, #words, 2 do bytes = bytes + convert(words[i], words[i + 1], tasks:get(words[i])) end
  write()
  call('HINCRBY', key('head'), 'converted_bytes', bytes)
  call('HSET', key('head'), 'converting', next_cursor .. ' ' .. this_life())
  if next_cursor == '0' then finish_converting() end
end

-- Makes one step of an upgrade. Returns whether there is more to do.
local function upgrade_step()
  local converting, parting = unpack(call('HMGET', key('head'), 'converting', 'parting'))
  if converting then convert_step(converting) elseif parting then part_step(parting) end
  return call('HEXISTS', key('head'), 'converting') == 1 or call('HEXISTS', key('head'), 'parting') == 1
end

local function nodes_alive()
  local alive = {}
  for _, node in ipairs(call('ZRANGE', key('nodes'), now, '+inf', 'BYSCORE')) do
    if is_text(node) then alive[#alive + 1] = node end
  end
  return alive
end

-- Returns what begins an upgrade, or nil if the queue needs none.
local function first_step()
  local layout = call('HGET', key('head'), 'layout')
  local is_begun = call('HEXISTS', key('head'), 'parting') == 1
  if PARTED_BY_THIS_LAYOUT[layout] and not is_begun then return begin_parting end
  if not layout and call('HGET', key('meta'), 'layout') == '1' then return begin_upgrade end
end

-- Returns the living nodes, which must be stopped first, and whether there is more to do.
move_verb('upgrade', function()
  check_type('meta', 'hash')
  check_type('head', 'hash')
  local begin = first_step()
  if begin then
    local alive = nodes_alive()
    if #alive > 0 then return LIST.upgrade_step{nodes = alive, more = true} end
    begin()
  end
  return LIST.upgrade_step{nodes = {}, more = upgrade_step()}
end)
