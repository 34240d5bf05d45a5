package jobs

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A Status is the state of a recorded call.
type Status string

// The states of a call. It leaves Running once.
const (
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Info is the part of a record in memory: all but its outcome.
type Info struct {
	ID          string    `json:"id"`
	Job         bool      `json:"job"` // true for a job, false for a call with an Idempotency-Key only
	Principal   string    `json:"principal"`
	RequestID   string    `json:"request_id"` // id of the request that began the call
	Method      string    `json:"method"`
	Route       string    `json:"route"`
	Key         string    `json:"key,omitempty"`         // digest of principal and Idempotency-Key
	Fingerprint string    `json:"fingerprint,omitempty"` // digest of method, route and body
	Created     time.Time `json:"created"`
	State
}

// State is the part of a record that changes once, when the call finishes.
type State struct {
	Status   Status    `json:"status"`
	Finished time.Time `json:"finished,omitzero"`
	Events   int       `json:"events,omitempty"`      // number of events
	Code     string    `json:"code,omitempty"`        // error code of the outcome
	HTTP     int       `json:"http_status,omitempty"` // HTTP status of the outcome
	Final    bool      `json:"final,omitempty"`       // true if a repeated call would have the same outcome
}

// An Outcome is the result or the error of a finished call as JSON.
type Outcome struct {
	Result  json.RawMessage `json:"result,omitempty"`
	Problem json.RawMessage `json:"problem,omitempty"`
}

// A storedRecord is a record in the backend.
type storedRecord struct {
	Info
	Outcome
}

func decodeRecord(data []byte) (storedRecord, error) {
	var r storedRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if r.ID == "" || !slices.Contains([]Status{Running, Succeeded, Failed, Cancelled}, r.Status) {
		return r, fmt.Errorf("a record with id %q and status %q", text.Clip(r.ID), text.Clip(string(r.Status)))
	}
	return r, nil
}

// A Record is one recorded call. Its State and unexported fields belong to the Store, which guards
// them. Other fields do not change.
type Record struct {
	Info
	prior        *Record       // earlier record under the key, until this one is persisted
	size         int64         // bytes that count for MaxBytes; 0 until the record is persisted
	finishedElem *list.Element // element of Store.finished; nil while running
	stored       bool
	unsaved      []byte // the finished record, if the backend did not take it
	events       eventBuffer
	watchers     int
	changed      chan struct{} // closed at a change, and replaced unless the call has finished
	cancel       context.CancelCauseFunc
}

// Success returns the state and the outcome of a result.
func Success(result []byte) (State, Outcome) {
	state := State{Status: Succeeded, Finished: time.Now(), HTTP: http.StatusOK, Final: true}
	return state, Outcome{Result: result}
}

// CodeCancelled is the error code of a cancelled job.
const CodeCancelled = "cancelled"

// Failure returns the state and the outcome of an error.
func Failure(code string, status int, problem []byte) (State, Outcome) {
	state := State{Status: Failed, Finished: time.Now(), Code: code, HTTP: status, Final: IsFinal(status)}
	if code == CodeCancelled {
		state.Status = Cancelled
	}
	return state, Outcome{Problem: problem}
}

// IsFinal reports if a repeated request would have an error with the same HTTP status. 499 is the
// status of a caller that left.
func IsFinal(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooEarly,
		http.StatusTooManyRequests, 499:
		return false
	default:
		return status < 500
	}
}

// Digest hashes parts. Their lengths keep ("ab", "c") and ("a", "bc") apart.
func Digest(parts ...[]byte) string {
	h := sha256.New()
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
