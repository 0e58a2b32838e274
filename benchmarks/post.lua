-- wrk's side of a measurement: POST one body over and over, and report as one line of JSON.
-- Arguments after `--`: the file with the body, and its content type.
-- No request() and no response() here: either would make wrk run Lua for every call.

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["Content-Type"] = args[2]
   file:close()
end

local REPORT = '\n{"requests": %d, "bytes": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d,'
   .. ' "errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}\n'

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(REPORT:format(
      summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
