//go:build netstack

package refs

// Register and Unregister follow objects to find those whose references leak, if somebody
// looks for them, which is asked for each of a dozen objects that a packet takes.
func Register(CheckedObject)   {}
func Unregister(CheckedObject) {}
