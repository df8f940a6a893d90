-- Counts a wrong password.
if is_known then
  count(KEYS[4])
else
  count(KEYS[2])
  count(KEYS[3])
end
return 1
