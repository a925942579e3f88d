-- Script for wrk: sends one task with a unique name per request, and prints the result as JSON at the end.
-- Usage: wrk ... -s wrk.lua URL -- PREFIX

local number = 0

function init(arguments)
    prefix = arguments[1]
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
end

function request()
    number = number + 1
    return wrk.format(nil, nil, nil, string.format('{"name":"%s-%d","handler":"no_op"}', prefix, number))
end

function done(summary)
    local failed = summary.errors
    io.write(string.format(
        '{"answered":%d,"seconds":%f,"failed":%d}\n', summary.requests, summary.duration / 1e6,
        failed.connect + failed.read + failed.write + failed.status + failed.timeout
    ))
end
