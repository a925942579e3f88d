-- Moves of remembered answers.
--
--   answer_arrivals   set    kind and request of the answers that have arrived so far with an unfinished move;
--                             `settle` removes it

-- Returns some answers of a kind, the oldest first, from a place on.
move_verb('answers', function(kind, first, most)
  local found = {}
  for _, request in ipairs(call('ZRANGE', key('answered:' .. kind), first, first + most - 1)) do
    local answer = Answers.stored(kind, request)
    if answer then found[#found + 1] = LIST.kept_answer{request = request, answer = answer} end
  end
  return found
end)

move_verb('count_answers', function(kind)
  return call('ZCARD', key('answered:' .. kind))
end)

move_verb('arrive_answers', function(kind, some)
  for _, kept in ipairs(some) do
    Answers.store(kind, kept[KEPT.request], kept[KEPT.answer])
    call('SADD', key('answer_arrivals'), kind .. ' ' .. kept[KEPT.request])
  end
  return true
end, {})

-- Drops some answers of an interrupted move. Returns how many it dropped.
move_verb('drop_answer_arrivals', function(most)
  local some = call('SPOP', key('answer_arrivals'), most)
  for _, one in ipairs(some) do
    local kind, request = string.match(one, '^(%a+) (.*)$')
    local answer = Answers.stored(kind, request)
    Answers.forget(kind, request, answer and answer[ANSWER.bytes] or 0)
  end
  return #some
end)

move_verb('drop_answers', function(kind)
  call('DEL', key('answers:' .. kind))
  call('DEL', key('answered:' .. kind))
  call('HDEL', key('head'), Answers.bytes_field(kind))
  return true
end)
