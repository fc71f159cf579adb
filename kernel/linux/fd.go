package linux

// fileState is what a process's threads share of files: descriptors,
// directories, umask.
type fileState struct{}

// backing returns the file that fd is open for as mmap(2) needs it, with a
// reference for the caller, and what it is open for; nil stands for zero pages.
func (f *fileState) backing(fd int32) (b Backing, canRead, canWrite bool, err Errno) {
	return nil, false, false, EBADF
}
