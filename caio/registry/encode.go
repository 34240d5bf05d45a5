package registry

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/caio"
)

// The functions of this file write canonical JSON (RFC 8785) directly: members in order, numbers as ECMAScript writes them.
// What encoding/json and a canonicalizer take forty microseconds for is a decision's largest cost.

// canonical returns any value as canonical JSON.
func canonical(value any) (jsontext.Value, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	text := jsontext.Value(data)
	err = text.Canonicalize()
	return bytes.Clone(text), err // without what it could still grow by: many are kept
}

// maxDepth is how deep appendCanonical goes by itself: Go values may contain themselves, which canonical notices.
const maxDepth = 50

// appendCanonical appends a value as [canonical] has it. It writes what JSON is decoded to itself, and leaves the rest to
// canonical, also names that are not ASCII, whose order is not that of their bytes.
func appendCanonical(b []byte, value any) ([]byte, error) { return appendValue(b, value, 0) }

func appendValue(b []byte, value any, depth int) ([]byte, error) {
	switch value := value.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, value), nil
	case string:
		return appendText(b, value), nil
	case int:
		return appendNumber(b, float64(value)), nil
	case float64:
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			return appendNumber(b, value), nil
		}
	case []string:
		if value != nil {
			return appendTexts(b, value), nil
		}
	case []any:
		if value != nil && depth < maxDepth {
			return appendList(b, value, depth+1)
		}
	case map[string]any:
		var few [16]string
		names := few[:0]
		for name := range value {
			names = append(names, name)
		}
		if value != nil && depth < maxDepth && !slices.ContainsFunc(names, func(name string) bool { return !isASCII(name) }) {
			slices.Sort(names)
			return appendObject(b, value, names, depth+1)
		}
	}
	text, err := canonical(value)
	return append(b, text...), err
}

func appendList(b []byte, list []any, depth int) (_ []byte, err error) {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, list[i], depth); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendObject(b []byte, object map[string]any, names []string, depth int) (_ []byte, err error) {
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, name), ':')
		if b, err = appendValue(b, object[name], depth); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// appendText appends a text, of which invalid UTF-8 is replaced.
func appendText(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text) // it replaces what it complains about
	return b
}

func appendTexts(b []byte, texts []string) []byte {
	b = append(b, '[')
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, text)
	}
	return append(b, ']')
}

// appendNumber appends a finite number as ECMAScript writes it.
func appendNumber(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, '0') // also for -0
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-2] == '0' && (b[n-3] == '-' || b[n-3] == '+') { // e-09 is written e-9
		b = append(b[:n-2], b[n-1])
	}
	return b
}

func appendCandidate(b []byte, c *caio.Candidate) []byte {
	b = append(b, '{')
	for _, figure := range [...]struct {
		name  string
		value *float64
	}{{"accuracy", c.Accuracy}, {"availability", c.Availability}, {"p95_latency_ms", c.P95Latency}, {"price", c.Price}, {"score", &c.Score}} {
		if figure.value != nil {
			b = append(append(append(b, '"'), figure.name...), `":`...)
			b = append(appendNumber(b, *figure.value), ',')
		}
	}
	return append(appendText(append(b, `"service_id":`...), c.ServiceID), '}')
}

// appendPick appends the decision for one step. id is "" within a chain.
func appendPick(b []byte, p *pick, decision *caio.Decision, id string) []byte {
	b = append(b, '{')
	if decision.BaseURL != "" {
		b = append(appendText(append(b, `"base_url":`...), decision.BaseURL), ',')
	}
	if len(decision.Candidates) > 0 {
		b = append(b, `"candidates":[`...)
		for i := range decision.Candidates {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCandidate(b, &decision.Candidates[i])
		}
		b = append(b, `],`...)
	}
	if id != "" {
		b = append(appendText(append(b, `"decision_id":`...), id), ',')
	}
	if len(decision.Endpoints) > 0 {
		b = append(append(append(b, `"endpoints":`...), p.endpointsText...), ',')
	}
	b = append(append(append(b, `"guarantees":`...), p.guaranteesText...), ',')
	b = append(appendTexts(append(b, `"reasons":`...), decision.Reasons), ',')
	b = append(appendText(append(b, `"service_id":`...), decision.ServiceID), ',')
	return append(appendText(append(b, `"service_name":`...), decision.ServiceName), '}')
}

// evidence is what a proof carries, which writes itself.
type evidence interface {
	appendJSON(b []byte) []byte
}

func appendProofs(b []byte, proofs []caio.Proof) []byte {
	b = append(b, '[')
	for i := range proofs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendProof(b, &proofs[i])
	}
	return append(b, ']')
}

func appendProof(b []byte, p *caio.Proof) []byte {
	b = append(b, '{')
	if len(p.Clauses) > 0 {
		b = append(b, `"clauses":[`...)
		for i, c := range p.Clauses {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '{')
			if c.Detail != "" {
				b = append(appendText(append(b, `"detail":`...), c.Detail), ',')
			}
			b = strconv.AppendBool(append(b, `"met":`...), c.Met)
			b = append(appendText(append(b, `,"requirement":`...), c.Requirement), '}')
		}
		b = append(b, `],`...)
	}
	b = p.Evidence.(evidence).appendJSON(append(b, `"evidence":`...)) // prove makes no others
	b = appendText(append(b, `,"proof_type":`...), p.Type)
	b = appendText(append(b, `,"statement":`...), p.Statement)
	if p.Step != 0 {
		b = strconv.AppendInt(append(b, `,"step":`...), int64(p.Step), 10)
	}
	b = strconv.AppendBool(append(b, `,"valid":`...), p.Valid)
	return append(appendText(append(b, `,"verification":`...), p.Verification), '}')
}

func (e matchingEvidence) appendJSON(b []byte) []byte {
	b = append(append(b, `{"contract":`...), e.Contract...)
	return append(appendText(append(b, `,"digest":`...), e.Digest), '}')
}

func (e rulesEvidence) appendJSON(b []byte) []byte {
	b = append(b, `{"applied":[`...)
	for i, at := range e.Applied {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(at), 10)
	}
	return append(strconv.AppendInt(append(b, `],"policies":`...), int64(e.Policies), 10), '}')
}

func (e secured) appendJSON(b []byte) []byte {
	return append(appendText(append(b, `{"authentication":`...), e.Authentication), '}')
}

func (e selectionEvidence) appendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"considered":`...), int64(e.Considered), 10)
	b = appendNumber(append(b, `,"weights":{"cost":`...), e.Weights.Cost)
	b = appendNumber(append(b, `,"guarantees":`...), e.Weights.Guarantees)
	b = appendNumber(append(b, `,"performance":`...), e.Weights.Performance)
	return append(appendNumber(append(b, `,"reliability":`...), e.Weights.Reliability), `}}`...)
}

func (e compositionEvidence) appendJSON(b []byte) []byte {
	b = append(b, '{')
	if len(e.Composed) > 0 {
		text, _ := canonical(e.Composed) // bounds of contracts, which were JSON
		b = append(append(append(b, `"composed":`...), text...), ',')
	}
	return append(appendTexts(append(b, `"services":`...), e.Services), '}')
}
