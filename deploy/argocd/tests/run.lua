-- Runs the health check on every case of every kind: lua deploy/argocd/tests/run.lua FOLDER
local folder = arg[1] or "deploy/argocd"

local function condition(type, status, message)
  return {type = type, status = status, reason = "Reason", message = message}
end
local function resource(kind, change)
  local made = {
    kind = kind,
    metadata = {generation = 2},
    spec = {state = "running"},
    status = {observedGeneration = 2, conditions = {condition("Ready", "True", "all is well")}},
  }
  if change ~= nil then change(made) end
  return made
end

-- What is changed of a resource that is ready, and what comes of it.
local cases = {
  {"ready", nil, "Healthy", "all is well"},
  {"ready without words", function(r) r.status.conditions[1].message = "" end, "Healthy", nil},
  {"no status", function(r) r.status = nil end, "Progressing", "the operator has not seen it yet"},
  {"a status without generation", function(r) r.status = {} end, "Progressing", "the operator has not seen it yet"},
  {"no conditions", function(r) r.status.conditions = nil end, "Progressing", nil},
  {"an older status", function(r) r.metadata.generation = 3 end, "Progressing", "the operator has not seen the change yet"},
  {"an older status that was stalled", function(r)
    r.metadata.generation = 3
    r.status.conditions = {condition("Ready", "False", "x"), condition("Stalled", "True", "x")}
  end, "Progressing", "the operator has not seen the change yet"},
  {"starting", function(r)
    r.status.conditions = {condition("Ready", "False", "not yet"), condition("Reconciling", "True", "waits for Secret x")}
  end, "Progressing", "waits for Secret x"},
  {"not ready, and nothing more", function(r)
    r.status.conditions = {condition("Ready", "Unknown", "who knows")}
  end, "Progressing", "who knows"},
  {"stalled", function(r)
    r.status.conditions = {condition("Ready", "False", "x"), condition("Stalled", "True", "there is no topic; make it")}
  end, "Degraded", "there is no topic; make it"},
  {"a stall that is over", function(r)
    r.status.conditions = {condition("Stalled", "False", ""), condition("Ready", "True", "all is well")}
  end, "Healthy", "all is well"},
  {"being deleted", function(r) r.metadata.deletionTimestamp = "2026-11-21T10:00:00Z" end, "Progressing", "it is being deleted"},
  {"paused", function(r)
    r.spec.state = "paused"
    r.status.conditions[1].message = "it is paused, and keeps its place"
  end, "Healthy", "it is paused, and keeps its place"},
  {"paused, and stalled", function(r)
    r.spec.state = "paused"
    r.status.conditions = {condition("Stalled", "True", "the slot is lost")}
  end, "Degraded", "the slot is lost"},
}

local failed, ran = 0, 0
for _, kind in ipairs({"Sink", "SourceConnector", "KafkaConnection", "SchemaRegistryConnection"}) do
  for _, case in ipairs(cases) do
    local name, change, status, message = table.unpack(case)
    local environment = {obj = resource(kind, change), ipairs = ipairs, pairs = pairs}
    local health = assert(loadfile(folder .. "/health.lua", "t", environment))()
    ran = ran + 1
    local said = type(health.message) == "string" and health.message ~= ""
    if health.status ~= status or not said or (message ~= nil and health.message ~= message) then
      failed = failed + 1
      print(kind .. ", " .. name .. ": " .. tostring(health.status) .. ", " .. tostring(health.message))
    end
  end
end
print(ran .. " cases, " .. failed .. " failed")
os.exit(failed == 0)
