-- Moves of limits: numbers and pauses
--
--   limit_arrivals  set    the settings that have arrived so far with an unfinished move

-- Returns all settings.
move_verb('moving_limits', function()
  return Lanes.reply(Lanes.settings(), false)
end)

-- Takes over settings; those that are there already stay.
move_verb('arrive_limits', function(rows)
  if #rows > 0 then Lanes.use() end
  local settings = Lanes.settings()
  for _, one in ipairs(rows) do
    local row = NAMED.setting(one)
    if not settings[row.kind][row.name] then
      Lanes.set(settings, row.kind, row.name, row.kind == 'pause' and {since = row.since, by = row.by} or row.number)
      call('SADD', key('limit_arrivals'), row.kind .. ':' .. row.name)
    end
  end
  return true
end, {})

-- Drops the settings of an interrupted move.
move_verb('drop_limit_arrivals', function()
  for _, field in ipairs(call('SMEMBERS', key('limit_arrivals'))) do call('HDEL', key('limits'), field) end
  call('DEL', key('limit_arrivals'))
  return true
end)

-- Drops all settings.
move_verb('drop_limits', function()
  call('DEL', key('limits'))
  return true
end)
