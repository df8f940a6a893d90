-- Counts a wrong password. Answers the counts that it is judged by: of the account, of the client network (0: not counted).
if is_known then
  return {count(KEYS[4]), 0}
end
return {count(KEYS[2]), count(KEYS[3])}
