package tty

// The line discipline of terminals (termios(3); drivers/tty/n_tty.c, from which it has
// what the manual leaves open): what typed keys become, how they are echoed, and what
// output becomes on its way to the screen.

// discipline is its state, under the terminal's mu.
type discipline struct {
	in    []key // what has come and nobody has read
	canon int   // of it complete lines
	next  bool  // the next key stands for itself
	echo  []byte

	column      int // of the cursor
	canonColumn int // where the line that is being edited begins
}

// key is a byte that was typed. One that ends a line is marked; with the value 0 it is the
// end of a file, which nobody reads.
type key uint16

const (
	keyEnds key = 1 << 8
	keyEOF      = keyEnds
)

// What is to be echoed is bytes, and operations after echoOp: a control character is shown
// as ^ and another, echoOp is the byte itself.
const (
	echoOp       = 0xff
	echoCanonCol = 0x81 // the line begins here
	echoEraseTab = 0x82 // the columns before the tab follow, with echoAfterTab if they begin at another
	echoAfterTab = 0x80
)

func isControl(c byte) bool { return c < ' ' || c == 127 }

// isLetter, isUpper and isLower are about Latin 1, as Linux has it.
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' || 0xc0 <= c && c <= 0xde && c != 0xd7 }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' || 0xdf <= c && c != 0xf7 }
func isAlnum(c byte) bool { return isUpper(c) || isLower(c) || '0' <= c && c <= '9' }

// continues says whether c is not the first byte of a character.
func (y *Terminal) continues(c byte) bool { return y.set.iflag&iUTF8 != 0 && c&0xc0 == 0x80 }

// key takes a byte that was typed; it returns a signal to send, or 0.
func (y *Terminal) key(c byte) int {
	s := &y.set
	if s.iflag&iStrip != 0 {
		c &= 0x7f
	}
	if s.iflag&iUCLC != 0 && s.lflag&lIExten != 0 && isUpper(c) {
		c += 'a' - 'A'
	}
	if y.next {
		y.next = false
		y.take(c, false)
		return 0
	}
	if y.flowKey(c) {
		return 0
	}
	is := func(k int) bool { return c != 0 && c == s.cc[k] }
	if s.lflag&lISig != 0 {
		for _, k := range [...]struct{ cc, sig int }{{vIntr, sigInt}, {vQuit, sigQuit}, {vSusp, sigTStp}} {
			if !is(k.cc) {
				continue
			}
			if s.lflag&lNoFlsh == 0 {
				y.forget()
				y.tellMaster(pktFlushRead|pktFlushWrite, 0)
			}
			if s.iflag&iXON != 0 {
				y.start()
			}
			if s.lflag&lEcho != 0 {
				y.echoKey(c)
			}
			return k.sig
		}
	}
	plainNewline := false
	switch {
	case c == '\r' && s.iflag&iIgnCR != 0:
		return 0
	case c == '\r' && s.iflag&iCRNL != 0:
		c, plainNewline = '\n', true
	case c == '\n' && s.iflag&iNLCR != 0:
		c = '\r'
	}
	extended := s.lflag&lIExten != 0
	switch {
	case s.lflag&lICanon == 0:
		y.take(c, plainNewline)
	case is(vErase), is(vKill), is(vWErase) && extended:
		y.erase(c)
	case is(vLNext) && extended:
		y.next = true
		if s.lflag&(lEcho|lEchoCtl) == lEcho|lEchoCtl {
			y.echo = append(y.echo, "^\b"...)
		}
	case is(vReprint) && extended && s.lflag&lEcho != 0:
		y.echoKey(c)
		y.echoByte('\n')
		for _, k := range y.in[y.canon:] {
			y.echoKey(byte(k))
		}
	case c == '\n':
		if s.lflag&(lEcho|lEchoNL) != 0 {
			y.echoByte('\n')
		}
		y.endLine(c)
	case is(vEOF):
		y.endLine(0)
	case is(vEOL), is(vEOL2) && extended:
		if s.lflag&lEcho != 0 {
			y.lineBegins()
			y.echoKey(c)
		}
		if c == 0xff && s.iflag&iParMrk != 0 {
			y.put(c)
		}
		y.endLine(c)
	default:
		y.take(c, false)
	}
	return 0
}

// take takes a byte that means itself.
func (y *Terminal) take(c byte, plainNewline bool) {
	switch {
	case y.set.lflag&lEcho == 0:
	case plainNewline:
		y.echoByte(c)
	default:
		y.lineBegins()
		y.echoKey(c)
	}
	if c == 0xff && y.set.iflag&iParMrk != 0 {
		y.put(c)
	}
	y.put(c)
}

// put adds a byte to what can be read, or will when the line is complete; what is too much
// is lost.
func (y *Terminal) put(c byte) {
	if len(y.in)-y.canon < maxInput-1 {
		y.in = append(y.in, key(c))
	}
}

func (y *Terminal) endLine(c byte) {
	y.in = append(y.in, key(c)|keyEnds)
	y.canon = len(y.in)
}

// forget drops what nobody has read, and its echo.
func (y *Terminal) forget() { y.in, y.canon, y.echo = nil, 0, nil }

// switched is what becomes of what was typed when lines are edited from now on, or no more.
func (y *Terminal) switched(canonical bool) {
	for i := range y.in {
		y.in[i] &^= keyEnds
	}
	y.canon, y.next = 0, false
	if n := len(y.in); canonical && n > 0 {
		y.in[n-1] |= keyEnds
		y.canon = n
	}
}

// echoByte echoes a byte as it is, echoKey so that it can be seen.
func (y *Terminal) echoByte(c byte) {
	if c == echoOp {
		y.echo = append(y.echo, echoOp)
	}
	y.echo = append(y.echo, c)
}

func (y *Terminal) echoKey(c byte) {
	if isControl(c) && c != '\t' && y.set.lflag&lEchoCtl != 0 {
		y.echo = append(y.echo, echoOp)
	}
	y.echoByte(c)
}

// lineBegins notes the column if the next key is the first of a line.
func (y *Terminal) lineBegins() {
	if len(y.in) == y.canon {
		y.echo = append(y.echo, echoOp, echoCanonCol)
	}
}

// erase takes a character off the line, a word, or all of it, and off the screen.
func (y *Terminal) erase(c byte) {
	s := &y.set
	if len(y.in) == y.canon {
		return
	}
	echoes, one, word := s.lflag&lEcho != 0, c == s.cc[vErase], false
	if !one {
		word = c == s.cc[vWErase]
	}
	const seen = lEchoK | lEchoKE | lEchoE
	if !one && !word && (!echoes || s.lflag&seen != seen) {
		y.in = y.in[:y.canon]
		if echoes {
			y.echoKey(s.cc[vKill])
			if s.lflag&lEchoK != 0 {
				y.echoByte('\n')
			}
		}
		return
	}
	for inWord := false; len(y.in) > y.canon; {
		at := len(y.in) - 1
		for y.continues(byte(y.in[at])) && at > y.canon {
			at--
		}
		c := byte(y.in[at])
		if y.continues(c) { // a part of a character
			break
		}
		if word {
			if isAlnum(c) || c == '_' {
				inWord = true
			} else if inWord {
				break
			}
		}
		y.in = y.in[:at]
		switch {
		case !echoes:
		case one && s.lflag&lEchoE == 0:
			y.echoKey(s.cc[vErase])
		case c == '\t':
			y.eraseTab()
		case isControl(c) && s.lflag&lEchoCtl != 0:
			y.echo = append(y.echo, "\b \b\b \b"...)
		case !isControl(c):
			y.echo = append(y.echo, "\b \b"...)
		}
		if one {
			break
		}
	}
}

// eraseTab takes off the screen a tab that was the last in the line.
func (y *Terminal) eraseTab() {
	n, after := 0, byte(0)
	for i := len(y.in) - 1; i >= y.canon && after == 0; i-- {
		switch c := byte(y.in[i]); {
		case c == '\t':
			after = echoAfterTab
		case isControl(c):
			if y.set.lflag&lEchoCtl != 0 {
				n += 2
			}
		case !y.continues(c):
			n++
		}
	}
	y.echo = append(y.echo, echoOp, echoEraseTab, byte(n&7)|after)
}

// echoed returns what the screen shall show of what was typed; nothing while output is
// stopped.
func (y *Terminal) echoed() (out []byte) {
	if y.stopped {
		y.echo = y.echo[:min(len(y.echo), maxInput)]
		return nil
	}
	for i := 0; i < len(y.echo); i++ {
		c := y.echo[i]
		if c != echoOp {
			out = y.output(out, c)
			continue
		}
		if i++; i == len(y.echo) {
			break
		}
		switch c = y.echo[i]; c {
		case echoOp:
			out = append(out, c)
			y.column++
		case echoCanonCol:
			y.canonColumn = y.column
		case echoEraseTab:
			if i++; i == len(y.echo) {
				break
			}
			n := int(y.echo[i])
			if n&echoAfterTab == 0 {
				n += y.canonColumn
			}
			for n = 8 - n&7; n > 0; n-- {
				out = append(out, '\b')
				y.column = max(y.column-1, 0)
			}
		default:
			out = append(out, '^', c^0x40)
			y.column += 2
		}
	}
	y.echo = nil
	return out
}

// output appends what a byte becomes on the screen.
func (y *Terminal) output(out []byte, c byte) []byte {
	flags := y.set.oflag
	if flags&oPost == 0 {
		return append(out, c)
	}
	switch {
	case c == '\n':
		if flags&oNLRet != 0 {
			y.column = 0
		}
		if flags&oNLCR != 0 {
			y.column = 0
			out = append(out, '\r')
		}
		y.canonColumn = y.column
	case c == '\r':
		if flags&oNoCR != 0 && y.column == 0 {
			return out
		}
		if flags&oCRNL != 0 {
			c = '\n'
			if flags&oNLRet == 0 {
				break
			}
		}
		y.column, y.canonColumn = 0, 0
	case c == '\t':
		n := 8 - y.column&7
		y.column += n
		if flags&oTabs == oTabs {
			return append(out, "        "[:n]...)
		}
	case c == '\b':
		y.column = max(y.column-1, 0)
	case !isControl(c):
		if flags&oLCUC != 0 && isLower(c) {
			c -= 'a' - 'A'
		}
		if !y.continues(c) {
			y.column++
		}
	}
	return append(out, c)
}

// chunk is how many bytes at a time a terminal is read on Linux: what cannot be written
// where the reader wants it is lost with all of its chunk.
const chunk = 64

// readInput moves to u what can be read: a line, up to its end, or else anything.
func (y *Terminal) readInput(u Buffer) int {
	n, used := min(len(y.in), u.Len()), 0
	if y.set.lflag&lICanon == 0 {
		used = n
	} else {
		n = 0
		for n < min(y.canon, u.Len()) && y.in[n]&keyEnds == 0 {
			n++
		}
		used = n
		if n < y.canon && y.in[n]&keyEnds != 0 && (y.in[n] == keyEOF || n < u.Len()) {
			used++
			if y.in[n] != keyEOF {
				n++
			}
		}
	}
	done := 0
	for at, fault := 0, false; at < n && !fault; {
		var buf [chunk]byte
		k := min(n-at, len(buf))
		for i, c := range y.in[at : at+k] {
			buf[i] = byte(c)
		}
		put := u.Put(buf[:k])
		done += put
		fault = put < k
		if at += k; fault && at < n {
			used = at
		}
	}
	y.in = y.in[used:]
	y.canon = max(y.canon-used, 0)
	return done
}

// readable is how many bytes there are to be read.
func (y *Terminal) readable() (n int) {
	if y.set.lflag&lICanon == 0 {
		return len(y.in)
	}
	for _, k := range y.in[:y.canon] {
		if k != keyEOF {
			n++
		}
	}
	return n
}

// available says whether a read finds something that waits for least bytes.
func (y *Terminal) available(least int) bool {
	if y.set.lflag&lICanon != 0 {
		return y.canon > 0
	}
	return len(y.in) >= least
}
