-- Schedules: each submits a task at its times. One call submits the task, records the occurrence and sets the next time. Nodes
-- compute the times; here they are compared with the server's clock.
--
--   schedule    hash   name -> generation, owner, pause, next time and occurrences, MessagePack (`StoredSchedule` in
--                      `schedule_rows.py`)
--   definition  hash   name -> the definition as it was put, JSON
--   schedules   zset   the names
--   upcoming    zset   the next time of each schedule and its name, as by `entry_of`; `NEVER` if it has no next time
--   head        hash   schedules_bytes: the bytes of all definitions
--
-- Both sorted sets give all members the same score, so the server sorts them as bytes, and a listing can be entered after any
-- member. A generation is a number of the counter of claims, which are skipped after a restart of the server.

local Schedules = {}

do  -- Lua allows 200 locals at once, and the parts that follow use `Schedules` alone

local TIME_DIGITS = 15         -- milliseconds of every time until `NEVER`
local NEVER = LIMIT.time_end
local SCORE = 0

local function in_digits(milliseconds)
  return string.format('%0' .. TIME_DIGITS .. '.0f', milliseconds)
end

local function entry_of(due_at, name)
  return in_digits(due_at * 1000) .. name
end

local function next_entry(name, schedule)
  return entry_of(schedule.next and schedule.next[NEXT.due_at] or NEVER, name)
end

-- Reading

local function is_occurrence(one)
  local reason, task = one[OCCURRENCE.reason], one[OCCURRENCE.task]
  return is_time(one[OCCURRENCE.at]) and is_time(one[OCCURRENCE.last_at]) and (reason == TEXT.fired or SKIP[reason])
    and is_whole_number(one[OCCURRENCE.count]) and (is_whole_number(task) or type(task) == 'string' and is_text(task))
end

-- Returns a schedule if it is valid. Otherwise it returns nil or raises an error, so it is called by `pcall`.
local function read_schedule(packed)
  local schedule = NAMED.stored_schedule(cmsgpack.unpack(packed))
  local upcoming = schedule.next
  if not (is_whole_number(schedule.generation) and OWNER[schedule.owner] and type(schedule.paused) == 'boolean') then return end
  if upcoming and not (is_time(upcoming[NEXT.at]) and is_time(upcoming[NEXT.due_at])) then return end
  for _, one in ipairs(schedule.occurrences) do
    if not is_occurrence(one) then return end
  end
  return schedule
end

local function count_bytes(bytes)
  if bytes ~= 0 then call('HINCRBY', key('head'), 'schedules_bytes', bytes) end
end

-- Removes everything that is stored under a name; `schedule` is false if it cannot be read.
function Schedules.remove(name, schedule)
  if schedule then order('ZREM', 'upcoming', next_entry(name, schedule)) end
  order('ZREM', 'schedules', name)
  count_bytes(-call('HSTRLEN', key('definition'), name))
  order('HDEL', 'schedule', name)
  order('HDEL', 'definition', name)
end

function Schedules.set_aside(name, schedule, why)
  notice_damage(why, {name = name, schedule = call('HGET', key('schedule'), name),
    definition = call('HGET', key('definition'), name)})
  Schedules.remove(name, schedule)
  write()
end

-- Returns the schedule if it can be used, or sets it aside.
local function usable(name, packed, has_definition)
  local readable, schedule = pcall(read_schedule, packed)
  schedule = readable and schedule
  if not (schedule and is_text(name)) then
    Schedules.set_aside(name, schedule, 'a schedule cannot be read')
  elseif not has_definition then
    Schedules.set_aside(name, schedule, 'a schedule has lost its definition')
  else
    return schedule
  end
end

-- Returns the schedule of this name, or nil.
function Schedules.find(name)
  local packed = call('HGET', key('schedule'), name)
  return packed and usable(name, packed, call('HEXISTS', key('definition'), name) == 1) or nil
end

-- Returns the schedules of names that can be used, and how many of the names have none.
local function find_all(found_names)
  local found = {}
  each_piece(found_names, function(first, ...)
    local packed, definitions = call('HMGET', key('schedule'), ...), call('HMGET', key('definition'), ...)
    for i = 1, select('#', ...) do
      local name = found_names[first + i - 1]
      local schedule = packed[i] and usable(name, packed[i], definitions[i])
      if schedule then
        schedule.name, schedule.definition = name, definitions[i]
        found[#found + 1] = schedule
      end
    end
  end)
  return found, #found_names - #found
end

-- Calls `read` until each entry that it finds in a sorted set belongs there. `read` returns a list, and how many entries of the
-- set it has dropped.
local function until_all_belong(read)
  repeat
    local list, dropped = read()
    write()
    if dropped == 0 then return list end
  until false
end

local function drop_name(name)
  if call('HEXISTS', key('schedule'), name) == 0 and call('ZREM', key('schedules'), name) == 1 then
    notice_damage('`schedules` has a name without a schedule', {name = name})
  end
end

local function drop_upcoming(entry)
  if call('ZREM', key('upcoming'), entry) == 1 then
    notice_damage('`upcoming` has a time that is not the next time of a schedule', {entry = entry})
  end
end

-- Returns the rows of schedules after a name, in the order of their names; '' stands for the beginning.
function Schedules.page(limit, after)
  return until_all_belong(function()
    local first = after == '' and '-' or '(' .. after
    local listed = call('ZRANGE', key('schedules'), first, '+', 'BYLEX', 'LIMIT', 0, limit)
    local found, lost = find_all(listed)
    if lost > 0 then
      for _, name in ipairs(listed) do drop_name(name) end
    end
    for i, schedule in ipairs(found) do found[i] = LIST.schedule(schedule) end
    return found, lost
  end)
end

-- Returns the rows of the schedules that are due after a place, and the first time that is not due, or `NONE.due`.
local function due_after(limit, after_at, after_name)
  local first = after_at == NONE.due and '-' or '(' .. entry_of(after_at, after_name)
  local not_due = in_digits(math.floor(now * 1000) + 1)
  local rows = until_all_belong(function()
    local entries = call('ZRANGE', key('upcoming'), first, '(' .. not_due, 'BYLEX', 'LIMIT', 0, limit)
    local names_due, found = {}, {}
    for i, entry in ipairs(entries) do names_due[i] = string.sub(entry, TIME_DIGITS + 1) end
    for _, schedule in ipairs((find_all(names_due))) do found[schedule.name] = schedule end
    local listed, dropped = {}, 0
    for i, entry in ipairs(entries) do
      local schedule = found[names_due[i]]
      if schedule and next_entry(schedule.name, schedule) == entry then
        listed[#listed + 1] = LIST.schedule(schedule)
      else
        drop_upcoming(entry)
        dropped = dropped + 1
      end
    end
    return listed, dropped
  end)
  local later = unpack(call('ZRANGE', key('upcoming'), '[' .. not_due, '(' .. in_digits(NEVER * 1000), 'BYLEX', 'LIMIT', 0, 1))
  return rows, later and tonumber(string.sub(later, 1, TIME_DIGITS)) / 1000 or NONE.due
end

-- Changing

-- Stores the new state of a schedule; `old` is the earlier one, or nil.
local function store(name, old, new)
  if old then order('ZREM', 'upcoming', next_entry(name, old)) end
  order('ZADD', 'upcoming', SCORE, next_entry(name, new))
  order('HSET', 'schedule', name, cmsgpack.pack(LIST.stored_schedule(new)))
end

-- Returns a schedule without its definition, with other values for some fields.
local function changed(schedule, generation, upcoming, occurrences)
  return {generation = generation, owner = schedule.owner, paused = schedule.paused, next = upcoming, occurrences = occurrences}
end

local function store_with_definition(new, old, generation, occurrences)
  store(new.name, old, changed(new, generation, new.next, occurrences))
  order('ZADD', 'schedules', SCORE, new.name)
  order('HSET', 'definition', new.name, new.definition)
  count_bytes(#new.definition - call('HSTRLEN', key('definition'), new.name))
end

-- Makes all later generations higher than this one.
local function skip_generation(generation)
  if number_in_head('claims', 0) < generation then call('HSET', key('head'), 'claims', generation) end
end

function Schedules.arrive(new)
  skip_generation(new.generation)
  store_with_definition(new, Schedules.find(new.name), new.generation, new.occurrences)
end

-- Returns the bound that a schedule would exceed, or nil.
local function too_many(new, old, schedules_max, bytes_max)
  if not old and call('HLEN', key('schedule')) >= schedules_max then return TOO_MANY.schedules end
  local more = #new.definition - call('HSTRLEN', key('definition'), new.name)
  if more > 0 and number_in_head('schedules_bytes', 0) + more > bytes_max then return TOO_MANY.bytes end
end

local function is_current(schedule, step)
  if not schedule or schedule.generation ~= step.generation then return false end
  local expected, upcoming = step.expected, schedule.next
  if not expected then return true end
  return upcoming and expected[NEXT.at] == upcoming[NEXT.at] and expected[NEXT.due_at] == upcoming[NEXT.due_at]
    and upcoming[NEXT.due_at] <= now
end

-- Returns the occurrences with a new one, as `recorded` in `schedules.py`.
local function recorded(occurrences, new)
  local latest, first = occurrences[1], 1
  if latest and new.reason ~= TEXT.fired and latest[OCCURRENCE.reason] == new.reason then
    new.at, new.count, first = latest[OCCURRENCE.at], latest[OCCURRENCE.count] + 1, 2
  end
  local kept = {LIST.occurrence(new)}
  for i = first, #occurrences do
    if #kept < LIMIT.occurrences_max then kept[#kept + 1] = occurrences[i] end
  end
  return kept
end

-- Records an occurrence, and sets the next time. Returns the occurrence as it is now recorded.
local function record(step, schedule, occurrence)
  local upcoming = schedule.next
  if step.expected then upcoming = step.next end
  local occurrences = recorded(schedule.occurrences, occurrence)
  store(step.name, schedule, changed(schedule, schedule.generation, upcoming, occurrences))
  local latest = occurrences[1]
  if latest[OCCURRENCE.reason] ~= TEXT.fired and latest[OCCURRENCE.count] == 1 then Deliveries.skip(step, latest) end
  return latest
end

-- Returns what to record of a step with this verdict, or nil.
local function occurrence_of(step, verdict)
  local reason
  if verdict.word == VERDICT.accepted then reason = TEXT.fired end
  if verdict.word == VERDICT.duplicate and step.expected then reason = SKIP.held end
  return reason and {at = step.at, last_at = step.at, reason = reason, count = 1, task = verdict.record.number}
end

-- Verbs

verb('time', function() return true end)

verb('get_schedule', function(name)
  local schedule = unpack((find_all({name})))
  return schedule and LIST.schedule(schedule) or false
end)

verb('page_schedules', function(limit, after) return Schedules.page(limit, after) end)

verb('due_schedules', function(limit, after_at, after_name)
  local rows, next_due_at = due_after(limit, after_at, after_name)
  return LIST.due{rows = rows, next_due_at = next_due_at}
end)

verb('put_schedule', function(id, row, schedules_max, bytes_max)
  notice_restart()
  return once(id, function()
    local new = NAMED.schedule(row)
    local old = Schedules.find(new.name)
    if new.generation ~= (old and old.generation or 0) then return false end
    if old and cmsgpack.pack(old.occurrences) ~= cmsgpack.pack(new.occurrences) then return false end
    local bound = too_many(new, old, schedules_max, bytes_max)
    if bound then return bound end
    if old then skip_generation(old.generation) end
    local generation, occurrences = next_token(), old and old.occurrences or {}
    store_with_definition(new, old, generation, occurrences)
    return LIST.put{generation = generation, occurrences = occurrences}
  end)
end, {})

verb('remove_schedule', function(id, name, generation)
  return once(id, function()
    local schedule = Schedules.find(name)
    if not schedule or schedule.generation ~= generation then return false end
    Schedules.remove(name, schedule)
    return true
  end)
end)

verb('fire_schedule', function(id, step, task, queue_size)
  notice_restart()
  local refusal = Submission.refusal()
  if refusal then return nil, refusal end
  return once(id, function()
    step = NAMED.step(step)
    local schedule = Schedules.find(step.name)
    if not is_current(schedule, step) then return false end
    local submission = Submission.new(queue_size)
    submission:decide({task})
    submission:apply()
    local verdict = unpack(submission.verdicts)
    local occurrence = occurrence_of(step, verdict)
    return LIST.firing{verdict = unpack(submission:answer()), occurrence = occurrence and record(step, schedule, occurrence) or false}
  end)
end, {})

verb('skip_schedule', function(id, step, reason)
  return once(id, function()
    step = NAMED.step(step)
    local schedule = Schedules.find(step.name)
    if not step.expected or not is_current(schedule, step) then return false end
    return record(step, schedule,
      {at = step.expected[NEXT.at], last_at = step.at, reason = reason, count = 1, task = TEXT.no_task})
  end)
end)

-- Mending: the steps for the keys of schedules (`mending.lua`)

function Schedules.mend(name, packed)
  local schedule = usable(name, packed, call('HEXISTS', key('definition'), name) == 1)
  if not schedule then return end
  skip_generation(schedule.generation)
  order('ZADD', 'upcoming', SCORE, next_entry(name, schedule))
  order('ZADD', 'schedules', SCORE, name)
end

function Schedules.mend_upcoming(entry)
  local name = string.sub(entry, TIME_DIGITS + 1)
  local schedule = Schedules.find(name)
  if not schedule or next_entry(name, schedule) ~= entry then drop_upcoming(entry) end
end

function Schedules.mend_names()
  for _, name in ipairs(call('ZRANGE', key('schedules'), 0, -1)) do drop_name(name) end
end

function Schedules.mend_definitions()
  local bytes = 0
  for _, name in ipairs(call('HKEYS', key('definition'))) do
    if call('HEXISTS', key('schedule'), name) == 0 then
      Schedules.set_aside(name, false, 'a definition has lost its schedule')
    else
      bytes = bytes + call('HSTRLEN', key('definition'), name)
    end
  end
  call('HSET', key('head'), 'schedules_bytes', bytes)
end

end
