-- Returns the error to reply with if feeds of this type do not have one of the settings, else
-- nothing. The settings are words: name, the types that have it, the types that do not, with commas
-- between types; ... A type that a program has registered has every setting.
local function setting_mismatch(name, type, limited)
  type = type ~= '' and type or 'feed'
  for setting, types, others in string.gmatch(limited, '(%S+) (%S+) (%S+)') do
    if string.find(',' .. others .. ',', ',' .. type .. ',', 1, true) then
      return redis.error_reply("WRONGFEEDTYPE the setting '" .. setting .. "' is for feeds of type "
        .. string.gsub(types, ',', ', ') .. "; feed '" .. name .. "' is of type '" .. type
        .. "' (use force to store it anyway)")
    end
  end
end
