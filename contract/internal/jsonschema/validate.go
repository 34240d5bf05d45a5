package jsonschema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/smarthaus/caio-bridge-go/contract/internal/fast"
)

// An Outcome is the result of checking a text. The zero Outcome means that the schema allows it. At
// most one field is set.
type Outcome struct {
	Violations []Violation
	Syntax     *SyntaxError
	Unchecked  string // why nothing is known
}

// FastValid reports that the schema certainly allows data. It reads the bytes and decodes nothing.
func (s *Schema) FastValid(data []byte, exact bool) bool {
	switch s.read(data, exact) {
	case fast.Valid:
		return true
	case fast.ValidIfUnique:
		_, failed := Scan(data, s.maxDepth)
		return failed == nil
	}
	return false
}

func (s *Schema) read(data []byte, exact bool) fast.Verdict {
	p, err := s.compiled()
	if err != nil || p.fast == nil {
		return fast.Unknown
	}
	return p.fast.Valid(data, exact)
}

// Validate checks a text. The engine sees it if it has at most maxValues JSON values and the work
// is bounded. Otherwise the check that reads bytes decides, if it knows all keywords of the schema.
// If exact, names that differ from the schema's in case only are refused.
func (s *Schema) Validate(data []byte, exact bool, maxValues int) Outcome {
	verdict := s.read(data, exact)
	if verdict == fast.Valid {
		return Outcome{}
	}
	size, syntax := Scan(data, s.maxDepth)
	if syntax != nil {
		return Outcome{Syntax: syntax}
	}
	if verdict == fast.ValidIfUnique {
		return Outcome{}
	}
	p, err := s.compiled()
	if err != nil {
		return Outcome{Unchecked: err.Error()}
	}
	if size <= maxValues {
		outcome, err := s.decide(data, exact)
		if !errors.Is(err, errTooCostly) {
			return outcome
		}
	}
	if p.fast != nil && verdict != fast.TooMuchWork {
		if faults, known := p.fast.Faults(data, exact, maxViolations); known {
			return Outcome{Violations: p.violations(data, faults)}
		}
	}
	if size > maxValues {
		return Outcome{Unchecked: fmt.Sprintf("there are %d JSON values in it, at most %d can be checked", size, maxValues)}
	}
	return Outcome{Unchecked: "checking it would take too much work: send fewer values and shorter texts"}
}

// decide asks the engine.
func (s *Schema) decide(data []byte, exact bool) (Outcome, error) {
	value, syntax := Decode(data, s.maxDepth)
	if syntax != nil {
		return Outcome{Syntax: syntax}, nil
	}
	found, err := s.Check(value, MaxPrice)
	if err != nil {
		return Outcome{Unchecked: "it could not be checked"}, err
	}
	if len(found) == 0 && exact {
		found = s.Variants(value)
	}
	return Outcome{Violations: found}, nil
}

// violations words the faults that the check of bytes found.
func (p *program) violations(data []byte, faults []fast.Fault) []Violation {
	var list []Violation
	decoder := jsontext.NewDecoder(bytes.NewBuffer(data))
	var path []string
	last := -1
	for _, f := range faults {
		if f.Offset > last {
			path, last = pathAt(decoder, f.Offset), f.Offset
		}
		if len(f.Names) == 1 && f.Keyword[len(f.Keyword)-1] == "additionalProperties" {
			v := Violation{Path: path}
			if schema, ok := find(p.document, parentOf(f.Keyword)).(map[string]any); ok {
				v.Known = sortedNames(schema["properties"])
			}
			list = append(list, v.unknownMember(f.Names[0]))
			continue
		}
		failed := &failure{instance: path, keyword: f.Keyword}
		failed.noBranch = len(f.Keyword) > 0 && f.Keyword[len(f.Keyword)-1] == "anyOf"
		list = append(list, p.describeAt(failed, p.valueAt(data, f))...)
	}
	return sortViolations(list)
}

// pathAt reads up to the value that begins at offset, and returns its path.
func pathAt(decoder *jsontext.Decoder, offset int) []string {
	for {
		_, err := decoder.ReadToken()
		// The next value begins behind the end of this one, so the first end beyond the offset is that of
		// the value.
		if err != nil || decoder.InputOffset() > int64(offset) {
			break
		}
	}
	pointer := strings.TrimPrefix(string(decoder.StackPointer()), "/")
	if pointer == "" {
		return nil
	}
	path := strings.Split(pointer, "/")
	for i, token := range path {
		path[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return path
}

// valueAt returns as much of the value as the words need: of a list or an object nothing but the
// size and the names.
func (p *program) valueAt(data []byte, f fast.Fault) any {
	keyword, limit := p.keyword(f.Keyword)
	switch {
	case f.Count > 0 || strings.HasPrefix(keyword, "min") && keyword != "minimum":
		return sized(f.Count)
	case keyword == "required":
		present := nameSet(texts(limit))
		for _, name := range f.Names {
			delete(present, name)
		}
		return present
	case data[f.Offset] == '{':
		return nameSet(f.Names)
	case data[f.Offset] == '[':
		return []any{}
	}
	raw, err := jsontext.NewDecoder(bytes.NewBuffer(data[f.Offset:])).ReadValue()
	if err != nil {
		return nil
	}
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return nil
	}
	return value
}

func nameSet(names []string) map[string]any {
	set := make(map[string]any, len(names))
	for _, name := range names {
		set[name] = nil
	}
	return set
}
