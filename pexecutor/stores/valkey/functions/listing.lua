-- Listing: one section after the other, each entered after a place (`order`, `number`).

-- Returns the first ids of two lists of ids and scores, by score.
local function merged(one, other, limit)
  local ids, i, j = {}, 1, 1
  while #ids < limit and (one[i] or other[j]) do
    if one[i] and not (other[j] and tonumber(other[j + 1]) < tonumber(one[i + 1])) then
      ids[#ids + 1], i = one[i], i + 2
    else
      ids[#ids + 1], j = other[j], j + 2
    end
  end
  return ids
end

local function pending_after(order, number, limit)
  local first = order and '(' .. string.format('%.0f', (LIMIT.priority_max + order) * LIMIT.task_number_end + number) or '-inf'
  local function read(name, ...)
    return call('ZRANGE', key(name), first, '+inf', 'BYSCORE', 'LIMIT', 0, limit, ...)
  end
  if not Lanes.is_used() then return read('pending') end
  return merged(read('pending', 'WITHSCORES'), read('laned', 'WITHSCORES'), limit)
end

local function scheduled_after(order, number, limit)
  local first = order and '(' .. string.format('%.0f', number) or '-inf'
  return call('ZRANGE', key('later'), first, '+inf', 'BYSCORE', 'LIMIT', 0, limit)
end

-- Tasks of one claim have the same start time. The server sorts these by number.
local function running_after(order, number, limit)
  if not order then return call('ZRANGE', key('running'), 0, limit - 1) end
  local place = string.format('%.0f', order)
  local together = call('ZRANGE', key('running'), place, place, 'BYSCORE')
  local numbers = {}
  for _, other in ipairs(together) do
    if tonumber(other) > number then numbers[#numbers + 1] = other end
  end
  for _, other in ipairs(call('ZRANGE', key('running'), '(' .. place, '+inf', 'BYSCORE', 'LIMIT', 0, limit)) do
    numbers[#numbers + 1] = other
  end
  return numbers
end

local function finished_after(order, number, limit)
  local first = order and '(' .. string.format('%.0f', number) or '+inf'
  return call('ZRANGE', key('history'), first, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, limit)
end

local SECTIONS = {
  {state = STATE.scheduled, index = 'later', after = scheduled_after},
  {state = STATE.pending, index = 'pending', after = pending_after},
  {state = STATE.running, index = 'running', after = running_after},
  {state = STATE.finished, index = 'history', after = finished_after},
}

local function shown_state(record)
  return record.state == STATE.following and STATE.scheduled or record.state
end

-- Returns the section of a record, and its two sort keys there.
local function place_of(record)
  local state = shown_state(record)
  if state == STATE.pending then return state, -record.priority, record.number end
  if state == STATE.running then return state, math.floor(record.at * 1e6), record.number end
  if state == STATE.finished then
    return state, 0, math.floor(tonumber(call('ZSCORE', key('history'), record.id) or 0))
  end
  return state, 0, record.number
end

local function is_after(record, order, number)
  if not order then return true end
  local state, its_order, its_number = place_of(record)
  if state == STATE.finished then return its_number < number end  -- the latest ending comes first
  return its_order > order or its_order == order and its_number > number
end

-- Returns the records of one name. At most one task holds it and one follows, so only history is scanned.
local function of_name(name, section, order, number, limit)
  local records = {}
  if section.state == STATE.finished then
    each_of(section.index, section.after(order, number, -1), function(record)
      if record.name == name and #records < limit then records[#records + 1] = record end
    end)
    return records
  end
  local holder = holder_of(name)
  for _, record in ipairs({holder, holder and follower_of(holder) or nil}) do
    if record and shown_state(record) == section.state and is_after(record, order, number) then
      records[#records + 1] = record
    end
  end
  return records
end

local function of_all(section, order, number, limit)
  local records
  repeat  -- again if invalid entries were removed: valid ones may come after them
    records = {}
    local dropped = each_of(section.index, section.after(order, number, limit), function(record)
      if #records < limit then records[#records + 1] = record end
    end)
  until dropped == 0
  return records
end

-- Returns at most `limit` rows, and the place of the last row if more follow.
verb('page', function(state, name, limit, from, order, number)
  local rows, last = {}, false
  local entered = from == ''
  for _, section in ipairs(SECTIONS) do
    local first_order, first_number = false, 0
    if section.state == from then entered, first_order, first_number = true, order, number end
    if entered and (state == '' or state == section.state) then
      local most = limit + 1 - #rows
      local records = name == '' and of_all(section, first_order, first_number, most)
        or of_name(name, section, first_order, first_number, most)
      for _, record in ipairs(records) do
        if #rows == limit then
          local last_state, last_order, last_number = place_of(last)
          return LIST.page{rows = rows, last = LIST.place{state = last_state, order = last_order, number = last_number}}
        end
        rows[#rows + 1], last = row(record), record
      end
    end
  end
  return LIST.page{rows = rows, last = false}
end)
