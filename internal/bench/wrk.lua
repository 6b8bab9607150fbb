-- Runs in wrk, after a plan: a file of Lua that returns a table with method, headers and
-- body; or, where each request takes a token of its own, with pool, a file of tokens,
-- template, what is sent with one, and find, the pattern of its successor in the answer.
-- delay is how many milliseconds a connection waits before each request, on average.
local threads = 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

local function drawFromPool(plan)
   local queue, first, last = {}, 1, 0
   local i = 0
   for token in io.lines(plan.pool) do
      if i % plan.threads == number then
         last = last + 1
         queue[last] = token
      end
      i = i + 1
   end

   function request()
      local token = queue[first] or "the pool is empty"
      queue[first] = nil
      first = math.min(first, last) + 1
      return wrk.format(nil, nil, nil, string.format(plan.template, token))
   end

   function response(status, headers, body)
      local token = status == 200 and string.match(body, plan.find)
      if token then
         last = last + 1
         queue[last] = token
      end
   end
end

function init(args)
   local plan = dofile(args[1])
   wrk.method, wrk.body = plan.method, plan.body
   for name, value in pairs(plan.headers) do
      wrk.headers[name] = value
   end
   if plan.pool then
      drawFromPool(plan)
   end
   if plan.delay then
      math.randomseed(os.time() + number)
      function delay() return math.random(0, 2 * plan.delay) end
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\nRESULT {"requests":%d,"micros":%d,"refused":%d,"broken":%d,"p50":%.0f,"p99":%.0f}\n',
      summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
      latency:percentile(50), latency:percentile(99)))
end
