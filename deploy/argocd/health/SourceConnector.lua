-- Health of a SourceConnector, for Argo CD.
local hs = {}
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
elseif obj.spec ~= nil and obj.spec.state == "paused" then
  hs.status, hs.message = "Suspended", words(condition("Ready"), "it is paused on purpose")
elseif is_true("Ready") then
  hs.status, hs.message = "Healthy", words(condition("Ready"), "its workers run")
else
  hs.status, hs.message = "Progressing", words(condition("Reconciling") or condition("Ready"), "it is starting")
end
return hs
