package bridge

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// smallBody is the size up to which a body is received whatever other requests send.
	smallBody = 64 << 10

	// maxForetold bounds what is set aside for a body because of its Content-Length, which costs
	// nothing to write.
	maxForetold = 32 << 10

	// maxPiece bounds what is set aside for a body because of what has been received of it.
	maxPiece = 64 << 10
)

// A bodyBudget bounds the memory of the bodies of all requests together. It counts a body of more
// than smallBody bytes, as it is received and with its decompressed copy, until the limiter has
// decided on the call. Smaller bodies do not count: there is at most one for each request, and
// Options.ReadTimeout bounds their time.
//
// When a body does not fit, the slowest upload in progress ends: the one with the fewest bytes per
// second since its start. An upload that holds its last bytes back becomes slower all the time, so
// that it gives way to one that goes on.
//
// Bodies take at most twice the memory that is counted: the last piece of a body may be half empty,
// and the pieces of a complete body are copied into one. A body that is alone always fits.
type bodyBudget struct {
	max     int64
	measure func(delta int64) // of held

	mu        sync.Mutex
	held      int64            // bytes of bodies that count
	receiving map[*upload]bool // bodies that count and that can be ended
}

func newBodyBudget(limit int64, measure func(delta int64)) *bodyBudget {
	return &bodyBudget{max: limit, measure: measure, receiving: map[*upload]bool{}}
}

// An upload is the body of one request. Its zero value holds nothing.
type upload struct {
	budget    *bodyBudget
	start     time.Time
	control   *http.ResponseController // interrupts reading; nil if that is not possible
	receiving bool                     // and not decompressing

	size  int64 // bytes so far; the lock of budget guards it and the following once it is more than smallBody
	held  int64 // by budget: 0 or size
	ended bool  // because it was the slowest
}

// receive reads a body that arrives. Its error is an [*Error] if the budget does not allow the
// body.
func (u *upload) receive(r io.Reader, foretold int64) ([]byte, error) {
	u.receiving = true
	body, err := u.readAll(r, foretold)
	u.receiving = false
	if ended := u.received(); ended {
		return nil, errSlowUpload
	}
	return body, err
}

// decompress reads the decompressed copy of a body of so many bytes.
func (u *upload) decompress(r io.Reader, compressed int64) ([]byte, error) {
	if compressed <= smallBody {
		u.size = 0
	}
	return u.readAll(r, compressed)
}

// readAll reads to the end, in pieces, mostly without moving what it has.
func (u *upload) readAll(r io.Reader, foretold int64) ([]byte, error) {
	var full [][]byte
	piece := make([]byte, 0, min(max(foretold, 0), maxForetold)+bytes.MinRead)
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

// grow counts n bytes more. If they do not fit it waits for about a second: a body may be admitted
// meanwhile, and an upload that stalls becomes slower than this one.
func (u *upload) grow(n int64) error {
	if u.size+n <= smallBody {
		u.size += n
		return nil
	}
	for wait := 10 * time.Millisecond; ; wait *= 2 {
		delta, err := u.budget.grow(u, n)
		if delta != 0 {
			u.budget.measure(delta)
		}
		switch {
		case err != errNoRoom:
			return err
		case wait > time.Second && u.receiving && u.held > 0:
			return errSlowUpload
		case wait > time.Second:
			return errNoRoom
		}
		time.Sleep(wait)
		u.pause(wait)
	}
}

// pause makes the time that the upload had to wait no part of its speed.
func (u *upload) pause(d time.Duration) {
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	u.start = u.start.Add(d)
}

// grow counts n bytes more if they fit when slower uploads have ended. It returns by how much held
// has changed.
func (b *bodyBudget) grow(u *upload, n int64) (delta int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.held
	for more := u.size + n - u.held; !u.ended && b.held+more > b.max && b.held > u.held; {
		slowest := b.slowest()
		if slowest == nil || slowest == u || u.receiving && !slowest.slowerThan(u) {
			return b.held - before, errNoRoom
		}
		b.end(slowest)
	}
	if u.ended {
		return b.held - before, errSlowUpload
	}
	u.size += n
	b.held += u.size - u.held
	u.held = u.size
	if u.receiving && u.control != nil {
		b.receiving[u] = true
	}
	return b.held - before, nil
}

// slowest returns the slowest upload in progress, or nil.
func (b *bodyBudget) slowest() (slowest *upload) {
	for u := range b.receiving {
		if slowest == nil || u.slowerThan(slowest) {
			slowest = u
		}
	}
	return slowest
}

// slowerThan compares bytes per second since the start.
func (u *upload) slowerThan(v *upload) bool {
	now := time.Now()
	return u.speed(now) < v.speed(now)
}

func (u *upload) speed(now time.Time) float64 {
	return float64(u.size) / max(now.Sub(u.start), time.Millisecond).Seconds()
}

// end interrupts an upload. What it holds no longer counts, for its goroutine drops it at once.
func (b *bodyBudget) end(u *upload) {
	u.ended = true
	b.drop(u)
	_ = u.control.SetReadDeadline(time.Unix(1, 0)) // under the lock, so that none comes after received
}

func (b *bodyBudget) drop(u *upload) {
	delete(b.receiving, u)
	b.held -= u.held
	u.held = 0
}

// received says that nothing more is read, and reports whether the upload was ended.
func (u *upload) received() (ended bool) {
	if u.size <= smallBody {
		return false
	}
	u.budget.mu.Lock()
	defer u.budget.mu.Unlock()
	delete(u.budget.receiving, u)
	return u.ended
}

// release says that the body is not needed any more. It may be called twice.
func (u *upload) release() {
	if u.budget == nil || u.size <= smallBody { // it never counted
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

// Why a body was not received to its end.
var (
	errSlowUpload = &Error{Code: CodeInvalidRequest, Status: http.StatusRequestTimeout, Detail: "Many large bodies arrive at the same time, and this one was the slowest. Send it again, faster or in fewer bytes."}
	errNoRoom     = &Error{Code: CodeUnavailable, Detail: "Too many large bodies arrive at the same time. Try again, or send at most 64 KiB.", RetryAfter: time.Second}
)
