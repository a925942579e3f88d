-- Upgrade: converts a queue of layout 1 to this layout, some records per call. The queue is sealed meanwhile, and an
-- interrupted upgrade is continued by the next call. No node may use the queue. `meta` becomes `head`; a `meta` with only the
-- layout stays, so that programs of layout 1 refuse the queue. Layouts 2 to 4 only lack keys, rare facts and the
-- handler of a record: they get the number of this one.
--
--   head       hash    converting: the position; converted_bytes: the bytes of history so far

local CONVERTING = 'its stored form is being converted: start a node of the newer version to complete the conversion'

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
local function convert(id, packed, task)
  records[id] = nil
  learn(id, packed)
  local record = records[id] and repaired(records[id], task)
  if not record then return 0 end
  local packed_now = pack_record(with(record, {attempts = bounded_attempts(record.attempts),
    ending = bounded_ending(record.ending), task_bytes = #(record.task or task)}))
  order('HSET', 'record', id, packed_now)
  return record.state == STATE.finished and #packed_now + #(record.task or task) or 0
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

local function finish_upgrade()
  call('HSET', key('head'), 'history_bytes', number_in_head('converted_bytes', 0))
  call('HDEL', key('head'), 'converting', 'converted_bytes', 'sealed')
  seal_as_marked()
  call('HSET', key('head'), 'layout', LAYOUT)
end

-- Converts some records. Returns whether there is more to do.
local function upgrade_step()
  local at = call('HGET', key('head'), 'converting')
  if not at then return false end
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
  if next_cursor == '0' then finish_upgrade() end
  return next_cursor ~= '0'
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
  if layout == '2' or layout == '3' or layout == '4' then
    return function()
      call('HSET', key('meta'), 'layout', LAYOUT)
      call('HSET', key('head'), 'layout', LAYOUT)
    end
  end
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
