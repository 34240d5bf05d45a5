package bridge

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"
)

// maxKeyLength bounds an Idempotency-Key, in bytes.
const maxKeyLength = 255

// keep decides whether the ledger keeps a call: one that shall become a job, or that has an Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header). If the key's call is known, keep answers with what that came to.
func (b *Bridge) keep(x *exchange, bound *binding, key string, body []byte, to answer) (e *entry, replayed bool, err error) {
	async := prefersAsync(x.r)
	if key == "" && !async {
		return nil, false, nil
	}
	if async && b.draining.Load() { // since the request came in: nobody could come back here for the job
		return nil, false, shuttingDown()
	}
	c := newKeptCall(x, async)
	if key != "" {
		c.Key = digest([]byte(x.principal), []byte(key))
		c.Fingerprint = digest([]byte(x.r.Method), []byte(bound.endpoint.Path), body)
	}
	e, found, err := b.ledger.reserve(c)
	if found {
		err = b.replay(x, bound, e, async, to)
	}
	if found || keyIsTaken(err) {
		b.telemetry.repeats(x.r.Context(), x.route, err)
	}
	if found {
		return nil, true, err
	}
	return e, false, err
}

// keyIsTaken tells a key that was known from a ledger that is full or closed.
func keyIsTaken(err error) bool {
	e, ok := asError(err)
	return ok && (e.Code == codeKeyInUse || e.Code == codeKeyReused)
}

// replay answers with what a call under the same key has come to, or has not yet.
func (b *Bridge) replay(x *exchange, bound *binding, e *entry, async bool, to answer) error {
	x.body.release() // writing the answer may take its time
	c, _ := b.ledger.look(e)
	header := x.w.Header()
	switch {
	case c.Job && async:
		x.replayed = true
		header.Set("Idempotency-Replayed", "true")
		return b.accept(x, e)
	case c.Status == jobRunning:
		return keyInUse(pollAfter(time.Since(c.Created)))
	}
	outcome, err := b.ledger.outcome(e)
	if err != nil {
		return err
	}
	if outcome.Problem == nil && b.schemas.result(x.r.Context(), x.route, bound.endpoint.OutputSchema, outcome.Result) != nil {
		return &Error{Code: codeKeyReused, Detail: "The first call with this Idempotency-Key was answered when the contract promised answers of another shape. Use a new key to call again.", Clause: "api.endpoints.output_schema"}
	}
	x.replayed = true
	header.Set("Idempotency-Replayed", "true")
	if outcome.Problem == nil {
		defer to.close()
		return to.finish(outcome.Result)
	}
	x.failure = &Error{Code: c.Code, Status: c.HTTP}
	header.Set("Cache-Control", "no-store")
	return x.writeJSON(c.HTTP, "application/problem+json", outcome.Problem)
}

func keyInUse(retryAfter time.Duration) error {
	return &Error{Code: codeKeyInUse, Detail: "The first call with this Idempotency-Key is still in progress. Repeat the call later to get its answer.", RetryAfter: retryAfter}
}

// tracked returns release with a channel that it closes. It is called when the handler has
// returned, which may be long after its caller was answered, and when the handler was not called
// because other code panicked before.
func tracked(release func()) (_ func(), returned <-chan struct{}) {
	done := make(chan struct{})
	return func() {
		defer close(done)
		release()
	}, done
}

// invokeOnce runs the handler of a call with an Idempotency-Key, and puts on record what would be the same next time. If
// nothing is, the key is free again once the handler has returned: only then can nobody run beside it.
func (b *Bridge) invokeOnce(x *exchange, bound *binding, req any, release func(), to answer, e *entry) error {
	release, returned := tracked(release)
	record := &recordedAnswer{answer: to, ledger: b.ledger, entry: e}
	defer func() { // also if what writes the answer panics
		if !record.done {
			b.forgetAfter(returned, e)
		}
	}()
	err := b.invoke(x, bound, req, release, record, b.runApart)
	if failure := classify(err); !record.done && isFinal(failure) {
		b.ledger.finish(e, e.fail(failure, instanceOf(x.r)))
		record.done = true
	}
	return err
}

// forgetAfter frees the key of a call that came to nothing, when its handler has returned.
func (b *Bridge) forgetAfter(returned <-chan struct{}, e *entry) {
	select {
	case <-returned:
		_ = b.ledger.forget(e) // which is in the log
	default:
		b.calls.Go(func() {
			<-returned
			_ = b.ledger.forget(e)
		})
	}
}

// A recordedAnswer puts a result on record before the caller sees it, so that no crash between the two can make the
// handler run again for a result that somebody has.
type recordedAnswer struct {
	answer
	ledger *ledger
	entry  *entry
	done   bool
}

func (a *recordedAnswer) finish(result []byte) error {
	a.ledger.finish(a.entry, a.entry.succeed(result))
	a.done = true
	return a.answer.finish(result)
}

// idempotencyKey returns the key of a request: a string of structured fields (RFC 9651), as the draft has it, or a plain
// token, as most callers send it. Methods without a body need none: they are idempotent by themselves.
func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 || !hasBody(r.Method) {
		return "", nil
	}
	if len(values) == 1 {
		if key, ok := parseKey(strings.Trim(values[0], " \t")); ok {
			return key, nil
		}
	}
	return "", &Error{Code: CodeInvalidRequest, Detail: `The Idempotency-Key is malformed. Send one, of at most 255 characters: a quoted string such as "8e03978e-40d5-43dd-bc93-6894a57f9324", or the same without quotes.`}
}

func parseKey(field string) (key string, ok bool) {
	quoted := strings.HasPrefix(field, `"`)
	if quoted {
		if field, ok = unquoteKey(field); !ok {
			return "", false
		}
	}
	if field == "" || len(field) > maxKeyLength {
		return "", false
	}
	for _, c := range []byte(field) {
		if c < ' ' || c > '~' || !quoted && strings.IndexByte(` "(),;<=>?@[\]{}`, c) >= 0 {
			return "", false
		}
	}
	return field, true
}

// unquoteKey undoes the quoting of a string as RFC 9651 section 4.2.5 defines it.
func unquoteKey(field string) (string, bool) {
	var key strings.Builder
	for i := 1; i < len(field); i++ {
		switch c := field[i]; c {
		case '"':
			return key.String(), i == len(field)-1
		case '\\':
			if i++; i == len(field) || field[i] != '"' && field[i] != '\\' {
				return "", false
			}
			key.WriteByte(field[i])
		default:
			key.WriteByte(c)
		}
	}
	return "", false
}

// digest stands for its parts, in the ledger and in its file. Lengths keep ("ab", "c") and ("a", "bc") apart.
func digest(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
