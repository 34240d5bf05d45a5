package upstream

import (
	"net/http/httptrace"
	"sync"
	"time"
)

// A connTrace observes how one attempt gets its connection. It is safe for concurrent use: net/http
// dials on goroutines of its own, also after the attempt has ended.
type connTrace struct {
	mu       sync.Mutex
	tried    bool          // asked for a connection
	sent     bool          // a connection took the request
	queuedAt time.Time     // start of the current wait; zero: not waiting
	waited   time.Duration // sum of the finished waits
}

// hooks returns the trace for the attempt's context. With dials it also observes the beginning of
// dialling, the end of a wait: a request that may open a connection waits for no other request.
func (c *connTrace) hooks(dials bool) *httptrace.ClientTrace {
	h := &httptrace.ClientTrace{GetConn: c.getConn, GotConn: c.gotConn}
	if dials {
		h.DNSStart = func(httptrace.DNSStartInfo) { c.stopWaiting() }
		h.ConnectStart = func(string, string) { c.stopWaiting() }
	}
	return h
}

// getConn is called again if net/http finds a pooled connection dead or without a free stream.
func (c *connTrace) getConn(string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried, c.sent = true, false
	c.queuedAt = time.Now()
}

func (c *connTrace) gotConn(httptrace.GotConnInfo) {
	c.stopWaiting()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = true
}

func (c *connTrace) stopWaiting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.queuedAt.IsZero() {
		c.waited += time.Since(c.queuedAt)
		c.queuedAt = time.Time{}
	}
}

// result returns the state at the end of the attempt.
func (c *connTrace) result() (tried, sent bool, waited time.Duration) {
	c.stopWaiting() // for an attempt that ended in the queue
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried, c.sent, c.waited
}
