-- What wrk sends, and how it reports. Requests are put together before the run, so that the client costs little.
--
-- Arguments: none (GET, the same each time), or
--   MODE    drawn: any body at random; ordered: one after the other; walk: each once, checking the answers;
--           put: like drawn, by PUT; get: no bodies, but any path at random
--   BODIES  a file with one JSON body a line; for get a path, a tab, and an ETag for If-None-Match or nothing
--   FIRST   ordered: the number of the body to begin with, from 0
--   TEXT    walk: what each answer must hold

local CONNECTIONS = 16

local function walk(number, text)
   local answered, wrong, sample = 0, 0, ""
   response = function(status, headers, body)
      answered = answered + 1
      if status ~= 200 or not body:find(text, 1, true) then
         wrong, sample = wrong + 1, status .. " " .. body
      end
      -- A few more than there are bodies, for those whose answers are under way.
      if answered == number + CONNECTIONS then
         print(("%d of %d answers are wrong, such as: %s"):format(wrong, answered, sample))
         os.exit(wrong == 0 and 0 or 1)
      end
   end
end

function init(arguments)
   local mode, bodies, first, text = arguments[1], arguments[2], arguments[3], arguments[4]
   if not mode then
      return
   end
   if mode == "get" then
      local paths = {}
      for line in io.lines(bodies) do
         local path, etag = line:match("([^\t]*)\t(.*)")
         local headers = etag ~= "" and {["If-None-Match"] = etag} or {}
         for name, value in pairs(wrk.headers) do
            headers[name] = value
         end
         paths[#paths + 1] = wrk.format("GET", path, headers)
      end
      request = function()
         return paths[math.random(#paths)]
      end
      return
   end
   wrk.method = mode == "put" and "PUT" or "POST"
   wrk.headers["Content-Type"] = "application/json"
   local requests = {}
   for body in io.lines(bodies) do
      requests[#requests + 1] = wrk.format(nil, nil, nil, body)
   end
   if mode == "drawn" or mode == "put" then
      request = function()
         return requests[math.random(#requests)]
      end
      return
   end
   local at = tonumber(first)
   request = function()
      at = at + 1
      return requests[(at - 1) % #requests + 1]
   end
   if mode == "walk" then
      walk(#requests, text)
   end
end

function done(summary, latency)
   local errors = summary.errors
   print(('{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "failures": %d}'):format(
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
