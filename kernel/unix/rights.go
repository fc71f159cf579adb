package unix

import (
	"sync"

	"gosv/kernel/socket"
)

// rights is the files that are on their way in messages (SCM_RIGHTS). A socket that is
// sent to itself, or round a circle, is held by nobody but itself: when a socket is
// closed it is looked whether there are such, and what their messages hold is let go.
type rights struct {
	mu      sync.Mutex // above the sockets'
	count   int
	sockets []*Socket // those of the files that are sockets here
	looked  int       // how often something has been closed since it was looked for garbage
	ended   []socket.File
	ending  bool // somebody releases those of ended
}

// of returns which of these sockets f is, nil if it is none.
func of(f socket.File) *Socket {
	s, _ := f.Socket()
	u, _ := s.(*Socket)
	return u
}

// InFlight returns how many files are on their way.
func (names *Names) InFlight() int {
	r := &names.rights
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// depart and arrive count the files of a message.
func (r *rights) depart(files []socket.File) {
	if len(files) > 0 {
		r.mu.Lock()
		r.add(files, 1)
		r.mu.Unlock()
	}
}

func (r *rights) arrive(files []socket.File) {
	if len(files) > 0 {
		r.mu.Lock()
		r.add(files, -1)
		r.mu.Unlock()
	}
}

func (r *rights) add(files []socket.File, n int) {
	r.count += n * len(files)
	for _, f := range files {
		s := of(f)
		if s == nil {
			continue
		}
		if s.flying += n; s.flying == 0 {
			last := len(r.sockets) - 1
			r.sockets[s.at] = r.sockets[last]
			r.sockets[s.at].at = s.at
			r.sockets[last] = nil
			r.sockets = r.sockets[:last]
			s.file = nil
		} else if n > 0 && s.flying == 1 {
			s.file, s.at = f, len(r.sockets)
			r.sockets = append(r.sockets, s)
		}
	}
}

// release lets go of files that nobody will receive. A socket among them may be the last
// to hold others: they are released one after the other, not within each other, by
// whoever does it already.
func (r *rights) release(files []socket.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(files, -1)
	const share = 16 // to look takes as long as there are sockets: then it is not done each time
	r.looked++
	if len(files) == 0 && (len(r.sockets) == 0 || r.looked < len(r.sockets)/share) {
		return
	}
	r.ended = append(r.ended, files...)
	if r.ending {
		return
	}
	r.ending = true
	for {
		for len(r.ended) > 0 {
			last := len(r.ended) - 1
			f := r.ended[last]
			r.ended[last] = nil
			r.ended = r.ended[:last]
			r.mu.Unlock()
			f.Release()
			r.mu.Lock()
		}
		if r.ended = r.garbage(); len(r.ended) == 0 {
			break
		}
		r.add(r.ended, -1)
	}
	r.ending = false
}

// garbage takes the files out of the messages to sockets that only such messages hold.
func (r *rights) garbage() (files []socket.File) {
	r.looked = 0
	for _, s := range r.sockets {
		s.outside = -1 // somebody has a descriptor
		if _, holders := s.file.Socket(); holders == s.flying {
			s.outside = s.flying
		}
	}
	for _, s := range r.sockets {
		if s.outside >= 0 {
			s.eachMessage(func(p *parcel) {
				for _, f := range p.files {
					if x := of(f); x != nil {
						x.outside--
					}
				}
			})
		}
	}
	var reached []*Socket
	reach := func(s *Socket) {
		s.outside = -1
		reached = append(reached, s)
	}
	for _, s := range r.sockets {
		if s.outside > 0 {
			reach(s)
		}
	}
	for len(reached) > 0 {
		s := reached[len(reached)-1]
		reached = reached[:len(reached)-1]
		s.eachMessage(func(p *parcel) {
			for _, f := range p.files {
				if x := of(f); x != nil && x.outside >= 0 {
					reach(x)
				}
			}
		})
	}
	for _, s := range r.sockets {
		if s.outside == 0 {
			s.eachMessage(func(p *parcel) {
				files = append(files, p.files...)
				p.files = nil
			})
		}
	}
	return files
}

// eachMessage calls f for what has come to s, or to connections that it has not accepted.
func (s *Socket) eachMessage(f func(p *parcel)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := s.first; p != nil; p = p.next {
		f(p)
	}
	for _, n := range s.pending {
		n.eachMessage(f)
	}
}
