-- One call of work.compute after the other. The argument is how many steps each takes.
function init(args)
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   wrk.body = '{"jsonrpc":"2.0","id":1,"method":"work.compute","params":[' .. args[1] .. ']}'
end

local prepared = nil
function request()
   if prepared == nil then
      prepared = wrk.format(nil, nil)
   end
   return prepared
end
