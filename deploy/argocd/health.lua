-- Health of Afterbay's resources, for Argo CD: one check for all four kinds.
local hs = {}
-- What is said where the operator has left no words.
local healthy = {
  KafkaConnection = "the brokers answer",
  SchemaRegistryConnection = "the registry answers",
  SourceConnector = "its workers run",
  Sink = "it carries",
}
local is_connection = obj.kind == "KafkaConnection" or obj.kind == "SchemaRegistryConnection"
local progressing = is_connection and "nobody has answered yet" or "it is starting"
local function condition(name)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, each in ipairs(obj.status.conditions) do
      if each.type == name then return each end
    end
  end
end
local function is_true(name)
  local found = condition(name)
  return found ~= nil and found.status == "True"
end
local function words(found, otherwise)
  if found ~= nil and found.message ~= nil and found.message ~= "" then return found.message end
  return otherwise
end

if obj.metadata.deletionTimestamp ~= nil then
  hs.status, hs.message = "Progressing", "it is being deleted"
elseif obj.status == nil or obj.status.observedGeneration == nil then
  hs.status, hs.message = "Progressing", "the operator has not seen it yet"
elseif obj.metadata.generation ~= nil and obj.status.observedGeneration ~= obj.metadata.generation then
  hs.status, hs.message = "Progressing", "the operator has not seen the change yet"
elseif is_true("Stalled") then
  hs.status, hs.message = "Degraded", words(condition("Stalled"), "it is stalled")
elseif is_true("Ready") then
  -- Also what is paused on purpose, as its words say: for a "Suspended" one Argo CD holds back all later sync waves.
  hs.status, hs.message = "Healthy", words(condition("Ready"), healthy[obj.kind])
else
  hs.status, hs.message = "Progressing", words(condition("Reconciling") or condition("Ready"), progressing)
end
return hs
