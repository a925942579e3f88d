-- Nodes and leases

-- After a restart or a failover the server's last moments may be missing. So nothing is started before each node that
-- lives has compared what it runs with what is known here, and what it has to cut off has had time to end; and no id and
-- no token is given that may have been given in those moments.
local run_id
local GIVEN_MAX = 200000      -- how many ids and tokens at most
local RECONNECT = 3           -- how many seconds a node takes, of which the server may have lost that it had joined

local function be_quiet(seconds)
  local before = tonumber(call('HGET', key('meta'), 'quiet_until') or 0)
  call('HSET', key('meta'), 'quiet_until', math.max(before, now + seconds))
end

-- As many as the id of this life says, since this may be forgotten, too, and then the next life is not to skip the same.
local function skip_numbers()
  local numbers = GIVEN_MAX * (1 + tonumber(string.sub(run_id, 1, 4), 16) % 1024)
  call('HINCRBY', key('meta'), 'acceptances', numbers)
  call('HINCRBY', key('meta'), 'claims', numbers)
end

local function notice_restart()
  run_id = run_id or string.match(call('INFO', 'server'), 'run_id:(%w+)')
  local before = call('HGET', key('meta'), 'run_id')
  if before == run_id then return end
  call('HSET', key('meta'), 'run_id', run_id)
  if not before then return end
  be_quiet(RECONNECT)
  skip_numbers()
  call('DEL', key('seen'))
  for _, node in ipairs(call('ZRANGE', key('nodes'), 0, -1)) do
    call('ZADD', key('nodes'), 'GT', now + tonumber(call('HGET', key('leases'), node) or 0), node)
  end
end

local function nothing_unknown_runs()
  if tonumber(call('HGET', key('meta'), 'quiet_until') or 0) > now then return false end
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

local function recover_all_of(node, known)
  local running = call('ZRANGE', key('running'), 0, -1)
  read_records(running)
  for _, number in ipairs(running) do
    local record = find(number)
    if record.node == node and not known[record.number] then recover(record) end
  end
end

local function remove_node(node)
  recover_all_of(node, {})
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

-- A node's last claim, and what it was given.
local function last_claim(node)
  local last = call('GET', key('claim:' .. node))
  if not last then return 0, {} end
  return unpack(cmsgpack.unpack(last))
end

local function claimed_by(node, claim)
  local last, numbers = last_claim(node)
  return claim == last and numbers or {}
end

local function is_to_end(record)
  local follower = follower_of(record)
  return record.cancelled or follower and follower.supersedes
end

-- Which of the tasks that a node runs it has lost, and which it has to cancel. Those that the server has as running
-- there, and the node knows nothing of, are recovered: `settling` and the claim that is under way are known too.
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
  for i, number in ipairs(cancelled) do cancelled[i] = tonumber(number) end
  return cancelled
end

local function said_by(node)
  local packed = call('HGET', key('node'), node)
  return packed and cmsgpack.unpack(packed) or {0, '', 0}
end

local function extend(node, lease)
  call('ZADD', key('nodes'), now + lease, node)
  call('HSET', key('leases'), node, lease)
end

-- `to_end`: for how many seconds what the node ran before, in another queue, may still come to its end.
verb('join', function(tag, to_end)
  notice_restart()
  local layout = call('HGET', key('meta'), 'layout')
  if layout and layout ~= LAYOUT then return {layout, 0} end
  call('HSET', key('meta'), 'layout', LAYOUT)
  call('HSETNX', key('meta'), 'tag', tag)
  if to_end > 0 then be_quiet(to_end) end
  return {LAYOUT, tonumber(call('HGET', key('meta'), 'tag'))}
end)

-- One for all that the node holds. Without `holdings` it is refused when the node has to compare first; and one that was
-- done before, or comes after a later one, is refused, for what it says is out of date.
verb('beat', function(node, beat, lease, about, holdings, records_max, bytes_max)
  notice_restart()
  local is_node = call('ZSCORE', key('nodes'), node)
  local has_compared = is_node and call('SISMEMBER', key('seen'), node) == 1
  if beat <= said_by(node)[3] or not (holdings or has_compared) then return {false, {}, {}} end
  call('HSET', key('node'), node, cmsgpack.pack({now, about, beat}))
  call('HSET', key('meta'), 'history_records_max', records_max)
  call('HSET', key('meta'), 'history_bytes_max', bytes_max)
  extend(node, lease)
  local lost, cancelled = {}, cancels_of(node)
  if holdings then lost, cancelled = compare(node, unpack(holdings)) end
  if is_node and #lost > 0 then be_quiet(lease / 3) end
  reap()
  return {true, lost, cancelled}
end)

-- What it never heard that it had claimed, it has not begun.
verb('leave', function(node, claim)
  for _, number in ipairs(claimed_by(node, claim)) do
    local record = find(number)
    if runs_on(record, node) then give_back(record) end
  end
  remove_node(node)
  return true
end)

verb('nodes', function()
  local nodes = {}
  for i, node in ipairs(call('ZRANGE', key('nodes'), 0, -1)) do
    local said = said_by(node)
    nodes[i] = {node, said[1], tonumber(call('ZSCORE', key('nodes'), node)), said[2]}
  end
  return nodes
end)
