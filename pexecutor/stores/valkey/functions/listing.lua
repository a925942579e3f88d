-- Listing: one section after the other, each entered after a place (`order`, `number`).

local function pending_after(order, number, limit)
  local first = order and '(' .. string.format('%.0f', (PRIORITY_MAX + order) * STEP + number) or '-inf'
  return call('ZRANGE', key('pending'), first, '+inf', 'BYSCORE', 'LIMIT', 0, limit)
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
  {state = 'scheduled', index = 'later', after = scheduled_after},
  {state = 'pending', index = 'pending', after = pending_after},
  {state = 'running', index = 'running', after = running_after},
  {state = 'finished', index = 'history', after = finished_after},
}

local function shown_state(record)
  return record.state == 'following' and 'scheduled' or record.state
end

local function place_of(record)
  if record.state == 'pending' then return {'pending', -record.priority, record.number} end
  if record.state == 'running' then return {'running', math.floor(record.at * 1e6), record.number} end
  if record.state == 'finished' then
    return {'finished', 0, math.floor(tonumber(call('ZSCORE', key('history'), record.id) or 0))}
  end
  return {'scheduled', 0, record.number}
end

local function is_after(record, order, number)
  if not order then return true end
  local place = place_of(record)
  if place[1] == 'finished' then return place[3] < number end
  return place[2] > order or place[2] == order and place[3] > number
end

-- Returns the records of one name. At most one task holds it and one follows, so only history is scanned.
local function of_name(name, section, order, number, limit)
  local records = {}
  if section.state == 'finished' then
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
        if #rows == limit then return {rows, place_of(last)} end
        rows[#rows + 1], last = row(record), record
      end
    end
  end
  return {rows, false}
end)
