package fs

import "gosv/kernel/errno"

// Base refuses everything that only some kinds of inodes do, and changes: what
// embeds it is read-only.
type Base struct{}

func (*Base) SetAttr(Change) errno.Errno { return errno.EROFS }
func (*Base) Close()                     {}

func (*Base) Lookup(string) (Inode, errno.Errno)               { return nil, errno.ENOTDIR }
func (*Base) ReadDir(int64, func(Dirent) bool) errno.Errno     { return errno.ENOTDIR }
func (*Base) Create(string, New) (Inode, errno.Errno)          { return nil, errno.EROFS }
func (*Base) Link(string, Inode) errno.Errno                   { return errno.EROFS }
func (*Base) Unlink(string) errno.Errno                        { return errno.EROFS }
func (*Base) Rmdir(string) errno.Errno                         { return errno.EROFS }
func (*Base) Rename(string, Inode, string, uint32) errno.Errno { return errno.EROFS }
func (*Base) Readlink(*Caller) (string, errno.Errno)           { return "", errno.EINVAL }
func (*Base) ReadAt(Sink, int64, int) (int, errno.Errno)       { return 0, errno.EINVAL }
func (*Base) WriteAt(Source, int64, int) (int, errno.Errno)    { return 0, errno.EINVAL }
func (*Base) Append(Source, int) (int, int64, errno.Errno)     { return 0, 0, errno.EINVAL }
func (*Base) Truncate(int64) errno.Errno                       { return errno.EROFS }
func (*Base) Allocate(uint32, int64, int64) errno.Errno        { return errno.ENODEV }
func (*Base) SeekExtent(int64, int) (int64, errno.Errno)       { return 0, errno.EINVAL }
func (*Base) Pages(int64, int, bool) ([]byte, errno.Errno)     { return nil, errno.ENODEV }
func (*Base) Map()                                             {}
func (*Base) Unmap()                                           {}
