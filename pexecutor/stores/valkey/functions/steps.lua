-- Steps in the life of a task

local function tell_of_room()
  if call('EXISTS', key('seekers')) == 1 then tell(MESSAGE.room) end
end

local function tell_to_cancel(record)
  call('SADD', key('cancels:' .. record.node), record.number)
  tell(MESSAGE.cancel .. ' ' .. record.node .. ' ' .. record.id)
end

-- A follower without a time of its own may have been submitted before the clock was set back: it is due all the same.
local function first_state(record)
  return record.at > math.max(now, record.submitted_at) and STATE.scheduled or STATE.pending
end

local function attempts_and(record, outcome, reason)
  local attempts = {}
  for i, attempt in ipairs(record.attempts) do attempts[i] = attempt end
  attempts[#attempts + 1] = LIST.attempt{started_at = record.at, ended_at = now, outcome = outcome, error = reason}
  return attempts
end

-- Returns a record as ended, with `outcome` and `reason`, which are not stored, for its deliveries. Only the node with the token of the last claim can end an attempt, so any other end removes the
-- token.
local function ended(record, outcome, reason, ending)
  local attempts = record.attempts
  if record.state == STATE.running then attempts = attempts_and(record, outcome, reason) end
  return with(record, {state = STATE.finished, at = now, ending = ending, attempts = attempts, token = 0, node = '',
    follows = 0, supersedes = false, cancelled = false, outcome = outcome, reason = reason})
end

-- Ends a task, and gives its name to its follower in the same step.
local function end_and_pass_on(record, finished)
  local follower = record.state ~= STATE.following and follower_of(record)
  put(record, finished)
  if follower then
    change(follower, {state = first_state(follower), follows = 0, supersedes = false})
    tell(MESSAGE.work)
  end
end

local function ending_of(outcome, reason, retryable)
  local fields = {outcome = outcome, error = reason or nil}
  if retryable == false then fields.retryable = false end
  return cjson.encode(fields)
end

local function end_as(record, outcome, reason, retryable)
  local finished = ended(record, outcome, reason, ending_of(outcome, reason, retryable))
  told(finished)
  end_and_pass_on(record, finished)
end

-- Repairs the unreadable parts of a record (`PART`). A task in flight ends as failed if its submitted task is lost. A record
-- that was repaired before and still cannot be read is set aside.
local function repair(record, parts)
  local task, packed, placeholder = tasks:get(record.id), pack_record(record), cjson.encode({name = record.name})
  local repaired = with(record, {})
  for _, part in ipairs(parts) do
    if part == PART.attempts then repaired.attempts = {} end
    if part == PART.ending then repaired.ending = ending_of(OUTCOME.failed, TEXT.ending_lost, false) end
    if part == PART.task then repaired.task, repaired.task_bytes = placeholder, #placeholder end
  end
  if pack_record(repaired) == packed and (repaired.task or task) == task then
    return set_aside(record.id, packed, 'task ' .. record.id .. ' cannot be repaired')
  end
  notice_damage(table.concat(parts, ' and ') .. ' of task ' .. record.id .. ' cannot be read',
    {id = record.id, record = packed, task = task})
  put(record, repaired)
  if repaired.task and record.state ~= STATE.finished then
    end_as(repaired, OUTCOME.failed, TEXT.task_lost, false)
  else
    told(repaired)
  end
end

local function give_back(record)
  if record.cancelled then
    end_as(record, OUTCOME.cancelled, false)
  else
    change(record, {state = STATE.pending, token = 0, node = ''})
    tell(MESSAGE.work)
  end
end

local function abandoned_after(crashes)
  return crashes == 1 and TEXT.crashed_once or string.format(TEXT.crashed_times, crashes)
end

-- Returns the limit that the last beat has set.
local function crashes_max()
  return number_in_head('crashes_max', LIMIT.crashes_max)
end

-- Decides about a task whose start was cut off, because its node is gone or does not know the task. This counts as a crash
-- of the task unless the node has left properly.
local function recover(record, has_left)
  if not has_left then record = with(record, {rare = with_crashes(record.rare, crashes_of(record) + 1)}) end
  local follower, crashes = follower_of(record), crashes_of(record)
  if follower and follower.supersedes then
    end_as(record, OUTCOME.cancelled, TEXT.superseded)
  elseif record.on_crash == ON_CRASH.fail and not record.cancelled then
    end_as(record, OUTCOME.abandoned, TEXT.abandoned, false)
  elseif crashes >= crashes_max() and not record.cancelled and not has_left then
    end_as(record, OUTCOME.abandoned, abandoned_after(crashes), false)
  else
    give_back(record)
  end
end

-- Returns whether a record can be read. It is stored for a while longer (`LINGER`).
local function is_kept(record)
  return record.state ~= STATE.finished or Endings.expires_at(record) > now
end

-- Time

-- Removes a record from the listing, and `LINGER` seconds later for good.
local function expire(record)
  local until_when = record.at + LINGER
  if until_when <= now then return put(record, false) end
  order('ZREM', Endings.part_of(record), record.id)
  order('ZADD', 'expiry', until_when, record.id)
end

local function sweep()
  local due = call('ZRANGE', key('due'), '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP_MAX)
  each_of('due', due, function(record) change(record, {state = STATE.pending}) end)
  if #due > 0 then tell(MESSAGE.work) end
  each_of('expiry', call('ZRANGE', key('expiry'), '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP_MAX), expire)
  write()
end

do  -- Lua allows 200 locals at once, and no other part uses these

-- Drops the oldest records of a part of history. Returns how many it dropped, and their bytes.
local function drop_oldest(part, count)
  local oldest, bytes = call('ZRANGE', key(part), 0, count - 1), 0
  each_packed(oldest, function(id, packed)
    local remains = remains_of(part, id, packed)
    if remains then put(remains, false) end
    bytes = bytes + bytes_of(remains)
  end)
  write()
  return #oldest, bytes
end

-- Returns whether the oldest record of a part is not the latest of all: that one stays, however big it is.
local function has_older(part)
  local _, place = unpack(call('ZRANGE', key(part), 0, 0, 'WITHSCORES'))
  return place and tonumber(place) < number_in_head('endings', 0)
end

-- Drops the oldest finished records until history is within its bounds, which the last beat has set. Over the bound of bytes,
-- those that have succeeded go first.
function Endings.bound_history()
  local bounds = call('HMGET', key('head'), 'history_bytes', 'history_bytes_max', 'history_records_max',
    'history_failed_records_max')
  local over = (tonumber(bounds[1] or 0) or 0) - (tonumber(bounds[2] or math.huge) or math.huge)
  local kept = {history = call('ZCARD', key('history')), failures = call('ZCARD', key('failures'))}
  local function drop(part, count)
    local dropped, bytes = drop_oldest(part, count)
    kept[part], over = kept[part] - dropped, over - bytes
    return dropped > 0
  end
  for i, part in ipairs({'history', 'failures'}) do
    local too_many = kept[part] - (tonumber(bounds[2 + i] or math.huge) or math.huge)
    if too_many > 0 then drop(part, too_many) end
  end
  while over > 0 and kept.history + kept.failures > 1 do
    if not drop(kept.history > 0 and has_older('history') and 'history' or 'failures', 1) then return end
  end
end

end

-- Calls

local function counts()
  local later, due_at = call('ZCARD', key('later')), nil
  if later > 0 then due_at = call('ZRANGE', key('due'), 0, 0, 'WITHSCORES')[2] end
  return LIST.counts{pending = Lanes.pending(), later = later,
    running = call('ZCARD', key('running')), history = call('ZCARD', key('history')) + call('ZCARD', key('failures')),
    next_due_seconds = due_at and tonumber(due_at) - now or NONE.due, damaged = damaged, mending = mending and true or false,
    schedules = call('ZCARD', key('schedules')), deliveries = Deliveries.count}
end

local function answer(result)
  write()
  if #endings > 0 then Endings.bound_history() end
  if #endings > 0 then tell(MESSAGE.ended .. ' ' .. table.concat(endings, ' ')) end
  return cmsgpack.pack(LIST.reply{result = result, changes = changes, counts = counts(), at = now, damages = damages,
    made = Deliveries.made > 0, dropped = Deliveries.dropped})
end

-- Returns the error reply that nodes recognize by its code.
local function refuse(code, reason)
  return redis.error_reply(code .. ' ' .. reason)
end

local function refuse_other_queue()
  return refuse(REFUSAL.other, 'this is not the queue that the node has joined')
end

-- Registers a function. Functions may run when memory is short, because they free memory and do not need more than they
-- free. Only functions that accept tasks are refused then. The only key is that of the queue, and the only argument has all
-- arguments of the verb.
local function register(name, callback, flags)
  redis.register_function{function_name = 'LIBRARY_' .. name, flags = flags or {'allow-oom'},
    callback = function(keys, args)
      local seconds, microseconds = unpack(call('TIME'))
      queue, changes, endings, damages, aside, damaged, mending = keys[1], {}, {}, {}, {}, 0, false
      Deliveries.begin()
      Lanes.begin()
      open_book()
      now = tonumber(seconds) + tonumber(microseconds) / 1e6
      return callback(unpack(cmsgpack.unpack(args[1])))
    end}
end

-- Returns why the queue is sealed, or false, and its tag; takes over the state of its damage.
local function read_head()
  local sealed, tag, damaged_so_far, mending_at, count, limits = unpack(call('HMGET', key('head'), 'sealed', 'tag', 'damaged',
    'mending', 'deliveries', 'limits'))
  Lanes.used = limits and true or false
  damaged, mending, Deliveries.count = tonumber(damaged_so_far or 0) or 0, mending_at, tonumber(count or 0) or 0
  if count and not tonumber(count) then mend_soon() end
  return sealed, tonumber(tag or 0)
end

-- Registers a verb of nodes. The body returns its result, or nil and an error reply. The tag says which queue the node means:
-- the server may have lost that queue, or got another.
local function verb(name, body, flags)
  register(name, function(tag, ...)
    local sealed, own_tag = read_head()
    if sealed then return refuse(REFUSAL.sealed, sealed) end
    if name ~= 'join' and own_tag ~= tag and not has_its_tag_back(tag) then return refuse_other_queue() end
    sweep()
    local result, refusal = body(...)
    return refusal or answer(result)
  end, flags)
end

-- Makes a verb repeatable: a call whose reply was lost can be made again, and gets the first reply.
local function once(id, body)
  local before = read_packed('reply:' .. id)
  if before then
    local result_before, changes_before = unpack(before)
    if type(changes_before) == 'table' then
      changes = changes_before
      return result_before
    end
  end
  local result = body()
  call('SET', key('reply:' .. id), cmsgpack.pack({result, changes}), 'PX', REPLY_MS)
  return result
end
