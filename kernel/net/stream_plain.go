//go:build !netstack

package net

import (
	"io"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

func readStream(ep *tcp.Endpoint, w io.Writer, peek, moderate bool) (int, tcpip.Error) {
	res, err := ep.Read(w, tcpip.ReadOptions{Peek: peek})
	if err == nil && moderate {
		ep.ModerateRecvBuf(res.Count)
	}
	return res.Count, err
}
