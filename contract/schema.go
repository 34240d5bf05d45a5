package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
)

// DefaultMaxValues is the default of [Schema.WithMaxValues].
const DefaultMaxValues = jsonschema.DefaultMaxValues

// A Schema checks JSON by JSON Schema 2020-12. It comes with an [Endpoint]. It is immutable and
// safe for concurrent use.
//
// Format is asserted. References stay inside the schema, or lead to files beside the contract:
// [Load] includes their definitions. A loaded schema holds its text only. It is compiled by its
// first check, or before by [Schema.Compile].
type Schema struct {
	inner     *jsonschema.Schema
	maxValues int
}

// Compile compiles the schema now rather than at its first check, and keeps the result. An error is
// unexpected: [Load] refuses schemas that cannot be compiled.
func (s *Schema) Compile() error {
	if err := s.inner.Compile(); err != nil {
		return fmt.Errorf("contract: %w", err)
	}
	return nil
}

// WithMaxValues returns a schema with another bound on the engine: it checks texts of at most n
// JSON values. A larger text is still checked if the schema uses common keywords only; else it gets a
// *[CostError]. Zero and less mean [DefaultMaxValues]. Both schemas share the compiled form.
func (s *Schema) WithMaxValues(n int) *Schema {
	if n <= 0 {
		n = DefaultMaxValues
	}
	return &Schema{inner: s.inner, maxValues: n}
}

// Validate checks the JSON text data. Its errors are:
//
//   - a *[SyntaxError] if data is not one JSON value in UTF-8 with unique names, at most 64 levels deep (fewer if the schema is recursive)
//   - [Violations] if the schema refuses data
//   - a *[CostError] if the check would take too much work
//
// A check takes at most about 20 ns for each byte, and 150 ms and 16 MiB beyond that. The caller
// bounds the size of data.
func (s *Schema) Validate(data []byte) error { return s.validate(data, false) }

// ValidateRequest is [Schema.Validate] for untrusted data that other code decodes afterwards. It
// also refuses a member if its name differs in case only from one of the schema's: encoding/json
// takes the one for the other.
func (s *Schema) ValidateRequest(data []byte) error { return s.validate(data, true) }

// CheapValid reports that [Schema.ValidateRequest] certainly returns nil, in about 10 ns for each
// byte of data. If it reports false, that is unknown, and ValidateRequest may be costly: servers
// bound how many of these run at once.
func (s *Schema) CheapValid(data []byte) bool { return s.inner.FastValid(data, true) }

func (s *Schema) validate(data []byte, exact bool) error {
	outcome := s.inner.Validate(data, exact, s.maxValues)
	switch {
	case outcome.Syntax != nil:
		return &SyntaxError{Offset: outcome.Syntax.Offset, Pointer: outcome.Syntax.Pointer, Detail: outcome.Syntax.Detail}
	case outcome.Unchecked != "":
		return &CostError{Detail: outcome.Unchecked}
	case len(outcome.Violations) == 0:
		return nil
	}
	// Comparing names takes time, and the sender needs only a few hints.
	const maxHints, maxKnown = 10, 500
	hints := 0
	violations := make(Violations, len(outcome.Violations))
	for i, v := range outcome.Violations {
		violations[i] = Violation{Pointer: pointer(v.Path), Detail: v.Detail}
		if v.Keyword != "additionalProperties" || len(v.Known) > maxKnown || hints == maxHints {
			continue
		}
		hints++
		if near := nearest(v.Name, v.Known); near != "" {
			violations[i].Detail += "; did you mean \"" + near + "\"?"
		}
	}
	return violations
}

// A CostError refuses a text unchecked, because the check would take too much work. Detail is fit
// for the sender.
type CostError struct {
	Detail string
}

// Error returns the detail.
func (e *CostError) Error() string { return e.Detail }

// MarshalJSON returns the schema with all definitions that it uses, those of other files included,
// and without unused ones.
func (s *Schema) MarshalJSON() ([]byte, error) { return slices.Clone(s.inner.JSON()), nil }

// A SyntaxError says why a text is not the JSON that [Schema.Validate] takes. Detail is fit for the
// sender.
type SyntaxError struct {
	Offset  int64  // offset in bytes: the error is there or behind
	Pointer string // JSON pointer (RFC 6901) of the value around it; "" for the root
	Detail  string
}

// Error returns the detail.
func (e *SyntaxError) Error() string { return e.Detail }

// Violations are the reasons of a schema to refuse a value, sorted by pointer, at most 100.
type Violations []Violation

// Error returns one line per violation.
func (v Violations) Error() string {
	lines := make([]string, len(v))
	for i, violation := range v {
		lines[i] = violation.String()
	}
	return strings.Join(lines, "\n")
}

// A Violation is one reason, in words that are fit for the sender: the value found and the value
// wanted. Of the value it repeats at most 40 characters.
type Violation struct {
	Pointer string `json:"pointer"` // of the offending value (RFC 6901); of the object if a member is missing
	Detail  string `json:"detail"`
}

// String returns "pointer: detail", and the detail alone for the root.
func (v Violation) String() string {
	if v.Pointer == "" {
		return v.Detail
	}
	return v.Pointer + ": " + v.Detail
}

// pointer returns a path as a JSON pointer (RFC 6901).
func pointer(path []string) string {
	var b strings.Builder
	for _, token := range path {
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1"))
	}
	return b.String()
}
