-- Limits: the numbers of limits and handlers, the pauses, and the reasons for which a task does not run.

-- Returns the settings and the slots in use, as a reply.
function Lanes.reply(settings, changed)
  local rows, slots = {}, {}
  for _, kind in ipairs({'limit', 'handler'}) do
    for name, number in pairs(settings[kind]) do
      rows[#rows + 1] = LIST.setting{kind = kind, name = name, number = number, since = 0, by = ''}
    end
  end
  for name, pause in pairs(settings.pause) do
    rows[#rows + 1] = LIST.setting{kind = 'pause', name = name, number = 0, since = pause.since, by = pause.by}
  end
  for slot, used in pairs(Lanes.counts(settings)) do
    local limit, value = Lanes.slot_parts(slot)
    slots[#slots + 1] = LIST.slot{limit = limit, value = value, used = used}
  end
  return LIST.limits{changed = changed, settings = rows, slots = slots}
end

-- Stores a setting, or removes it if the value is nil.
function Lanes.set(settings, kind, name, value)
  settings[kind][name] = value
  if value == nil then
    call('HDEL', key('limits'), kind .. ':' .. name)
  else
    call('HSET', key('limits'), kind .. ':' .. name, type(value) == 'table' and cmsgpack.pack({value.since, value.by}) or value)
  end
end

-- Returns what `set_numbers` replaces, and how many settings there are more than before. The number 0 of a handler stands for
-- none.
local function replaced_numbers(settings, limits, handlers)
  local replaced, more = {}, 0
  local function replace(kind, name, number)
    local old = settings[kind][name]
    if old == number then return end
    replaced[#replaced + 1] = {kind = kind, name = name, number = number}
    more = more + (number and 1 or 0) - (old and 1 or 0)
  end
  for name in pairs(settings.limit) do
    if not limits[name] then replace('limit', name, nil) end
  end
  for name, number in pairs(limits) do replace('limit', name, number) end
  for name, number in pairs(handlers) do replace('handler', name, number > 0 and number or nil) end
  return replaced, more
end

-- Returns whether the queue has no place for more settings.
local function are_too_many(more)
  return more > 0 and call('HLEN', key('limits')) + more > LIMIT.limit_settings_max
end

-- Sets the numbers of limits, all others have none; and those of some handlers. Returns false if there would be too many.
verb('set_numbers', function(limits, handlers)
  if next(limits) or next(handlers) then Lanes.use() end
  local settings, changed_limits = Lanes.settings(), {}
  local replaced, more = replaced_numbers(settings, limits, handlers)
  if are_too_many(more) then return false end
  for _, one in ipairs(replaced) do
    Lanes.set(settings, one.kind, one.name, one.number)
    if one.kind == 'limit' then changed_limits[one.name] = true end
  end
  if #replaced > 0 then
    Lanes.open_queues(changed_limits)
    tell(MESSAGE.work)
  end
  Lanes.end_use()
  return Lanes.reply(settings, #replaced > 0)
end)

-- Returns false if there would be too many settings.
verb('pause', function(id, handler, by)
  return once(id, function()
    Lanes.use()
    local settings = Lanes.settings()
    if settings.pause[handler] then return Lanes.reply(settings, false) end
    if are_too_many(1) then return false end
    Lanes.set(settings, 'pause', handler, {since = now, by = by})
    return Lanes.reply(settings, true)
  end)
end)

verb('resume', function(id, handler)
  return once(id, function()
    local settings = Lanes.settings()
    if not settings.pause[handler] then return Lanes.reply(settings, false) end
    Lanes.set(settings, 'pause', handler, nil)
    Lanes.end_use()
    tell(MESSAGE.work)
    return Lanes.reply(settings, true)
  end)
end)

verb('limits', function()
  return Lanes.reply(Lanes.settings(), false)
end)

-- Why

-- Returns the live nodes, as rows, with what the calling node reports now.
local function live_nodes(own, own_about)
  local nodes = {LIST.node{node = own, beat_at = now, lease_until = now, about = own_about}}
  for _, node in ipairs(call('ZRANGE', key('nodes'), now, '+inf', 'BYSCORE')) do
    local at, about = last_beat(node)
    if node ~= own and is_text(node) then
      nodes[#nodes + 1] = LIST.node{node = node, beat_at = at, lease_until = now, about = about}
    end
  end
  return nodes
end

-- Returns the handlers that some of the nodes know; false if one of them knows any.
local function known_handlers(nodes)
  local known = {}
  for _, node in ipairs(nodes) do
    local readable, about = pcall(cjson.decode, node[NODE.about])
    local handlers = readable and type(about) == 'table' and about.handlers
    if type(handlers) ~= 'table' then return false end
    for _, handler in ipairs(handlers) do known[handler] = true end
  end
  return known
end

local function holders_of(record, settings)
  local holders = {}
  for i, slot in ipairs(Lanes.slots_of(record)) do
    holders[i] = {}
    if Lanes.number_of(settings, slot) then
      for _, id in ipairs(Lanes.users(slot, LIMIT.holders_shown_max)) do holders[i][#holders[i] + 1] = tonumber(id) end
    end
  end
  return holders
end

local function tasks_ahead(record, settings, known)
  if record.state ~= STATE.pending or settings.pause[''] then return 0, true end
  return Lanes.ahead(record, function(handler)
    local number = settings.handler[handler]
    return (not known or known[handler]) and not settings.pause[handler]
      and not (number and Lanes.in_use(Lanes.handler_slot(handler)) >= number)
  end)
end

-- Returns a record, and everything from which the node computes the reasons.
verb('why', function(number, node, about)
  local record, settings, nodes = find(number), Lanes.settings(), live_nodes(node, about)
  if not (record and is_kept(record)) then
    return LIST.why{row = false, state_or_acceptances = number_in_head('acceptances', 0),
      limits = Lanes.reply(settings, false), holders = {}, ahead = 0, exact = true, nodes = nodes}
  end
  local ahead, exact = tasks_ahead(record, settings, known_handlers(nodes))
  return LIST.why{row = row(record), state_or_acceptances = record.state, limits = Lanes.reply(settings, false),
    holders = holders_of(record, settings), ahead = ahead, exact = exact, nodes = nodes}
end)
