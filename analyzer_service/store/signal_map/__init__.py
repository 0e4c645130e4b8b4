"""The signal map in the store: files of rules, proving and changing them, deriving again."""
