package bridge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/smarthaus/caio-bridge-go/internal/text"
)

// A jobStatus says how far a kept call is.
type jobStatus string

const (
	jobRunning   jobStatus = "running"
	jobSucceeded jobStatus = "succeeded"
	jobFailed    jobStatus = "failed"
	jobCancelled jobStatus = "cancelled"
)

// keptCall is what the ledger knows by heart of a call: all but its outcome.
type keptCall struct {
	ID          string    `json:"id"`
	Job         bool      `json:"job"` // that it goes on without its caller, and is served under /jobs
	Principal   string    `json:"principal"`
	RequestID   string    `json:"request_id"` // of the request that began it
	Method      string    `json:"method"`
	Route       string    `json:"route"`
	Key         string    `json:"key,omitempty"`         // digest of principal and Idempotency-Key
	Fingerprint string    `json:"fingerprint,omitempty"` // digest of method, route and body
	Created     time.Time `json:"created"`
	keptState
}

// keptState is the part of a kept call that changes, once: when the call has finished.
type keptState struct {
	Status   jobStatus `json:"status"`
	Finished time.Time `json:"finished,omitzero"`
	Events   int       `json:"events,omitempty"`      // that it sent
	Code     string    `json:"code,omitempty"`        // of the error that ended it
	HTTP     int       `json:"http_status,omitempty"` // that a caller who waited got, or would have got
	Final    bool      `json:"final,omitempty"`       // that doing it again would not change the outcome
}

// keptOutcome is what a call came to: a result or an error, each as JSON.
type keptOutcome struct {
	Result  json.RawMessage `json:"result,omitempty"`
	Problem json.RawMessage `json:"problem,omitempty"`
}

// A keptRecord is a kept call in the store.
type keptRecord struct {
	keptCall
	keptOutcome
}

func decodeRecord(data []byte) (keptRecord, error) {
	var r keptRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if r.ID == "" || !slices.Contains([]jobStatus{jobRunning, jobSucceeded, jobFailed, jobCancelled}, r.Status) {
		return r, fmt.Errorf("a record with id %q and status %q", text.Clip(r.ID), text.Clip(string(r.Status)))
	}
	return r, nil
}

// succeed makes the record of a call that came to a result.
func (c keptCall) succeed(result []byte) keptRecord {
	c.Status, c.Finished, c.HTTP, c.Final = jobSucceeded, time.Now(), http.StatusOK, true
	return keptRecord{c, keptOutcome{Result: result}}
}

// fail makes the record of a call that came to nothing. Instance is the path that the problem names.
func (c keptCall) fail(e *Error, instance string) keptRecord {
	c.Status, c.Finished, c.Code, c.HTTP, c.Final = jobFailed, time.Now(), e.code(), e.status(), isFinal(e)
	if e.code() == codeCancelled {
		c.Status = jobCancelled
	}
	problem, err := encode(newProblem(e, instance, c.RequestID))
	if err != nil {
		problem = []byte("{}") // a problem is text and numbers; there is nothing in it that cannot be encoded
	}
	return keptRecord{c, keptOutcome{Problem: problem}}
}

// isFinal tells errors that the request itself is the reason for from those that pass.
func isFinal(e *Error) bool {
	switch status := e.status(); status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusTooEarly, http.StatusTooManyRequests, statusClientGone:
		return false
	default:
		return status < 500
	}
}

// interrupted is what is left to say of a call that was in progress when the bridge stopped or died.
func interrupted(cause error) *Error {
	return &Error{Code: codeInterrupted, Detail: "The bridge stopped before the call had ended. Send the request again.", Cause: cause}
}
