package contract

import (
	"slices"
	"strings"

	"github.com/smarthaus/caio-bridge-go/contract/internal/fast"
	"github.com/smarthaus/caio-bridge-go/contract/internal/jsonschema"
)

// A Schema checks JSON by JSON Schema 2020-12. It comes with an [Endpoint]. It is immutable and safe for concurrent use.
//
// Format is asserted. References stay inside the schema or lead to files beside the contract, which are brought in.
type Schema struct {
	compiled *jsonschema.Schema
	quick    *fast.Schema // nil if the schema is beyond it
}

func newSchema(compiled *jsonschema.Schema) *Schema {
	return &Schema{compiled: compiled, quick: fast.Compile(compiled.Document(), compiled.MaxDepth())}
}

// Validate checks the JSON text data. The error is a *[SyntaxError] if data is not one JSON value in UTF-8 with unique
// names, at most 64 levels deep (fewer if the schema is recursive), and [Violations] if the schema refuses it.
// How large data may be is for the caller to limit.
func (s *Schema) Validate(data []byte) error { return s.validate(data, false) }

// ValidateRequest is [Schema.Validate] for data that somebody else decodes after it, and that is not trusted: where the schema
// allows members that it does not name, it also refuses those that differ from one that it names only in case, which
// encoding/json and its like would take for that one.
func (s *Schema) ValidateRequest(data []byte) error { return s.validate(data, true) }

func (s *Schema) validate(data []byte, exact bool) error {
	if s.quick != nil && s.quick.Valid(data) {
		return nil
	}
	value, syntax := jsonschema.Decode(data, s.compiled.MaxDepth())
	if syntax != nil {
		return &SyntaxError{Offset: syntax.Offset, Pointer: syntax.Pointer, Detail: syntax.Detail}
	}
	found, err := s.compiled.Check(value)
	if err != nil {
		// The engine gave up. Whether the value is right is unknown, so it is refused.
		return Violations{{Detail: "the value could not be checked"}}
	}
	if len(found) == 0 && exact {
		found = s.compiled.Variants(value)
	}
	if len(found) == 0 {
		return nil
	}
	violations := make(Violations, len(found))
	for i, v := range found {
		violations[i] = Violation{Pointer: pointer(v.Path), Detail: v.Detail}
		if near := nearest(v.Name, v.Known); v.Keyword == "additionalProperties" && near != "" {
			violations[i].Detail += "; did you mean \"" + near + "\"?"
		}
	}
	return violations
}

// MarshalJSON returns the schema itself, with what it refers to in other files under "$defs".
func (s *Schema) MarshalJSON() ([]byte, error) { return slices.Clone(s.compiled.JSON()), nil }

// A SyntaxError says why a text is not the JSON that [Schema.Validate] takes. Detail is fit for the sender.
type SyntaxError struct {
	Offset  int64  // of the byte at or after which the fault lies
	Pointer string // of the value in which it lies (RFC 6901); "" for the root
	Detail  string
}

// Error returns the detail.
func (e *SyntaxError) Error() string { return e.Detail }

// Violations are the reasons for which a schema refuses a value, sorted by pointer, at most 100.
type Violations []Violation

// Error returns one line per violation.
func (v Violations) Error() string {
	lines := make([]string, len(v))
	for i, violation := range v {
		lines[i] = violation.String()
	}
	return strings.Join(lines, "\n")
}

// A Violation is one reason, in words that are fit for the sender: what was found and what is wanted.
// Of the value it repeats at most 40 characters.
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
