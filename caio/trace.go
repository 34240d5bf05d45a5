package caio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"
)

// A Trace is the record of a decision.
type Trace struct {
	DecisionID string         `json:"decision_id"`
	Timestamp  time.Time      `json:"timestamp"` // time of the decision; zero for none or an unknown form
	Request    any            `json:"request,omitempty"`
	Decision   *Decision      `json:"decision"` // nil if CAIO's record has another form
	Proofs     []Proof        `json:"proofs"`
	Guarantees map[string]any `json:"guarantees"`
	Hash       string         `json:"hash,omitempty"` // hash of the other members; "" for none

	// Raw is CAIO's answer, byte for byte. Verify of package registry checks it.
	Raw json.RawMessage `json:"-"`
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Trace) UnmarshalJSON(data []byte) error {
	type plain Trace // drops this method
	answer := struct {
		*plain
		Timestamp any             `json:"timestamp"`
		Decision  json.RawMessage `json:"decision"`
	}{plain: (*plain)(t)}
	if err := json.Unmarshal(data, &answer); err != nil {
		return err
	}
	t.Timestamp = parseTimestamp(answer.Timestamp)
	t.Raw = bytes.Clone(data)
	t.Decision = nil
	var decision Decision
	if json.Unmarshal(answer.Decision, &decision) == nil && decision.ServiceID != "" {
		if decision.Proofs == nil {
			decision.Proofs = t.Proofs
		}
		t.Decision = &decision
	}
	return nil
}

// parseTimestamp reads RFC 3339, Python's ISO 8601 without a zone (taken as UTC), and seconds since
// 1970. It returns zero for anything else.
func parseTimestamp(value any) time.Time {
	switch v := value.(type) {
	case string:
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateTime} {
			if at, err := time.Parse(layout, v); err == nil {
				return at
			}
		}
	case float64:
		if seconds, fraction := math.Modf(v); math.Abs(seconds) < 1e11 {
			return time.Unix(int64(seconds), int64(fraction*1e9)).UTC()
		}
	}
	return time.Time{}
}

// Trace reads the record of a decision. The error is [ErrNotFound] if CAIO does not have it, or has
// deleted it.
func (c *Client) Trace(ctx context.Context, decisionID string) (*Trace, error) {
	trace := new(Trace)
	path := "/api/v1/trace/" + url.PathEscape(decisionID)
	if err := c.do(ctx, call{op: opTrace, method: http.MethodGet, path: path}, trace); err != nil {
		return nil, err
	}
	if trace.DecisionID != decisionID || decisionID == "" {
		return nil, c.unexpected(opTrace, fmt.Sprintf("the answer is not about decision %q", decisionID))
	}
	return trace, nil
}
