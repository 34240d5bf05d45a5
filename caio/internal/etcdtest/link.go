package etcdtest

import (
	"io"
	"net"
	"sync"
)

// Links are proxies for all members of a cluster.
type Links []*Link

// Endpoints returns the addresses of the links.
func (l Links) Endpoints() []string {
	var endpoints []string
	for _, link := range l {
		endpoints = append(endpoints, link.listener.Addr().String())
	}
	return endpoints
}

// Cut cuts all links: they hold back all data and close nothing, like a network without a route.
func (l Links) Cut() {
	for _, link := range l {
		link.Cut()
	}
}

// Mend restores all links. They deliver the data from the meantime.
func (l Links) Mend() {
	for _, link := range l {
		link.Mend()
	}
}

// A Link is a TCP proxy to one address. A cut link holds back all data. It is safe for concurrent
// use.
type Link struct {
	to       string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	whole  chan struct{} // closed unless the link is cut
	closed chan struct{}
	conns  map[net.Conn]bool
}

func newLink(to string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{
		to: to, listener: listener,
		whole: make(chan struct{}), closed: make(chan struct{}), conns: make(map[net.Conn]bool),
	}
	close(l.whole)
	l.running.Go(l.accept)
	return l, nil
}

// Cut cuts one link.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = make(chan struct{})
}

// Mend restores one link.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.whole)
}

// pass waits until the link is not cut. It returns false if the link is closed.
func (l *Link) pass() bool {
	l.mu.Lock()
	whole := l.whole
	l.mu.Unlock()
	select {
	case <-whole:
		return true
	case <-l.closed:
		return false
	}
}

func (l *Link) accept() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.carry(from) })
	}
}

func (l *Link) carry(from net.Conn) {
	defer l.forget(from)
	if !l.keep(from) || !l.pass() {
		return
	}
	to, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer l.forget(to)
	if !l.keep(to) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [2][2]net.Conn{{to, from}, {from, to}} {
		both.Go(func() {
			io.Copy(way[0], &gated{way[1], l})
			to.Close()
			from.Close()
		})
	}
	both.Wait()
}

func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.closed:
		return false
	default:
		l.conns[c] = true
		return true
	}
}

func (l *Link) forget(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Link) close() {
	l.mu.Lock()
	close(l.closed)
	l.listener.Close()
	for c := range l.conns {
		c.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
}

// gated is a connection with reads that wait while the link is cut.
type gated struct {
	net.Conn
	link *Link
}

func (g *gated) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if !g.link.pass() {
		return 0, io.EOF
	}
	return n, err
}
