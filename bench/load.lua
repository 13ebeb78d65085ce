-- What wrk sends, and how it reports. Requests are put together before the run, so that the client costs little.
--
-- Arguments:
--   MODE      drawn: any request at random; ordered: one after the other; walk: each once, checking the answers
--   REQUESTS  a file with one request a line: method, path, headers and body, with tabs between them; between two
--             headers there is the character 31
--   FIRST     ordered: the number of the request to begin with, from 0
--   CLIENTS   walk: the number of connections
--   TEXT      walk: what each answer must hold

local function read(file)
   local requests = {}
   for line in io.lines(file) do
      local method, path, given, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
      local headers = {}
      for name, value in pairs(wrk.headers) do
         headers[name] = value
      end
      for name, value in given:gmatch("([^:\31]+): ([^\31]*)") do
         headers[name] = value
      end
      if body ~= "" then
         headers["Content-Type"] = "application/json"
      end
      requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
   end
   return requests
end

local function walk(number, clients, text)
   local answered, wrong, sample = 0, 0, ""
   response = function(status, headers, body)
      answered = answered + 1
      if status ~= 200 or not body:find(text, 1, true) then
         wrong, sample = wrong + 1, status .. " " .. body
      end
      -- A few more than there are requests, for those whose answers are under way.
      if answered == number + clients then
         print(("%d of %d answers are wrong, such as: %s"):format(wrong, answered, sample))
         os.exit(wrong == 0 and 0 or 1)
      end
   end
end

function init(arguments)
   local mode, requests = arguments[1], read(arguments[2])
   if mode == "drawn" then
      request = function()
         return requests[math.random(#requests)]
      end
      return
   end
   local at = tonumber(arguments[3])
   request = function()
      at = at + 1
      return requests[(at - 1) % #requests + 1]
   end
   if mode == "walk" then
      walk(#requests, tonumber(arguments[4]), arguments[5])
   end
end

function done(summary, latency)
   local errors = summary.errors
   local broken = errors.connect + errors.read + errors.write
   if broken + errors.timeout + errors.status > 0 then
      print(("%d responses with the status of an error, %d time-outs, %d errors of sockets"):format(
         errors.status, errors.timeout, broken))
      os.exit(1)
   end
   print(('{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}'):format(
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
