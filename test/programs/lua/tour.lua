-- A tour of Lua's library, with nothing that another run would show otherwise.

print(_VERSION, #arg, arg[1])

-- Coroutines: primes by a chain of filters, errors across them, closing.
local function filter(p, source)
	return coroutine.wrap(function()
		for n in source do if n % p ~= 0 then coroutine.yield(n) end end
	end)
end
local source, primes = coroutine.wrap(function() for n = 2, 500 do coroutine.yield(n) end end), {}
while true do
	local p = source()
	if not p then break end
	primes[#primes + 1] = p
	source = filter(p, source)
end
print(#primes, primes[#primes])
local co = coroutine.create(function(...) local x = coroutine.yield(select("#", ...)) error({code = x}) end)
print(coroutine.resume(co, 1, nil, 3))
local ok, err = coroutine.resume(co, 42)
print(ok, err.code, coroutine.status(co), coroutine.resume(co))
print(pcall(function() local t <close> = setmetatable({}, {__close = function(_, e) print("closed", e) end}) error("out", 0) end))

-- Deep recursion, into the C stack and the Lua stack.
local function deep(n) return n == 0 and 0 or 1 + deep(n - 1) end
print(deep(150000))
print((select(2, pcall(function() local function f() return f() + 1 end return f() end)):gsub("\n.*", "")))
print((select(2, pcall(string.rep, "x", -1))), pcall(string.rep, "x", 1 << 40))

-- Strings.
for w, n in ("one=1, two=2, three=3"):gmatch("(%w+)=(%w+)") do io.write(w, ":", n, " ") end
print(("hello world"):gsub("o", {o = "0"}), ("x"):rep(3, "-"), ("%5.2f|%-6s|%q|%x"):format(math.pi, "ab", "a\n\0b", 255))
print(string.pack("<i4 z s2 d", -2, "zero", "two", 0.5):byte(1, -1))
print(string.unpack("<i4 z s2 d", string.pack("<i4 z s2 d", -2, "zero", "two", 0.5)))
print(utf8.len("grüße, 世界"), utf8.char(0x4e16, 0x754c), #utf8.charpattern)
for _, c in utf8.codes("aü世") do io.write(c, " ") end
print(("key = value"):match("^(%w+)%s*=%s*(%w+)$"), ("f(a(b)c)d"):match("%b()"), ("THE (quick) fox"):find("%((%a+)%)"))

-- Numbers.
print(7 // 2, -7 // 2, 7 % -3, 2^53, 1 // 0.0, -1 // 0.0, 0/0 ~= 0/0, math.maxinteger + 1 == math.mininteger, 3 | 4 ~ 1, 1 << 63, 10 / 2)
print(math.tointeger("8"), tonumber("0x1p4"), tonumber("10", 2), tonumber("z", 36), math.type(1), math.type(1.0), math.ult(1, -1))
print(math.sin(1), math.exp(1), math.log(10), math.sqrt(2), math.floor(-3.5), math.fmod(-6, 4))
math.randomseed(42)
local sum = 0
for _ = 1, 1000 do sum = sum + math.random(100) end
print(sum)

-- Tables, and the collector at work.
local t = {}
for i = 1, 20000 do t[i] = (i * 7919) % 20011 end
table.sort(t)
print(t[1], t[10000], t[20000], table.concat(t, ",", 1, 8), table.unpack({1, 2, 3}, 2))
table.sort(t, function(a, b) return a > b end)
print(t[1], select("#", table.unpack(t, 1, 200)), next({}), rawlen(t), #table.move(t, 1, 5, 2, {}))
local weak, finalized = setmetatable({}, {__mode = "k"}), 0
for i = 1, 20000 do
	local o = setmetatable({i}, {__gc = function() finalized = finalized + 1 end})
	weak[o] = string.rep("garbage", i % 10)
end
collectgarbage() collectgarbage()
print(next(weak), finalized, collectgarbage("count") < 20000)

-- Files.
local name = os.tmpname()
print(name:match("^/tmp/lua_%w+$") ~= nil)
local f = assert(io.open(name, "w+"))
for i = 1, 1000 do f:write("line ", i, " ", i / 7, "\n") end
print(f:seek("cur"), f:seek("set", 100), f:read("n", "l", "L", 7))
print(f:seek("end"), f:read(1), f:read(0), f:setvbuf("full", 100))
f:close()
local lines, bytes = 0, 0
for l in io.lines(name) do lines, bytes = lines + 1, bytes + #l end
print(lines, bytes, io.type(f), io.type(io.stdout), pcall(f.read, f))
f = assert(io.open(name, "r+b"))
f:seek("set", 5) f:write("ONE") f:seek("set", 0)
print(f:read(12))
f:close()
f = assert(io.open(name, "a"))
f:write("appended\n")
print(f:seek("cur"))
f:close()
local function hide(...) -- the name
	local r = {...}
	for i = 1, select("#", ...) do r[i] = tostring(r[i]):gsub(name, "NAME", 1) end
	print(table.unpack(r))
end
hide(os.rename(name, name .. ".moved"))
hide(io.open(name))
hide(os.remove(name))
for a, b in io.lines(name .. ".moved", 1, 10) do print(a, b) break end
io.output(name):write("1 2.5 0x10 nan\n"):close()
io.output(io.stdout)
io.input(name)
print(io.read("n", "n", "n", "n"))
io.close(io.input())
io.input(io.stdin)
hide(os.remove(name .. ".moved"), os.remove(name), os.remove(name))
print(io.open("/", "w"), io.open("/nonexistent/x"), io.open("/proc/self/cmdline"):read(0) ~= nil)
print(pcall(io.lines, "/nonexistent"))
print(io.read("a"))

-- The system.
print(os.time({year = 2024, month = 2, day = 30, hour = 12}), os.date("!%Y-%m-%d %H:%M:%S %a %j", 1e9), os.date("!*t", 0).wday, os.difftime(5, 3))
print(os.getenv("HOME"), os.getenv("NOSUCH"), os.clock() >= 0, os.time() > 1.6e9, os.setlocale(), os.setlocale("nonsense"))
local chunk = load("local a, b = ... return a + b, _ENV == nil")
print(chunk(1, 2), load("x ="), load(string.dump(chunk), "dumped", "t"))
print(select(2, xpcall(function() local x = nil; x.y = 1 end, function(m) return "handled: " .. m:gsub("^.-:%d+: ", "") end)))
print(pcall(require, "nosuchmodule") == false, package.config:sub(1, 1), debug.getinfo(1, "l").currentline)
local steps = 0
debug.sethook(function() steps = steps + 1 end, "", 1000)
for _ = 1, 100000 do end
debug.sethook()
print(steps > 50)
io.stderr:write("to stderr\n")
os.exit(arg[1] == "exit" and 7 or true, true)
