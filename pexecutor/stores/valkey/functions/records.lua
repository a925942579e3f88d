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
  tell_of_room()
  return find(record.number)
end

verb('cancel', function(number, id)
  return once(id, function() return found(find_kept(number), cancel) end)
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
