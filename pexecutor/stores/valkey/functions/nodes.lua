-- Nodes and leases

-- After a restart or a failover the last moments of the server's data may be missing. Therefore no task is started until
-- every living node has compared its tasks with the records, and tasks that nodes had to stop have had time to end. Numbers
-- that may have been given out in those moments, for ids and tokens, are skipped.
local run_id
local GIVEN_MAX = 200000      -- the largest number of ids and tokens that may have been lost
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

-- Returns the length of a node's lease in seconds; the default length if it is missing.
local function lease_of(node)
  local lease = tonumber(call('HGET', key('leases'), node) or LIMIT.lease_seconds)
  return is_number(lease) and lease or LIMIT.lease_seconds
end

-- Restores the last numbers of ids, tokens and endings from the records. Numbers of records that are gone cannot be seen
-- there, so more are skipped.
local function restore_numbers()
  if call('HLEN', key('record')) == 0 and call('HLEN', key('delivery')) == 0 then return 0 end
  local acceptances, claims, cursor = 0, 0, '0'
  for _, id in ipairs(call('HKEYS', key('delivery'))) do
    if is_id(id) then acceptances = math.max(acceptances, tonumber(id)) end
  end
  repeat
    local entries  -- id, packed record, id, packed record, ...
    cursor, entries = unpack(call('HSCAN', key('record'), cursor, 'COUNT', 1000))
    for i = 1, #entries, 2 do
      local id, packed = entries[i], entries[i + 1]
      local readable, record = pcall(read_record, id, packed)
      if is_id(id) then acceptances = math.max(acceptances, tonumber(id)) end
      if readable and record then claims = math.max(claims, record.token) end
    end
  until cursor == '0'
  if acceptances == 0 then return 0 end
  if call('HEXISTS', key('head'), 'acceptances') == 1 and claims == 0 then
    call('HSET', key('head'), 'claims', 1)
    return acceptances
  end
  local endings = number_in_head('endings', 0)
  for _, part in ipairs({'history', 'failures'}) do
    local _, last = unpack(call('ZRANGE', key(part), 0, 0, 'REV', 'WITHSCORES'))
    endings = math.max(endings, math.ceil(tonumber(last or 0)))
  end
  call('HSET', key('head'), 'acceptances', math.max(acceptances, number_in_head('acceptances', 0)))
  call('HSET', key('head'), 'claims', math.max(claims, number_in_head('claims', 0)))
  call('HSET', key('head'), 'endings', endings)
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
  return record and record.state == STATE.running and record.node == node
end

local function is_held(record, node, token)
  return runs_on(record, node) and record.token == token
end

-- Returns the values at one place of each list.
local function column(lists, place)
  local values = {}
  for i, list in ipairs(lists) do values[i] = list[place] end
  return values
end

local function changes_so_far()
  return #touched + #Deliveries.new
end

-- Returns how many records and deliveries change at most when a task ends: itself, its follower, and what it brings.
local function most_changes(record)
  return 2 + Deliveries.most(record)
end

-- Recovers the tasks of a node that are not known, as many as one step may change. Returns whether these were all.
local function recover_all_of(node, known, has_left)
  local are_all = true
  each_of('running', call('ZRANGE', key('running'), 0, -1), function(record)
    if record.node ~= node or known[record.number] then return end
    local changed = changes_so_far()
    if changed > 0 and changed + most_changes(record) > LIMIT.changes_max then
      are_all = false
    else
      recover(record, has_left)
    end
  end)
  return are_all
end

-- Removes a node once its last task is recovered. Returns whether it is removed.
local function remove_node(node, has_left)
  if not recover_all_of(node, {}, has_left) then
    call('SREM', key('seen'), node)  -- if it is alive, it must compare its tasks
    tell(MESSAGE.work)
    return false
  end
  call('ZREM', key('nodes'), node)
  call('HDEL', key('node'), node)
  call('HDEL', key('leases'), node)
  call('SREM', key('seen'), node)
  call('DEL', key('cancels:' .. node))
  tell(MESSAGE.work)
  return true
end

-- Removes dead nodes, as far as one step may change their tasks. Returns whether these were all.
local function reap()
  for _, node in ipairs(call('ZRANGE', key('nodes'), '-inf', now, 'BYSCORE')) do
    if not remove_node(node) then return false end
  end
  return true
end

-- Returns the number of a node's last claim, and the tasks that it got.
local function last_claim(node)
  local claim, numbers = unpack(read_packed('claim:' .. node) or {})
  if not is_number(claim) or type(numbers) ~= 'table' then return NONE.claim, {} end
  for _, number in ipairs(numbers) do
    if not is_whole_number(number) then return NONE.claim, {} end
  end
  return claim, numbers
end

local function claimed_by(node, claim)
  local last, numbers = last_claim(node)
  return claim == last and numbers or {}
end

-- Returns when the last beat of a node arrived, the state that it reported, and its number; 0 if they cannot be read.
local function last_beat(node)
  local packed = call('HGET', key('node'), node)
  local at, about, beat = unpack(packed and unpack_list(packed) or {})
  if is_number(at) and type(about) == 'string' and is_text(about) and is_number(beat) then return at, about, beat end
  return 0, '', 0
end

-- Returns a beat as `last_beat` reads it.
local function packed_beat(about, beat)
  return cmsgpack.pack({now, about, beat})
end

local function extend(node, lease)
  call('ZADD', key('nodes'), now + lease, node)
  call('HSET', key('leases'), node, lease)
end
