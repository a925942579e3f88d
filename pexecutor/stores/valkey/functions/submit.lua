-- Submit: the decisions about a list of tasks, each on top of the decisions before it.

-- A task is a list (`TASK`), as it was submitted. A `run_at` below 0 stands for none.
local function due_at(task, submitted_at)
  return task[TASK.run_at] >= 0 and task[TASK.run_at] or submitted_at + task[TASK.delay]
end

local Submission = {}
Submission.__index = Submission

function Submission.new(queue_size)
  local acceptances = number_in_head('acceptances', 0)
  if acceptances == 0 then acceptances = restore_numbers() end
  return setmetatable({room = math.max(0, queue_size - waiting()), places = 0, acceptances = acceptances, verdicts = {},
    taken = {}, replaced = {}}, Submission)
end

function Submission:put(old, record)
  local count = #self.taken + 1
  self.taken[count], self.replaced[count] = record, old
  put(old, record)
end

function Submission:take(task, holder, supersedes)
  if self.places >= self.room then return {word = VERDICT.full} end
  self.places = self.places + 1
  self.acceptances = self.acceptances + 1
  local number = self.acceptances
  local record = {id = digits(number), number = number, name = task[TASK.name], priority = task[TASK.priority],
    submitted_at = now, at = due_at(task, now), on_crash = task[TASK.on_crash], keep = task[TASK.keep],
    keep_failed = task[TASK.keep_failed], token = 0, node = '', follows = 0, supersedes = false, attempts = {}, ending = '', cancelled = false, rare = task[TASK.rare],
    handler = task[TASK.handler], task = task[TASK.task], task_bytes = #task[TASK.task]}
  if holder then
    record.state, record.follows, record.supersedes = STATE.following, holder.number, supersedes
  else
    record.state = first_state(record)
  end
  self:put(false, record)
  return {word = VERDICT.accepted, record = record, fresh = true, superseded = supersedes and holder}
end

function Submission:renew(task, holder)
  local target = follower_of(holder)
  if not target then
    if holder.state == STATE.running then return self:take(task, holder, false) end
    target = holder
  end
  local renewed = with(target, {priority = task[TASK.priority], on_crash = task[TASK.on_crash], keep = task[TASK.keep],
    keep_failed = task[TASK.keep_failed], task = task[TASK.task], task_bytes = #task[TASK.task], handler = task[TASK.handler],
    rare = with_crashes(task[TASK.rare], crashes_of(target))})
  if target.state == STATE.following then renewed.at = due_at(task, target.submitted_at) end
  self:put(target, renewed)
  return {word = VERDICT.accepted, record = renewed}
end

function Submission:cancel(record)
  self.places = self.places - 1
  self:put(record, ended(record, OUTCOME.cancelled, TEXT.superseded, ending_of(OUTCOME.cancelled, TEXT.superseded)))
end

function Submission:supersede(task, holder)
  local follower = follower_of(holder)
  if follower then self:cancel(follower) end
  if holder.state == STATE.running then return self:take(task, holder, true) end
  self:cancel(holder)
  return self:take(task)
end

-- The holder's task is kept in its verdict as it is now, because a later task of the list may replace it.
function Submission:meet(task, holder)
  local on_conflict = task[TASK.on_conflict]
  holder.task = holder.task or tasks:get(holder.id)
  if on_conflict == ON_CONFLICT.join then return {word = VERDICT.accepted, record = holder} end
  if on_conflict == ON_CONFLICT.latest then return self:renew(task, holder) end
  if on_conflict == ON_CONFLICT.supersede then return self:supersede(task, holder) end
  return {word = VERDICT.duplicate, record = holder}
end

function Submission:decide(tasks)
  names:read(column(tasks, TASK.name))
  for i, task in ipairs(tasks) do
    local holder = holder_of(task[TASK.name])
    self.verdicts[i] = holder and self:meet(task, holder) or self:take(task)
  end
end

function Submission:has_refused()
  for _, verdict in ipairs(self.verdicts) do
    if verdict.word == VERDICT.full then return true end
  end
  return false
end

-- Undoes every acceptance, because the list does not fit as a whole.
function Submission:refuse()
  open_book()
  for i, verdict in ipairs(self.verdicts) do
    if verdict.word ~= VERDICT.duplicate or not find(verdict.record.number) then self.verdicts[i] = {word = VERDICT.full} end
  end
  self.taken = {}
end

function Submission:apply()
  if #self.taken == 0 then return end
  call('HSET', key('head'), 'acceptances', self.acceptances)
  for i, record in ipairs(self.taken) do
    if not self.replaced[i] and record.state == STATE.pending then
      changes[#changes + 1] = record.number
    else
      told(record)
    end
  end
  tell(MESSAGE.work)
end

-- Builds the reply. For an accepted pending task it is the number alone, because the caller knows the rest.
function Submission:answer()
  local answers = {}
  for i, verdict in ipairs(self.verdicts) do
    local record, superseded = verdict.record, verdict.superseded
    if not record then
      answers[i] = NONE.room
    elseif verdict.fresh and record.state == STATE.pending then
      answers[i] = record.number
    else
      answers[i] = LIST.taken{verdict = verdict.word, row = row(record), superseded = superseded and row(superseded) or false}
    end
    if superseded then tell_to_cancel(superseded) end
  end
  return answers
end

-- Returns a number per task, by which an answer remembers its verdict, and whether a task was accepted.
function Submission:numbers()
  local numbers, has_accepted = {}, false
  for i, verdict in ipairs(self.verdicts) do
    local number = verdict.record and verdict.record.number or NONE.room
    numbers[i] = verdict.word == VERDICT.accepted and number or -number
    has_accepted = has_accepted or verdict.word == VERDICT.accepted
  end
  return numbers, has_accepted
end

-- Returns the error reply for a submit while held names are missing, or nil.
function Submission.refusal()
  if not are_names_missing() then return nil end
  mend_soon()
  return refuse(REFUSAL.mending, 'the held names are being restored from the records')
end

function Submission.decided(tasks, atomic, queue_size)
  local submission = Submission.new(queue_size)
  submission:decide(tasks)
  if atomic and submission:has_refused() then submission:refuse() end
  submission:apply()
  return submission
end

verb('submit', function(id, tasks, atomic, queue_size)
  notice_restart()
  local refusal = Submission.refusal()
  if refusal then return nil, refusal end
  return once(id, function() return Submission.decided(tasks, atomic, queue_size):answer() end)
end, {})

-- Submits the tasks of a request (`REQUEST`) and remembers the answer, or returns the answer that is remembered for it.
verb('submit_once', function(id, request, tasks, atomic, queue_size)
  notice_restart()
  local refusal = Submission.refusal()
  if refusal then return nil, refusal end
  return once(id, function()
    local answer = Answers.remembered(request[REQUEST.kind], request[REQUEST.request], request[REQUEST.seconds_max])
    if answer then return LIST.once{answer = answer, verdicts = {}} end
    local submission = Submission.decided(tasks, atomic, queue_size)
    local numbers, has_accepted = submission:numbers()
    if has_accepted then Answers.remember(request, numbers) end
    return LIST.once{answer = false, verdicts = submission:answer()}
  end)
end, {})

verb('remembered', function(kind, request, seconds_max)
  return Answers.remembered(kind, request, seconds_max) or false
end)

-- Returns how many places are free. If there are too few, the caller is notified when there are more.
verb('seek', function(least, queue_size)
  local free = queue_size - waiting()
  if free < least then call('SET', key('seekers'), '1', 'PX', SEEK_MS) end
  return free
end)
