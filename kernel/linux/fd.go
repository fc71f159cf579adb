package linux

// fileState is what a process's threads share of files: descriptors,
// directories, umask.
type fileState struct{}
