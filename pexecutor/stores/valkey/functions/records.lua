-- Single tasks

-- Returns the row of a record and the state in which it was found, before `act` changed it. If there is no record, it returns
-- how many tasks were accepted so far instead, which distinguishes an expired id from an unknown one.
local function found(record, act)
  if not record then return LIST.found{row = false, state_or_acceptances = number_in_head('acceptances', 0)} end
  local state = record.state
  return LIST.found{row = row(act and act(record) or record), state_or_acceptances = state}
end

local function find_kept(number)
  local record = find(number)
  return record and is_kept(record) and record
end

verb('get', function(number, lingering)
  return found(lingering and find(number) or find_kept(number))
end)

local function cancel(record)
  if record.state == STATE.finished then return record end
  if record.state == STATE.running then
    put(record, with(record, {cancelled = true}))
    tell_to_cancel(record)
    return record
  end
  end_as(record, OUTCOME.cancelled, false)
  return find(record.number)
end

verb('cancel', function(number, id)
  return once(id, function()
    return found(find_kept(number), function(record)
      local cancelled = cancel(record)
      tell_of_room()
      return cancelled
    end)
  end)
end)

-- Gives a waiting task another priority, unless it is false, and another time if there is a `text`. The text is the submitted
-- task with the new time. It replaces the text `seen`; if the task has another one by now, nothing changes.
local function change_waiting(record, priority, due_at, seen, text)
  if record.state == STATE.finished or record.state == STATE.running then return record end
  local differences = {priority = priority or record.priority}
  if text then
    if tasks:get(record.id) ~= seen then return record end
    differences.at, differences.task, differences.task_bytes = due_at, text, #text
    if record.state ~= STATE.following then differences.state = due_at > now and STATE.scheduled or STATE.pending end
    tell(MESSAGE.work)  -- other nodes may sleep until a later time
  end
  return change(record, differences)
end

verb('change_waiting', function(number, ...)
  local arguments = {...}
  return found(find_kept(number), function(record) return change_waiting(record, unpack(arguments)) end)
end)

-- Many tasks

-- Returns how many records and deliveries a cancel changes: the task, its follower, and what it brings.
local function changes_of_cancel(record)
  local brings = record.rare and record.rare.brings
  local targets = record.state ~= STATE.running and brings and brings[OUTCOME.cancelled] or {}
  local has_follower = record.state ~= STATE.running and record.state ~= STATE.following and follower_of(record)
  return 1 + (has_follower and 1 or 0) + #targets
end

local function one_change()
  return 1
end

-- Calls `act` with the records of tasks in one of some states, as many as one step may change. `changes_of` returns how many
-- records and deliveries an action changes. Returns for each task, until the first one that does not fit: false if it is in
-- another state, true if the latest change of its record is its result, or else its row.
local function act_on(numbers, states, changes_of, act)
  local results, bytes, ids = {}, 0, all_digits(numbers)
  read_records(ids)
  following:read(ids)
  for i, id in ipairs(ids) do
    local record = find(id)
    if not (record and states[record.state]) then
      results[i] = false
    else
      local changed = changes_so_far()
      local fits = changed + changes_of(record) <= LIMIT.changes_max and bytes < LIMIT.step_bytes_max
      if changed > 0 and not fits then return results end
      bytes = bytes + record.packed_bytes + record.task_bytes
      results[i] = act(record)
    end
  end
  return results
end

local WAITING = {[STATE.scheduled] = true, [STATE.following] = true, [STATE.pending] = true}
local IN_FLIGHT = {[STATE.running] = true, [STATE.scheduled] = true, [STATE.following] = true, [STATE.pending] = true}

verb('cancel_many', function(numbers, id)
  return once(id, function()
    local results = act_on(numbers, IN_FLIGHT, changes_of_cancel, function(record)
      return record.state == STATE.running and row(cancel(record)) or cancel(record) and true
    end)
    tell_of_room()
    return results
  end)
end)

verb('change_many', function(numbers, priority)
  return act_on(numbers, WAITING, one_change, function(record)
    change_waiting(record, priority)
    return true
  end)
end)
