// Package bodies bounds the memory of the request bodies of all requests together.
package bodies

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Errors of an Upload. The budget returns the first two, Gunzip the others.
var (
	ErrSlowest = errors.New("the body was the slowest of too many large ones")
	ErrNoRoom  = errors.New("there is no room for another large body")

	ErrTooLarge = errors.New("the decompressed body is too large")
	ErrGzip     = errors.New("the body is not gzip")
)

const (
	// maxFree is the largest body that the budget does not count, in bytes, sent or decompressed.
	maxFree = 64 << 10

	// maxInitial bounds the memory for a Content-Length, which costs the caller nothing to send.
	maxInitial = 32 << 10

	// maxPiece bounds the memory for bytes that have not arrived yet.
	maxPiece = 64 << 10
)

// A Budget bounds the memory of bodies. It counts a body of more than 64 KiB while it arrives, with
// its decompressed copy, until [Upload.Release]. Smaller bodies do not count: there is at most one
// for each request, and a timeout bounds their time. A bound on connections bounds their sum. It is
// safe for concurrent use.
//
// When a body does not fit, the slowest upload in progress ends: the one with the fewest bytes per
// second since its start. An upload that holds back its last bytes gets slower all the time and
// gives way to one that goes on.
//
// Bodies take at most twice the memory that is counted: the last piece of a body may be half empty,
// and the pieces of a complete body are copied into one. A body that is alone always fits.
type Budget struct {
	max     int64
	measure func(delta int64) // called at each change of held

	mu        sync.Mutex
	held      int64            // bytes of bodies that count
	receiving map[*Upload]bool // bodies that count and that end can interrupt
}

// NewBudget returns a Budget of so many bytes.
func NewBudget(limit int64, measure func(delta int64)) *Budget {
	return &Budget{max: limit, measure: measure, receiving: map[*Upload]bool{}}
}

// An Upload is the body of one request. Its zero value holds nothing. One goroutine uses it.
type Upload struct {
	budget    *Budget
	interrupt func() // ends reading; nil if that is not possible
	receiving bool   // false while decompressing

	// Guarded by budget.mu once size is more than maxFree.
	start time.Time
	size  int64 // bytes so far
	held  int64 // bytes that the budget counts: 0 or size
	ended bool  // true for the slowest upload
}

// NewUpload returns the upload of a body that begins to arrive. interrupt makes a read fail, and
// may be nil.
func (b *Budget) NewUpload(interrupt func()) Upload {
	return Upload{budget: b, interrupt: interrupt, start: time.Now()}
}

// Receive reads a body from the connection. Errors: ErrSlowest, ErrNoRoom, or the error of r.
func (u *Upload) Receive(r io.Reader, contentLength int64) ([]byte, error) {
	u.receiving = true
	body, err := u.readAll(r, contentLength)
	u.receiving = false
	if u.received() {
		return nil, ErrSlowest
	}
	return body, err
}

// Gunzip decompresses a body. It reads at most one byte beyond the limit, so that a small body
// cannot take much memory. Errors: ErrNoRoom, ErrTooLarge, ErrGzip.
func (u *Upload) Gunzip(body []byte, limit int64) ([]byte, error) {
	zipped, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGzip, err)
	}
	if len(body) <= maxFree {
		u.size = 0
	}
	plain, err := u.readAll(io.LimitReader(zipped, limit+1), int64(len(body)))
	switch {
	case err == ErrNoRoom, err == ErrSlowest:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrGzip, err)
	case int64(len(plain)) > limit:
		return nil, ErrTooLarge
	}
	return plain, nil
}

// readAll reads to the end in pieces, so that it rarely moves bytes.
func (u *Upload) readAll(r io.Reader, contentLength int64) ([]byte, error) {
	var full [][]byte
	piece := make([]byte, 0, min(max(contentLength, 0), maxInitial)+bytes.MinRead)
	for {
		n, err := r.Read(piece[len(piece):cap(piece)])
		piece = piece[:len(piece)+n]
		if refusal := u.grow(int64(n)); refusal != nil {
			return nil, refusal
		}
		switch {
		case err != nil && err != io.EOF:
			return nil, err
		case err == io.EOF && full == nil:
			return piece, nil
		case err == io.EOF:
			return slices.Concat(append(full, piece)...), nil
		case len(piece) == cap(piece):
			full = append(full, piece)
			piece = make([]byte, 0, min(max(u.size, bytes.MinRead), maxPiece))
		}
	}
}

// grow counts n bytes more. Without room it waits for about a second: another body may be admitted,
// or another upload may become slower than this one.
func (u *Upload) grow(n int64) error {
	if u.size+n <= maxFree {
		u.size += n
		return nil
	}
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		delta, err := u.budget.grow(u, n)
		if delta != 0 {
			u.budget.measure(delta)
		}
		switch {
		case err != ErrNoRoom:
			return err
		case wait > time.Second && u.receiving && u.held > 0:
			return ErrSlowest
		case wait > time.Second:
			return ErrNoRoom
		}
		time.Sleep(wait)
		u.pause(wait)
	}
}

// pause excludes a wait of the bridge from the upload's speed.
func (u *Upload) pause(d time.Duration) {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	u.start = u.start.Add(d)
}

// grow counts n bytes more if they fit after slower uploads have ended. It returns the change of
// held.
func (b *Budget) grow(u *Upload, n int64) (delta int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.held
	for more := u.size + n - u.held; !u.ended && b.held+more > b.max && b.held > u.held; {
		slowest := b.slowest()
		if slowest == nil || slowest == u || u.receiving && !slowest.slowerThan(u) {
			return b.held - before, ErrNoRoom
		}
		b.end(slowest)
	}
	if u.ended {
		return b.held - before, ErrSlowest
	}
	u.size += n
	b.held += u.size - u.held
	u.held = u.size
	if u.receiving && u.interrupt != nil {
		b.receiving[u] = true
	}
	return b.held - before, nil
}

// slowest returns the slowest upload in progress, or nil.
func (b *Budget) slowest() (slowest *Upload) {
	for u := range b.receiving {
		if slowest == nil || u.slowerThan(slowest) {
			slowest = u
		}
	}
	return slowest
}

// slowerThan compares bytes per second since the start.
func (u *Upload) slowerThan(v *Upload) bool {
	now := time.Now()
	return u.speed(now) < v.speed(now)
}

func (u *Upload) speed(now time.Time) float64 {
	return float64(u.size) / max(now.Sub(u.start), time.Millisecond).Seconds()
}

// end interrupts an upload. Its bytes no longer count, because its goroutine drops them at once.
func (b *Budget) end(u *Upload) {
	u.ended = true
	b.drop(u)
	u.interrupt() // under the lock, so that it never comes after received
}

func (b *Budget) drop(u *Upload) {
	delete(b.receiving, u)
	b.held -= u.held
	u.held = 0
}

// received ends the reading. It reports if end interrupted the upload.
func (u *Upload) received() (ended bool) {
	if u.size <= maxFree {
		return false
	}
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	delete(u.budget.receiving, u)
	return u.ended
}

// Release says that the body is no longer needed. It may be called twice.
func (u *Upload) Release() {
	if u.budget == nil || u.size <= maxFree {
		return
	}
	u.budget.mu.Lock()
	held := u.held
	u.budget.drop(u)
	u.budget.mu.Unlock()
	if held > 0 {
		u.budget.measure(-held)
	}
}

// discardTimeout is the time for a body that is refused before it is read.
const discardTimeout = 250 * time.Millisecond

// Discard reads at most most bytes of a body that is refused unread, for a quarter of a second. A
// caller that is still sending when its connection closes can lose the answer (RFC 9112 section
// 9.6). A caller that waits for "100 Continue" sends nothing yet. Discard reports if the body is
// complete. If not, the read deadline has passed.
func Discard(w http.ResponseWriter, r *http.Request, most int64) (complete bool) {
	rc := http.NewResponseController(w)
	wait := discardTimeout
	if r.Header.Get("Expect") != "" {
		wait = 0
	}
	if rc.SetReadDeadline(time.Now().Add(wait)) != nil || wait == 0 {
		return false
	}
	if _, err := io.CopyN(io.Discard, r.Body, most); err != io.EOF {
		_ = rc.SetReadDeadline(time.Now())
		return false
	}
	_ = rc.SetReadDeadline(time.Time{})
	return true
}
