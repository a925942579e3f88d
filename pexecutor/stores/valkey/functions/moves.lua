-- Moves: tasks leave for another store, or arrive from one. Meanwhile the queue is sealed: all other verbs are refused.
--
--   moves      hash    move -> role, the other store, whether history is moved too; MessagePack
--   arrivals   set     the tasks that have arrived so far with an unfinished move
--   head       hash    sealed: the reason why other verbs are refused

-- Why a queue is sealed, by the role in its mark; `%s` is the other store. A queue is not sealed once its tasks have arrived.
local SEALS = {[ROLE.leaving] = TEXT.sealed_leaving, [ROLE.left] = TEXT.sealed_left, [ROLE.arriving] = TEXT.sealed_arriving}

local function is_role(word)
  return word == ROLE.arrived or SEALS[word] ~= nil
end

local function marks()
  local found = {}
  for _, move in ipairs(call('HKEYS', key('moves'))) do
    local packed = call('HGET', key('moves'), move)
    local role, other, history = unpack(unpack_list(packed) or {})
    if is_role(role) and type(other) == 'string' and is_text(move .. other) then
      found[#found + 1] = {move = move, role = role, other = other, history = history and true or false}
    else
      call('HDEL', key('moves'), move)
      notice_damage('the mark of a move cannot be read', {move = move, mark = packed})
    end
  end
  return found
end

local function seal_as_marked()
  call('HDEL', key('head'), 'sealed')
  for _, mark in ipairs(marks()) do
    local reason = SEALS[mark.role]
    if reason then call('HSET', key('head'), 'sealed', string.format(reason, mark.other)) end
  end
end

local function leave_mark(move, role, other, history)
  call('HSET', key('moves'), move, cmsgpack.pack({role, other, history}))
  seal_as_marked()
end

local function move_verb(name, body, flags)
  register(name, function(...) return answer(body(...)) end, flags)
end

move_verb('marks', function()
  local listed = {}
  for i, mark in ipairs(marks()) do listed[i] = LIST.mark(mark) end
  return listed
end)

move_verb('identity', function()
  return LIST.identity{tag = number_in_head('tag', 0), acceptances = number_in_head('acceptances', 0)}
end)

-- Reaps dead nodes and returns the others, or false if there is more to do first.
move_verb('enter', function()
  return reap() and call('ZRANGE', key('nodes'), 0, -1)
end)

move_verb('numbers', function()
  local numbers = {}
  for _, index in ipairs({'later', 'pending', 'laned', 'running', 'history', 'failures'}) do
    for _, id in ipairs(call('ZRANGE', key(index), 0, -1)) do
      if is_id(id) then numbers[#numbers + 1] = tonumber(id) end
    end
  end
  return numbers
end)

move_verb('rows', function(numbers)
  local rows = {}
  for _, number in ipairs(numbers) do
    local record = find(number)
    if record then rows[#rows + 1] = row(record) end
  end
  return rows
end)

move_verb('seal', function(move, role, other, history)
  if call('ZCARD', key('nodes')) > 0 then return false end
  for _, mark in ipairs(marks()) do
    local is_other = mark.move ~= move
    if is_other and (mark.role == ROLE.leaving or mark.role == ROLE.arriving) then return false end
    if is_other and mark.role == ROLE.left and role == ROLE.arriving then call('HDEL', key('moves'), mark.move) end
  end
  leave_mark(move, role, other, history)
  return true
end)

move_verb('unseal', function(move)
  call('HDEL', key('moves'), move)
  seal_as_marked()
  return true
end)

move_verb('identify', function(tag, acceptances)
  call('HSET', key('head'), 'layout', LAYOUT)
  call('HSET', key('meta'), 'layout', LAYOUT)
  call('HSET', key('head'), 'tag', tag)
  call('HSET', key('head'), 'acceptances', acceptances)
  return true
end)

-- Takes over records unchanged. Returns how many ids existed already: 0 unless another store has given out the same ids.
move_verb('arrive', function(records)
  local known = 0
  for _, record in ipairs(records) do
    if find(record.number) then
      known = known + 1
    else
      record.id = digits(record.number)
      put(false, record)
      call('SADD', key('arrivals'), record.id)
    end
  end
  return known
end, {})

-- Drops some records of an interrupted move. Returns how many it dropped.
move_verb('drop_arrivals', function(most)
  local numbers = call('SPOP', key('arrivals'), most)
  for _, number in ipairs(numbers) do
    local record = find(number)
    if record then put(record, false) end
  end
  return #numbers
end)

move_verb('settle', function(move, role, other, history)
  call('DEL', key('arrivals'))
  call('DEL', key('answer_arrivals'))
  call('DEL', key('schedule_arrivals'))
  call('DEL', key('delivery_arrivals'))
  call('DEL', key('limit_arrivals'))
  leave_mark(move, role, other, history)
  return true
end)

move_verb('drop', function(numbers)
  for _, number in ipairs(numbers) do
    local record = find(number)
    if record then put(record, false) end
  end
  return true
end)
