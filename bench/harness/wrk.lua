-- wrk's side of the load: send the prepared bodies in order, once or round and round, and report as JSON.
-- wrk -s wrk.lua URL -- TOKENS_FILE HEAD TAIL once|round

local prepared = {}
local threads = {}
sent = 0
exhausted = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local head, tail = args[2], args[3]
  once = args[4] == "once"
  local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
  for token in io.lines(args[1]) do
    prepared[#prepared + 1] = wrk.format("POST", nil, headers, head .. token .. tail)
  end
end

function request()
  if once and sent == #prepared then
    exhausted = 1
    wrk.thread:stop()
    return prepared[1] -- not sent any more
  end
  sent = sent + 1
  return prepared[(sent - 1) % #prepared + 1]
end

function done(summary, latency)
  local errors = summary.errors
  local line = '{"answered": %d, "sent": %d, "exhausted": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, '
    .. '"failed": {"status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}}'
  io.write("\n", string.format(line, summary.requests, threads[1]:get("sent"), threads[1]:get("exhausted"),
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout), "\n")
end
