-- Nodes and leases

-- After a restart or a failover the last moments of the server's data may be missing. Therefore no task is started until
-- every living node has compared its tasks with the records, and tasks that nodes had to stop have had time to end. Numbers
-- that may have been given out in those moments, for ids and tokens, are skipped.
local run_id
local GIVEN_MAX = 200000      -- the largest number of ids and tokens that may have been lost
local LEASE_SECONDS = 15      -- for a node whose own lease is missing
local MEND_SECONDS = 600      -- the time between two passes of mending when no damage was noticed
local RECONNECT = 3           -- seconds in which a node joins again, if the server has lost its joining

local function this_life()
  run_id = run_id or string.match(call('INFO', 'server'), 'run_id:(%w+)')
  return run_id
end

local function be_quiet(seconds)
  call('HSET', key('head'), 'quiet_until', math.max(number_in_head('quiet_until', 0), now + seconds))
end

-- Skips numbers. How many depends on the run id, because this skip may be lost too, and the next start must skip others.
local function skip_numbers()
  local numbers = GIVEN_MAX * (1 + tonumber(string.sub(this_life(), 1, 4), 16) % 1024)
  call('HINCRBY', key('head'), 'acceptances', numbers)
  call('HINCRBY', key('head'), 'claims', numbers)
end

local function lease_of(node)
  local lease = tonumber(call('HGET', key('leases'), node) or LEASE_SECONDS)
  return is_number(lease) and lease or LEASE_SECONDS
end

-- Restores the last numbers of ids, tokens and endings from the records. Numbers of records that are gone cannot be seen
-- there, so more are skipped.
local function restore_numbers()
  if call('HLEN', key('record')) == 0 then return 0 end
  local acceptances, claims, cursor = 0, 0, '0'
  repeat
    local reply = call('HSCAN', key('record'), cursor, 'COUNT', 1000)
    cursor = reply[1]
    for i = 1, #reply[2], 2 do
      local readable, record = pcall(read_record, reply[2][i], reply[2][i + 1])
      if is_id(reply[2][i]) then acceptances = math.max(acceptances, tonumber(reply[2][i])) end
      if readable and record then claims = math.max(claims, record.token) end
    end
  until cursor == '0'
  if acceptances == 0 then return 0 end
  if call('HEXISTS', key('head'), 'acceptances') == 1 and claims == 0 then
    call('HSET', key('head'), 'claims', 1)
    return acceptances
  end
  local last = call('ZRANGE', key('history'), 0, 0, 'REV', 'WITHSCORES')[2]
  call('HSET', key('head'), 'acceptances', math.max(acceptances, number_in_head('acceptances', 0)))
  call('HSET', key('head'), 'claims', math.max(claims, number_in_head('claims', 0)))
  call('HSET', key('head'), 'endings', math.max(math.ceil(tonumber(last or 0)), number_in_head('endings', 0)))
  skip_numbers()
  notice_damage('the last numbers of ids, tokens and endings were missing')
  return number_in_head('acceptances', 0)
end

local function next_token()
  local token = call('HINCRBY', key('head'), 'claims', 1)
  if token > 1 then return token end  -- 1: the counter was lost, see 'join'
  restore_numbers()
  return call('HINCRBY', key('head'), 'claims', 1)
end

-- Returns whether this is the node's queue although its `head` was lost, and restores the tag if so.
function has_its_tag_back(tag)
  local readable, kept = pcall(call, 'GET', key('tag'))
  if is_number(tonumber(call('HGET', key('head'), 'tag') or '')) then return false end
  if tag == 0 or not readable or tonumber(kept or 0) ~= tag then return false end
  call('HSET', key('head'), 'layout', LAYOUT, 'tag', tag)
  notice_damage('the tag of the queue was missing')
  restore_numbers()
  return true
end

local function notice_restart()
  local life = this_life()
  local last_life = call('HGET', key('head'), 'run_id')
  if last_life == life then return end
  call('HSET', key('head'), 'run_id', life)
  if not last_life then return end
  be_quiet(RECONNECT)
  skip_numbers()
  call('DEL', key('seen'))
  for _, node in ipairs(call('ZRANGE', key('nodes'), 0, -1)) do  -- no node can have extended its lease meanwhile
    call('ZADD', key('nodes'), 'GT', now + lease_of(node), node)
  end
end

local function nothing_unknown_runs()
  if number_in_head('quiet_until', 0) > now then return false end
  for _, node in ipairs(call('ZRANGE', key('nodes'), now, '+inf', 'BYSCORE')) do
    if call('SISMEMBER', key('seen'), node) == 0 then return false end
  end
  return true
end

local function runs_on(record, node)
  return record and record.state == 'running' and record.node == node
end

local function is_held(record, node, token)
  return runs_on(record, node) and record.token == token
end

local function firsts(lists)
  local found = {}
  for i, list in ipairs(lists) do found[i] = list[1] end
  return found
end

local function recover_all_of(node, known, has_left)
  each_of('running', call('ZRANGE', key('running'), 0, -1), function(record)
    if record.node == node and not known[record.number] then recover(record, has_left) end
  end)
end

local function remove_node(node, has_left)
  recover_all_of(node, {}, has_left)
  call('ZREM', key('nodes'), node)
  call('HDEL', key('node'), node)
  call('HDEL', key('leases'), node)
  call('SREM', key('seen'), node)
  call('DEL', key('cancels:' .. node))
  tell('work')
end

local function reap()
  for _, node in ipairs(call('ZRANGE', key('nodes'), '-inf', now, 'BYSCORE')) do remove_node(node) end
end

-- Returns the number of a node's last claim, and the tasks that it got.
local function last_claim(node)
  local last = read_packed('claim:' .. node)
  if not last or not is_number(last[1]) or type(last[2]) ~= 'table' then return 0, {} end
  for _, number in ipairs(last[2]) do
    if not is_whole_number(number) then return 0, {} end
  end
  return last[1], last[2]
end

local function claimed_by(node, claim)
  local last, numbers = last_claim(node)
  return claim == last and numbers or {}
end

local function is_to_end(record)
  local follower = follower_of(record)
  return record.cancelled or follower and follower.supersedes
end

-- Returns the tasks that a node has lost and those that it has to cancel. Tasks that run on the node according to their
-- records, but that the node does not know, are recovered. The node knows its tasks, those in `settling`, and those of the
-- claim whose reply it is waiting for.
local function compare(node, held, settling, claim)
  local known, lost, cancelled, ids = {}, {}, {}, all_digits(firsts(held))
  read_records(ids)
  following:read(ids)
  for _, one in ipairs(held) do
    local record = find(one[1])
    if is_held(record, node, one[2]) then
      known[record.number] = true
      if is_to_end(record) then cancelled[#cancelled + 1] = record.number end
    else
      lost[#lost + 1] = one[1]
    end
  end
  read_records(all_digits(firsts(settling)))
  for _, one in ipairs(settling) do
    if is_held(find(one[1]), node, one[2]) then known[one[1]] = true end
  end
  for _, number in ipairs(claimed_by(node, claim)) do known[number] = true end
  recover_all_of(node, known)
  call('SADD', key('seen'), node)
  tell('work')
  return lost, cancelled
end

local function cancels_of(node)
  local cancelled = call('SMEMBERS', key('cancels:' .. node))
  call('DEL', key('cancels:' .. node))
  local numbers = {}
  for _, number in ipairs(cancelled) do numbers[#numbers + 1] = tonumber(number) end
  return numbers
end

local function said_by(node)
  local packed = call('HGET', key('node'), node)
  local said = packed and unpack_list(packed)
  if said and is_number(said[1]) and type(said[2]) == 'string' and is_text(said[2]) and is_number(said[3]) then
    return said
  end
  return {0, '', 0}
end

local function extend(node, lease)
  call('ZADD', key('nodes'), now + lease, node)
  call('HSET', key('leases'), node, lease)
end

-- Joins a queue. `to_end`: for how many seconds tasks of another queue that the node ran before may still be ending.
verb('join', function(tag, to_end)
  notice_restart()
  local layout = call('HGET', key('head'), 'layout') or call('HGET', key('meta'), 'layout')
  if layout and layout ~= LAYOUT then return {layout, 0} end
  call('HSET', key('head'), 'layout', LAYOUT)
  call('HSET', key('meta'), 'layout', LAYOUT)
  local readable, kept = pcall(call, 'GET', key('tag'))
  if not is_number(tonumber(call('HGET', key('head'), 'tag') or '')) then
    call('HSET', key('head'), 'tag', readable and is_number(tonumber(kept or '')) and kept or tag)
  end
  if call('HEXISTS', key('head'), 'claims') == 0 then restore_numbers() end
  call('HSETNX', key('head'), 'claims', 1)  -- the first token is 2, so a token of 1 shows that the counter was lost
  call('SET', key('tag'), call('HGET', key('head'), 'tag'))
  if to_end > 0 then be_quiet(to_end) end
  mend_soon()
  return {LAYOUT, number_in_head('tag', 0)}
end)

-- Extends the lease of all tasks of a node. A beat without `holdings` is refused if the node has to compare its tasks first.
-- A beat that was processed before, or arrives after a later one, is refused because its data are out of date.
verb('beat', function(node, beat, lease, about, holdings, records_max, bytes_max, crashes_most)
  notice_restart()
  local is_node = call('ZSCORE', key('nodes'), node)
  local has_compared = is_node and call('SISMEMBER', key('seen'), node) == 1
  if beat <= said_by(node)[3] or not (holdings or has_compared) then return {false, {}, {}} end
  call('HSET', key('node'), node, cmsgpack.pack({now, about, beat}))
  call('HSET', key('head'), 'history_records_max', records_max)
  call('HSET', key('head'), 'history_bytes_max', bytes_max)
  call('HSET', key('head'), 'crashes_max', crashes_most)
  extend(node, lease)
  local lost, cancelled = {}, cancels_of(node)
  if holdings then lost, cancelled = compare(node, unpack(holdings)) end
  if is_node and #lost > 0 then be_quiet(lease / 3) end  -- the node's lost tasks need this time to end
  reap()
  write()
  if not mending and not (are_complete() and number_in_head('mended_at', 0) + MEND_SECONDS > now) then mend_soon() end
  return {true, lost, cancelled}
end)

-- Removes a node. Tasks of a claim whose reply it has not received were not started.
verb('leave', function(node, claim)
  for _, number in ipairs(claimed_by(node, claim)) do
    local record = find(number)
    if runs_on(record, node) then give_back(record) end
  end
  remove_node(node, true)
  return true
end)

verb('nodes', function()
  local nodes = {}
  for _, node in ipairs(call('ZRANGE', key('nodes'), 0, -1)) do
    local said = said_by(node)
    if is_text(node) then
      nodes[#nodes + 1] = {node, said[1], tonumber(call('ZSCORE', key('nodes'), node)), said[2]}
    end
  end
  return nodes
end)
