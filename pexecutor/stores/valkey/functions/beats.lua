-- The verbs of nodes: join, beat, leave

local MEND_SECONDS = 600      -- the time between two passes of mending when no damage was noticed

local function is_to_end(record)
  local follower = follower_of(record)
  return record.cancelled or follower and follower.supersedes
end

-- Returns the tasks that a node has lost and those that it has to cancel. Tasks that run on the node according to their
-- records, but that the node does not know, are recovered. The node knows its tasks, those in `settling`, and those of the
-- claim whose reply it is waiting for. The third value is false if more tasks have to be recovered: then it has to compare
-- again.
local function compare(node, held, settling, claim)
  local known, lost, cancelled, ids = {}, {}, {}, all_digits(column(held, HELD.number))
  read_records(ids)
  following:read(ids)
  for _, one in ipairs(held) do
    local record = find(one[HELD.number])
    if is_held(record, node, one[HELD.token]) then
      known[record.number] = true
      if is_to_end(record) then cancelled[#cancelled + 1] = record.number end
    else
      lost[#lost + 1] = one[HELD.number]
    end
  end
  read_records(all_digits(column(settling, HELD.number)))
  for _, one in ipairs(settling) do
    local number = one[HELD.number]
    if is_held(find(number), node, one[HELD.token]) then known[number] = true end
  end
  for _, number in ipairs(claimed_by(node, claim)) do known[number] = true end
  local are_all = recover_all_of(node, known)
  call(are_all and 'SADD' or 'SREM', key('seen'), node)
  tell(MESSAGE.work)
  return lost, cancelled, are_all
end

local function cancels_of(node)
  local cancelled = call('SMEMBERS', key('cancels:' .. node))
  call('DEL', key('cancels:' .. node))
  local numbers = {}
  for _, number in ipairs(cancelled) do numbers[#numbers + 1] = tonumber(number) end
  return numbers
end

-- Joins a queue. `to_end`: for how many seconds tasks of another queue that the node ran before may still be ending.
verb('join', function(tag, to_end)
  notice_restart()
  local layout = call('HGET', key('head'), 'layout') or call('HGET', key('meta'), 'layout')
  if layout and layout ~= LAYOUT then return LIST.joined{layout = layout, tag = 0} end
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
  return LIST.joined{layout = LAYOUT, tag = number_in_head('tag', 0)}
end)

-- Extends the lease of all tasks of a node. A beat without `holdings` is refused if the node has to compare its tasks first.
-- A beat that was processed before, or arrives after a later one, is refused because its data are out of date.
verb('beat', function(node, beat, lease, about, holdings, records_max, failed_records_max, bytes_max,
    crashes_most, deliveries_max)
  notice_restart()
  local is_node = call('ZSCORE', key('nodes'), node)
  local has_compared = is_node and call('SISMEMBER', key('seen'), node) == 1
  local _, _, beat_before = last_beat(node)
  if beat <= beat_before or not (holdings or has_compared) then
    return LIST.beat{extended = false, lost = {}, cancelled = {}, limits = false}
  end
  call('HSET', key('node'), node, packed_beat(about, beat))
  call('HSET', key('head'), 'history_records_max', records_max, 'history_failed_records_max', failed_records_max,
    'history_bytes_max', bytes_max, 'crashes_max', crashes_most, 'deliveries_max', deliveries_max)
  extend(node, lease)
  local lost, cancelled, extended = {}, cancels_of(node), true
  if holdings then lost, cancelled, extended = compare(node, unpack(holdings)) end
  if is_node and #lost > 0 then be_quiet(lease / 3) end  -- the node's lost tasks need this time to end
  reap()
  write()
  if not mending and not (are_complete() and number_in_head('mended_at', 0) + MEND_SECONDS > now) then mend_soon() end
  return LIST.beat{extended = extended, lost = lost, cancelled = cancelled,
    limits = Lanes.is_used() and Lanes.reply(Lanes.settings(), false)}
end)

-- Removes a node. Tasks of a claim whose reply it has not received were not started. Returns false if there is more to do.
verb('leave', function(node, claim)
  for _, number in ipairs(claimed_by(node, claim)) do
    local record = find(number)
    if runs_on(record, node) then give_back(record) end
  end
  return remove_node(node, true)
end)

verb('nodes', function()
  local nodes = {}
  for _, node in ipairs(call('ZRANGE', key('nodes'), 0, -1)) do
    local at, about = last_beat(node)
    if is_text(node) then
      nodes[#nodes + 1] = LIST.node{node = node, beat_at = at, lease_until = tonumber(call('ZSCORE', key('nodes'), node)),
        about = about}
    end
  end
  return nodes
end)
