-- Remembered answers: a repeated request gets its first answer again. A kind of request has bounds of its own.
--
--   answers:K    hash   request -> the answer to a request of kind K (`StoredAnswer`), MessagePack
--   answered:K   zset   the same requests by the order of their answers
--   head         hash   answered: the number of answers so far; answer_bytes:K: the bytes of the answers of kind K

local Answers = {FORGOTTEN_AT_ONCE_MAX = 500}

function Answers.bytes_field(kind)
  return 'answer_bytes:' .. kind
end

function Answers.is_valid(answer)
  if not (answer and is_time(answer[ANSWER.at]) and type(answer[ANSWER.digest]) == 'string'
      and type(answer[ANSWER.numbers]) == 'table' and is_whole_number(answer[ANSWER.bytes])) then
    return false
  end
  if #answer[ANSWER.digest] % 2 ~= 0 or not string.find(answer[ANSWER.digest], '^%x*$') then return false end
  for _, number in ipairs(answer[ANSWER.numbers]) do
    if not is_whole_number(number) then return false end
  end
  return true
end

function Answers.forget(kind, request, bytes)
  call('HDEL', key('answers:' .. kind), request)
  call('ZREM', key('answered:' .. kind), request)
  call('HINCRBY', key('head'), Answers.bytes_field(kind), 0 - bytes)  -- `-0` would be no whole number
end

-- Returns the stored answer to a request, or nil. An answer that cannot be read is set aside.
function Answers.stored(kind, request)
  local packed = call('HGET', key('answers:' .. kind), request)
  if not packed then return nil end
  local answer = unpack_list(packed)
  local readable, valid = pcall(Answers.is_valid, answer)
  if readable and valid then return answer end
  notice_damage('the answer to a request cannot be read', {request = request, answer = packed})
  Answers.forget(kind, request, 0)
  return nil
end

-- Returns the answer that is remembered for a request, or nil.
function Answers.remembered(kind, request, seconds_max)
  local answer = Answers.stored(kind, request)
  return answer and now - answer[ANSWER.at] < seconds_max and answer or nil
end

-- Forgets the oldest answers that are out of bounds, some at a time. The latest answer stays.
function Answers.forget_oldest(request)
  local kind = request[REQUEST.kind]
  for _ = 1, Answers.FORGOTTEN_AT_ONCE_MAX do
    local count = call('ZCARD', key('answered:' .. kind))
    local oldest = call('ZRANGE', key('answered:' .. kind), 0, 0)[1]
    if count <= 1 or not oldest then return end
    local answer = Answers.stored(kind, oldest)
    if answer then
      local too_much = count > request[REQUEST.answers_max]
        or number_in_head(Answers.bytes_field(kind), 0) > request[REQUEST.bytes_max]
      if not too_much and now - answer[ANSWER.at] < request[REQUEST.seconds_max] then return end
      Answers.forget(kind, oldest, answer[ANSWER.bytes])
    else
      Answers.forget(kind, oldest, 0)
    end
  end
end

function Answers.store(kind, request, answer)
  local before = Answers.stored(kind, request)
  call('HSET', key('answers:' .. kind), request, cmsgpack.pack(answer))
  call('ZADD', key('answered:' .. kind), call('HINCRBY', key('head'), 'answered', 1), request)
  call('HINCRBY', key('head'), Answers.bytes_field(kind), answer[ANSWER.bytes] - (before and before[ANSWER.bytes] or 0))
end

function Answers.remember(request, numbers)
  local answer = LIST.answer{at = now, digest = request[REQUEST.digest], numbers = numbers,
    bytes = request[REQUEST.bytes] + LIMIT.verdict_bytes * #numbers}
  Answers.store(request[REQUEST.kind], request[REQUEST.request], answer)
  Answers.forget_oldest(request)
end
