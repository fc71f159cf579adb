package boot

// Option looks for the word key or key=value in a command line, words being
// separated by spaces, and returns the value. The last one counts.
func Option(cmdline, key string) (value string, ok bool) {
	for i := 0; i < len(cmdline); {
		start := i
		for i < len(cmdline) && cmdline[i] != ' ' && cmdline[i] != '\n' && cmdline[i] != '\t' {
			i++
		}
		word := cmdline[start:i]
		if len(word) >= len(key) && word[:len(key)] == key {
			if len(word) == len(key) {
				value, ok = "", true
			} else if word[len(key)] == '=' {
				value, ok = word[len(key)+1:], true
			}
		}
		i++
	}
	return value, ok
}
