-- Listing: the records that a filter matches (`find.py`), one section after the other, each entered after a place (`order`,
-- `number`). A call examines a bounded number of records and bytes, because the server does nothing else meanwhile.

local READ_AT_ONCE = 100       -- how many records a page reads with one command

-- Entries

-- Returns the first ids and scores of two such lists. The lower score comes first, or the higher one if `is_descending`.
local function merged(one, other, limit, is_descending)
  local words, i, j = {}, 1, 1
  while #words < 2 * limit and (one[i] or other[j]) do
    local from_other = other[j] and (not one[i] or (tonumber(other[j + 1]) < tonumber(one[i + 1])) ~= is_descending)
    if from_other then
      words[#words + 1], words[#words + 2], j = other[j], other[j + 1], j + 2
    else
      words[#words + 1], words[#words + 2], i = one[i], one[i + 1], i + 2
    end
  end
  return words
end

local function exclusive(score)
  return '(' .. string.format('%.0f', score)
end

local function upwards(name, first, limit)
  return call('ZRANGE', key(name), first, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
end

local function downwards(name, first, limit)
  return call('ZRANGE', key(name), first, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, limit, 'WITHSCORES')
end

local function scheduled_after(order, number, limit)
  return upwards('later', order and exclusive(number) or '-inf', limit)
end

local function pending_after(order, number, limit)
  local first = order and exclusive((LIMIT.priority_max + order) * LIMIT.task_number_end + number) or '-inf'
  if not Lanes.is_used() then return upwards('pending', first, limit) end
  return merged(upwards('pending', first, limit), upwards('laned', first, limit), limit, false)
end

-- Tasks of one claim have the same start time. The server sorts these by number.
local function running_after(order, number, limit)
  if not order then return call('ZRANGE', key('running'), 0, limit - 1, 'WITHSCORES') end
  local place, words = string.format('%.0f', order), {}
  for _, id in ipairs(call('ZRANGE', key('running'), place, place, 'BYSCORE')) do
    if tonumber(id) > number and #words < 2 * limit then words[#words + 1], words[#words + 2] = id, place end
  end
  for _, word in ipairs(upwards('running', exclusive(order), limit)) do
    if #words < 2 * limit then words[#words + 1] = word end
  end
  return words
end

local function finished_after(order, number, limit, filter)
  local first = order and exclusive(number) or '+inf'
  local function read(part) return downwards(part, first, limit) end
  if filter.outcome then return read(filter.outcome == OUTCOME.succeeded and 'history' or 'failures') end
  return merged(read('history'), read('failures'), limit, true)
end

local function number_place(_, score)
  return 0, math.ceil(score)
end

local function pending_place(_, score)
  local rank = math.floor(score / LIMIT.task_number_end)
  return rank - LIMIT.priority_max, math.ceil(score - rank * LIMIT.task_number_end)
end

local function running_place(id, score)
  return math.floor(score), tonumber(id)
end

local function finished_place(_, score)
  return 0, math.floor(score)
end

-- `after` returns ids and scores after a place, and `place` the place of an id with its score.
local SECTIONS = {
  {state = STATE.scheduled, index = 'later', after = scheduled_after, place = number_place},
  {state = STATE.pending, index = 'pending', after = pending_after, place = pending_place},
  {state = STATE.running, index = 'running', after = running_after, place = running_place},
  {state = STATE.finished, index = 'history', after = finished_after, place = finished_place},
}

-- Returns the score of a record in the index of its section.
local function score_of(record)
  if record.state == STATE.pending then return Lanes.place(record) end
  if record.state == STATE.running then return math.floor(record.at * 1e6) end
  return record.number
end

-- Returns the section of a task in flight that has one name. At most one task holds it and one follows.
local function in_flight(section, name)
  local words, holder = {}, holder_of(name)
  for _, record in ipairs({holder or nil, holder and follower_of(holder) or nil}) do
    local state = record.state == STATE.following and STATE.scheduled or record.state
    if state == section.state then words[#words + 1], words[#words + 2] = record.id, score_of(record) end
  end
  return function(order, number)
    local after = {}
    for i = 1, #words, 2 do
      local its_order, its_number = section.place(words[i], words[i + 1])
      if not order or its_order > order or its_order == order and its_number > number then
        after[#after + 1], after[#after + 2] = words[i], words[i + 1]
      end
    end
    return after
  end
end

-- Filters. A filter is a table with the criteria of `FilterArguments`; one that is nil matches every record.

local function has_tags(record, tags)
  local text = record.task or tasks:get(record.id)
  if not text then return false end
  for _, tag in ipairs(tags) do
    if not string.find(text, tag.json, 1, true) then return false end  -- quicker than decoding
  end
  local readable, submitted = pcall(cjson.decode, text)
  local found = {}
  for _, tag in ipairs(readable and submitted.tags or {}) do found[tag] = true end
  for _, tag in ipairs(tags) do
    if not found[tag.text] then return false end
  end
  return true
end

-- Returns the error of a finished task, '' if it has none. A node writes `error` second and `retryable` third, and then the
-- rest, which can be long, is not decoded.
local function error_of(record)
  local ending = record.ending
  if string.find(ending, '^{"outcome":"[%l_]+","error":null') then return '' end
  local _, first = string.find(ending, '^{"outcome":"[%l_]+","error":"')
  local last = first and string.find(ending, '","retryable":', first, true)
  local text = last and string.sub(ending, first, last)  -- with its quotes
  if text and not string.find(text, '\\', 1, true) then return string.sub(text, 2, -2) end
  local readable, fields = pcall(cjson.decode, text and '{"error":' .. text .. '}' or ending)
  return readable and type(fields) == 'table' and type(fields.error) == 'string' and fields.error or ''
end

local function matches_ending(filter, record)
  return (not filter.outcome or Endings.outcome_of(record) == filter.outcome)
    and (not filter.finished_since or record.at >= filter.finished_since)
    and (not filter.error or string.find(error_of(record), filter.error, 1, true) ~= nil)
end

local function matches(filter, record)
  return (not filter.handler or Lanes.handler_of(record) == filter.handler)
    and (not filter.name or record.name == filter.name)
    and (not filter.name_prefix or string.sub(record.name, 1, #filter.name_prefix) == filter.name_prefix)
    and (not filter.since or record.submitted_at >= filter.since)
    and (not filter.before or record.submitted_at < filter.before)
    and (not filter.number_max or record.number <= filter.number_max)
    and (not filter.tags or has_tags(record, filter.tags))
    and (record.state ~= STATE.finished or matches_ending(filter, record))
end

-- Pages

local Listing = {}
Listing.__index = Listing

function Listing:is_cut()
  return self.examined >= LIMIT.page_examined_max or self.bytes >= LIMIT.page_bytes_max
end

-- Returns whether a record can be listed. It reads only some fields, which is quicker than to read the record and check all
-- of it, and it can raise an error, so it is called by `pcall`. An entry that does not belong in its index is not passed over.
local function is_wanted(listing, section, id, packed)
  local record = PACKED.facts(id, packed, fields_of(packed))
  if listing.filter.tags then listing.bytes = listing.bytes + (record.task_bytes or 0) end
  return not BELONGS[section.index][record.state] or matches(listing.filter, record)
end

-- Returns the record of an entry if it matches. Removes an entry that does not belong in its index.
function Listing:match(section, id, packed)
  self.bytes = self.bytes + #(packed or '')
  if self.filters then
    local readable, wanted = pcall(is_wanted, self, section, id, packed)
    if readable and not wanted then return nil end
  end
  learn(id, packed)
  local record = find(id)
  if record and BELONGS[section.index][record.state] then return record end
  drop_entry(section.index, id)
end

-- Returns how many entries to read next.
function Listing:at_once()
  return self.filters and READ_AT_ONCE or math.min(READ_AT_ONCE, self.limit + 1 - #self.rows)
end

local function read_packed_of(ids)
  local packed = {}
  each_packed(ids, function(_, one) packed[#packed + 1] = one end)
  return packed
end

-- Lists the records of a section after a place. Returns true if the page ends there and others may follow.
function Listing:read(section, order, number)
  local after = section.after
  if self.filter.name and section.state ~= STATE.finished then after = in_flight(section, self.filter.name) end
  repeat
    local at_once = self:at_once()
    local words, ids = after(order, number, at_once, self.filter), {}
    for i = 1, #words, 2 do ids[#ids + 1] = words[i] end
    if self:is_cut() and #ids > 0 then return true end
    local packed = read_packed_of(ids)
    if self.filter.tags or not self.filters then tasks:read(ids) end
    for i, id in ipairs(ids) do
      if self:is_cut() then return true end
      local record = self:match(section, id, packed[i])
      if record and #self.rows == self.limit then return true end
      if record then
        self.rows[#self.rows + 1] = row(record)
        self.bytes = self.bytes + record.task_bytes
      end
      order, number = section.place(id, tonumber(words[2 * i]))
      self.examined, self.state, self.order, self.number = self.examined + 1, section.state, order, number
    end
  until #ids < at_once
  return false
end

-- Returns the rows of at most `limit` records in some states that a filter matches, after a place of the section `from` if that
-- is not ''. If others may follow, it returns the place of the last record that it has examined.
verb('page', function(states, filter, limit, from, order, number)
  local listing = setmetatable({filter = filter, limit = limit, rows = {}, examined = 0, bytes = 0}, Listing)
  listing.filters = next(filter) ~= nil
  local entered, is_cut = from == '', false
  local wanted = {}
  for _, state in ipairs(states) do wanted[state] = true end
  for _, section in ipairs(SECTIONS) do
    local is_first = section.state == from
    entered = entered or is_first
    if entered and wanted[section.state] and not is_cut then
      is_cut = listing:read(section, is_first and order, is_first and number)
    end
  end
  return LIST.page{rows = listing.rows, last = is_cut and LIST.place(listing), acceptances = number_in_head('acceptances', 0)}
end)
