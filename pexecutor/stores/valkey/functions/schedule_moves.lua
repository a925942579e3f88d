-- Moves of schedules
--
--   schedule_arrivals  set    the names of the schedules that have arrived so far with an unfinished move

-- Returns the schedules after a name, in the order of their names.
move_verb('moving_schedules', function(limit, after)
  return Schedules.page(limit, after)
end)

-- Takes over schedules unchanged.
move_verb('arrive_schedules', function(rows)
  for _, one in ipairs(rows) do
    local schedule = NAMED.schedule(one)
    Schedules.arrive(schedule)
    call('SADD', key('schedule_arrivals'), schedule.name)
  end
  return true
end, {})

local function drop(some)
  for _, name in ipairs(some) do Schedules.remove(name, Schedules.find(name)) end
  return #some
end

-- Drops some schedules of an interrupted move. Returns how many it dropped.
move_verb('drop_schedule_arrivals', function(most)
  return drop(call('SPOP', key('schedule_arrivals'), most))
end)

-- Drops some schedules. Returns how many it dropped.
move_verb('drop_schedules', function(most)
  return drop(call('ZRANGE', key('schedules'), 0, most - 1))
end)

-- Sets aside a schedule whose definition cannot be read. Nodes call it, too, with their tag.
move_verb('set_schedule_aside', function(_, name, generation, why)
  local schedule = Schedules.find(name)
  local is_same = schedule and schedule.generation == generation
  if is_same then Schedules.set_aside(name, schedule, 'the definition of a schedule cannot be read: ' .. why) end
  return is_same or false
end)
