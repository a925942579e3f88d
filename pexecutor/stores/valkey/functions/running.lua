-- Claim, finish, release

-- Returns a function that decides whether a pending task may be started, together with those for which it has returned true,
-- and beside the running tasks that have a crash (`crashes.py`). A task that one more crash would abandon never runs together
-- with another task that has a crash, so only the cause is abandoned.
local function crash_gate(crashed, most_crashes)
  local one_runs, trial_runs = false, false
  local function is_on_trial(record) return crashes_of(record) >= math.max(1, most_crashes - 1) end
  each_of('crashed', crashed, function(record)
    if record.state == STATE.running then one_runs, trial_runs = true, trial_runs or is_on_trial(record) end
  end)
  return function(record)
    if crashes_of(record) == 0 then return true end
    if trial_runs or one_runs and is_on_trial(record) then return false end
    one_runs, trial_runs = true, is_on_trial(record)
    return true
  end
end

local function always()
  return true
end

-- Returns the first pending tasks that may be started, at most `limit`; nil if some are of a handler that is not in `known`.
local function first_pending(limit, known, crashed, may_start)
  local ids, chosen = call('ZRANGE', key('pending'), 0, limit + #crashed - 1), {}
  if #ids == 0 then return chosen end
  tasks:read(ids)
  local are_known = true
  each_of('pending', ids, function(record)
    are_known = are_known and (not known or known[Lanes.handler_of(record)])
    if are_known and #chosen < limit and may_start(record) then chosen[#chosen + 1] = record end
  end)
  return are_known and chosen or nil
end

-- Returns the pending tasks to start, and whether another call may find more.
local function choose(limit, known)
  local crashed = call('ZCARD', key('crashed')) > 0 and call('ZRANGE', key('crashed'), 0, -1) or {}
  local function gate() return #crashed > 0 and crash_gate(crashed, crashes_max()) or always end
  local chosen = not Lanes.is_used() and first_pending(limit, known, crashed, gate())
  if chosen then return chosen, false end
  Lanes.use()
  local more
  chosen, more = Lanes.choose(limit, known, gate())
  local ids = {}
  for i, record in ipairs(chosen) do ids[i] = record.id end
  tasks:read(ids)
  return chosen, more
end

local function start(node, limit, known)
  if not call('ZSCORE', key('nodes'), node) or not nothing_unknown_runs() or are_names_missing() then return {}, false end
  if Lanes.are_slots_missing() then
    mend_soon()
    return {}, false
  end
  local chosen, more = choose(limit, known)
  local numbers = {}
  if #chosen == 0 then return numbers, more end
  local token = next_token()
  for _, record in ipairs(chosen) do
    if tasks:get(record.id) then
      put(record, with(record, {state = STATE.running, at = now, node = node, token = token}))
      numbers[#numbers + 1] = record.number
    else
      repair(record, {PART.task})
      if Lanes.is_used() then Lanes.leave_slots_free(record) end
    end
  end
  tell_of_room()
  return numbers, more
end

-- Returns the handlers that a node has sent, as a set; false if it knows any.
local function as_set(handlers)
  if not handlers then return false end
  local known = {}
  for _, handler in ipairs(handlers) do known[handler] = true end
  return known
end

-- Claims tasks. A repeated claim gets its first reply; a claim that arrives after a later one gets nothing.
verb('claim', function(node, claim, limit, handlers)
  notice_restart()
  local last, numbers = last_claim(node)
  if claim < last then return LIST.claimed{rows = {}, more = false} end
  local more = false
  if claim > last then
    numbers, more = start(node, limit, as_set(handlers))
    call('SET', key('claim:' .. node), cmsgpack.pack({claim, numbers}), 'PX', CLAIM_MS)
  end
  local rows, ids = {}, all_digits(numbers)
  tasks:read(ids)
  for _, id in ipairs(ids) do
    local record = find(id)
    if runs_on(record, node) then rows[#rows + 1] = row(record) end
  end
  return LIST.claimed{rows = rows, more = more}
end)

-- Returns the reply to a repeated `finish` whose first reply was lost, from the state in which the first call left the task.
local function finished_before(record)
  local last = record.attempts[#record.attempts]
  if record.state == STATE.finished then return LIST.retry{ended_at = record.at, due_at = NONE.retry} end
  return LIST.retry{ended_at = last and last[ATTEMPT.ended_at] or now, due_at = record.at}
end

-- Ends an attempt. `delay` is the wait before the next attempt in seconds, or below 0 if there is none. Returns when the
-- attempt ended and when the next one is due; `true` if the task has ended now; `false` if the node has lost the task.
local function finish(node, id, token, outcome, reason, ending, delay)
  local record = find(id)
  if not record or record.token ~= token then return false end
  if record.state ~= STATE.running then return finished_before(record) end
  if record.node ~= node then return false end
  if delay >= 0 and not follower_of(record) then
    put(record, with(record, {state = STATE.scheduled, at = now + delay, attempts = attempts_and(record, outcome, reason),
      node = '', cancelled = false}))
    changes[#changes + 1] = record.number
    return LIST.retry{ended_at = now, due_at = now + delay}
  end
  local finished = ended(record, outcome, reason, ending)
  finished.token = token  -- by which a repeated call is recognized
  changes[#changes + 1] = record.number
  end_and_pass_on(record, finished)
  return true
end

-- Ends many attempts; the arguments are parallel lists.
verb('finish', function(node, numbers, tokens, outcomes, reasons, endings, delays)
  local answers, ids = {}, all_digits(numbers)
  read_records(ids)
  following:read(ids)
  for i, id in ipairs(ids) do
    answers[i] = finish(node, id, tokens[i], outcomes[i], reasons[i], endings[i], delays[i])
  end
  return answers
end)

verb('release', function(node, held)
  read_records(all_digits(column(held, HELD.number)))
  for _, one in ipairs(held) do
    local record = find(one[HELD.number])
    if is_held(record, node, one[HELD.token]) then give_back(record) end
  end
  return true
end)
