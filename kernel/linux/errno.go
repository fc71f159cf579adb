package linux

import "gosv/kernel/errno"

// Errno is a Linux error number; 0 means success.
type Errno = errno.Errno

// Results of interrupted calls that never reach the application: see errno,
// and restart in deliver.go.
const (
	eRestartSys    = errno.RestartSys
	eRestartNoIntr = errno.RestartNoIntr
	eRestartNoHand = errno.RestartNoHand
	eRestartBlock  = errno.RestartBlock
)

// The numbers by the names that C programmers know, without a qualifier: this
// package is full of them.
const (
	EWOULDBLOCK = errno.EWOULDBLOCK
	EDEADLOCK   = errno.EDEADLOCK
	ENOTSUP     = errno.ENOTSUP

	EPERM           = errno.EPERM
	ENOENT          = errno.ENOENT
	ESRCH           = errno.ESRCH
	EINTR           = errno.EINTR
	EIO             = errno.EIO
	ENXIO           = errno.ENXIO
	E2BIG           = errno.E2BIG
	ENOEXEC         = errno.ENOEXEC
	EBADF           = errno.EBADF
	ECHILD          = errno.ECHILD
	EAGAIN          = errno.EAGAIN
	ENOMEM          = errno.ENOMEM
	EACCES          = errno.EACCES
	EFAULT          = errno.EFAULT
	ENOTBLK         = errno.ENOTBLK
	EBUSY           = errno.EBUSY
	EEXIST          = errno.EEXIST
	EXDEV           = errno.EXDEV
	ENODEV          = errno.ENODEV
	ENOTDIR         = errno.ENOTDIR
	EISDIR          = errno.EISDIR
	EINVAL          = errno.EINVAL
	ENFILE          = errno.ENFILE
	EMFILE          = errno.EMFILE
	ENOTTY          = errno.ENOTTY
	ETXTBSY         = errno.ETXTBSY
	EFBIG           = errno.EFBIG
	ENOSPC          = errno.ENOSPC
	ESPIPE          = errno.ESPIPE
	EROFS           = errno.EROFS
	EMLINK          = errno.EMLINK
	EPIPE           = errno.EPIPE
	EDOM            = errno.EDOM
	ERANGE          = errno.ERANGE
	EDEADLK         = errno.EDEADLK
	ENAMETOOLONG    = errno.ENAMETOOLONG
	ENOLCK          = errno.ENOLCK
	ENOSYS          = errno.ENOSYS
	ENOTEMPTY       = errno.ENOTEMPTY
	ELOOP           = errno.ELOOP
	ENOMSG          = errno.ENOMSG
	EIDRM           = errno.EIDRM
	ECHRNG          = errno.ECHRNG
	EL2NSYNC        = errno.EL2NSYNC
	EL3HLT          = errno.EL3HLT
	EL3RST          = errno.EL3RST
	ELNRNG          = errno.ELNRNG
	EUNATCH         = errno.EUNATCH
	ENOCSI          = errno.ENOCSI
	EL2HLT          = errno.EL2HLT
	EBADE           = errno.EBADE
	EBADR           = errno.EBADR
	EXFULL          = errno.EXFULL
	ENOANO          = errno.ENOANO
	EBADRQC         = errno.EBADRQC
	EBADSLT         = errno.EBADSLT
	EBFONT          = errno.EBFONT
	ENOSTR          = errno.ENOSTR
	ENODATA         = errno.ENODATA
	ETIME           = errno.ETIME
	ENOSR           = errno.ENOSR
	ENONET          = errno.ENONET
	ENOPKG          = errno.ENOPKG
	EREMOTE         = errno.EREMOTE
	ENOLINK         = errno.ENOLINK
	EADV            = errno.EADV
	ESRMNT          = errno.ESRMNT
	ECOMM           = errno.ECOMM
	EPROTO          = errno.EPROTO
	EMULTIHOP       = errno.EMULTIHOP
	EDOTDOT         = errno.EDOTDOT
	EBADMSG         = errno.EBADMSG
	EOVERFLOW       = errno.EOVERFLOW
	ENOTUNIQ        = errno.ENOTUNIQ
	EBADFD          = errno.EBADFD
	EREMCHG         = errno.EREMCHG
	ELIBACC         = errno.ELIBACC
	ELIBBAD         = errno.ELIBBAD
	ELIBSCN         = errno.ELIBSCN
	ELIBMAX         = errno.ELIBMAX
	ELIBEXEC        = errno.ELIBEXEC
	EILSEQ          = errno.EILSEQ
	ERESTART        = errno.ERESTART
	ESTRPIPE        = errno.ESTRPIPE
	EUSERS          = errno.EUSERS
	ENOTSOCK        = errno.ENOTSOCK
	EDESTADDRREQ    = errno.EDESTADDRREQ
	EMSGSIZE        = errno.EMSGSIZE
	EPROTOTYPE      = errno.EPROTOTYPE
	ENOPROTOOPT     = errno.ENOPROTOOPT
	EPROTONOSUPPORT = errno.EPROTONOSUPPORT
	ESOCKTNOSUPPORT = errno.ESOCKTNOSUPPORT
	EOPNOTSUPP      = errno.EOPNOTSUPP
	EPFNOSUPPORT    = errno.EPFNOSUPPORT
	EAFNOSUPPORT    = errno.EAFNOSUPPORT
	EADDRINUSE      = errno.EADDRINUSE
	EADDRNOTAVAIL   = errno.EADDRNOTAVAIL
	ENETDOWN        = errno.ENETDOWN
	ENETUNREACH     = errno.ENETUNREACH
	ENETRESET       = errno.ENETRESET
	ECONNABORTED    = errno.ECONNABORTED
	ECONNRESET      = errno.ECONNRESET
	ENOBUFS         = errno.ENOBUFS
	EISCONN         = errno.EISCONN
	ENOTCONN        = errno.ENOTCONN
	ESHUTDOWN       = errno.ESHUTDOWN
	ETOOMANYREFS    = errno.ETOOMANYREFS
	ETIMEDOUT       = errno.ETIMEDOUT
	ECONNREFUSED    = errno.ECONNREFUSED
	EHOSTDOWN       = errno.EHOSTDOWN
	EHOSTUNREACH    = errno.EHOSTUNREACH
	EALREADY        = errno.EALREADY
	EINPROGRESS     = errno.EINPROGRESS
	ESTALE          = errno.ESTALE
	EUCLEAN         = errno.EUCLEAN
	ENOTNAM         = errno.ENOTNAM
	ENAVAIL         = errno.ENAVAIL
	EISNAM          = errno.EISNAM
	EREMOTEIO       = errno.EREMOTEIO
	EDQUOT          = errno.EDQUOT
	ENOMEDIUM       = errno.ENOMEDIUM
	EMEDIUMTYPE     = errno.EMEDIUMTYPE
	ECANCELED       = errno.ECANCELED
	ENOKEY          = errno.ENOKEY
	EKEYEXPIRED     = errno.EKEYEXPIRED
	EKEYREVOKED     = errno.EKEYREVOKED
	EKEYREJECTED    = errno.EKEYREJECTED
	EOWNERDEAD      = errno.EOWNERDEAD
	ENOTRECOVERABLE = errno.ENOTRECOVERABLE
	ERFKILL         = errno.ERFKILL
	EHWPOISON       = errno.EHWPOISON
)
