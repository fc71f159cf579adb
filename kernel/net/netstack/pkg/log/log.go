// Package log takes the place of gVisor's, which has regular expressions, JSON and the
// standard library's log behind it. Netstack logs what would be its own mistakes, and
// packets that it drops: whoever sends those would fill the console.
package log

import "time"

// Level is how important a message is.
type Level uint32

// Logger takes messages.
type Logger interface {
	Debugf(format string, v ...any)
	Infof(format string, v ...any)
	Warningf(format string, v ...any)
	IsLogging(level Level) bool
}

type nowhere struct{}

func (nowhere) Debugf(string, ...any)   {}
func (nowhere) Infof(string, ...any)    {}
func (nowhere) Warningf(string, ...any) {}
func (nowhere) IsLogging(Level) bool    { return false }

// Log is where messages go.
func Log() Logger { return nowhere{} }

// BasicRateLimitedLogger is where messages go, at most one in that time.
func BasicRateLimitedLogger(time.Duration) Logger { return nowhere{} }

// Debugf and its siblings write a message.
func Debugf(string, ...any)   {}
func Infof(string, ...any)    {}
func Warningf(string, ...any) {}

// BugTracebackOnce tells of a mistake in netstack.
func BugTracebackOnce(error, ...any) {}
