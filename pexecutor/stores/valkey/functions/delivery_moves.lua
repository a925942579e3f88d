-- Moves of deliveries
--
--   delivery_arrivals  set    the numbers of the deliveries that have arrived so far with an unfinished move

-- Returns some deliveries, the oldest first, from a place on.
move_verb('moving_deliveries', function(first, most)
  return Deliveries.listed(first, most)
end)

-- Takes over deliveries unchanged. Returns how many numbers existed already: 0 unless another store has given out the same ids.
move_verb('arrive_deliveries', function(rows)
  local known = 0
  for _, one in ipairs(rows) do
    local delivery = NAMED.delivery(one)
    if Deliveries.arrive(delivery) then
      call('SADD', key('delivery_arrivals'), delivery.id)
    else
      known = known + 1
    end
  end
  return known
end, {})

-- Drops some deliveries of an interrupted move. Returns how many it dropped.
move_verb('drop_delivery_arrivals', function(most)
  return Deliveries.drop(call('SPOP', key('delivery_arrivals'), most))
end)

-- Drops some deliveries. Returns how many it dropped.
move_verb('drop_deliveries', function(most)
  return Deliveries.drop(call('ZRANGE', key('deliveries'), 0, most - 1))
end)
