-- May this client try a password now? 1: yes, 0: it has to wait. Changes nothing.
if is_throttled() then
  return 0
end
return 1
