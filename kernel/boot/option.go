package boot

// Option looks up key in a command line of words split by spaces: the word
// "key", whose value is "", or "key=value". The last one counts.
func Option(cmdline, key string) (value string, ok bool) {
	if key == "" {
		return "", false
	}
	for end := len(cmdline); end > 0; {
		start := end
		for start > 0 && cmdline[start-1] != ' ' {
			start--
		}
		word := cmdline[start:end]
		if len(word) >= len(key) && word[:len(key)] == key {
			switch rest := word[len(key):]; {
			case rest == "":
				return "", true
			case rest[0] == '=':
				return rest[1:], true
			}
		}
		end = start - 1
	}
	return "", false
}
